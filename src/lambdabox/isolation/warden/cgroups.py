class Cgroup: ...


class Cgroups:
    def create(self, name):
        return None

    def close(self):
        pass
