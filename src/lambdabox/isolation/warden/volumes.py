import os

from lambdabox.isolation.guest import linux


class Volume:
    def __init__(self, m):
        self.m = linux.new_filesystem("tmpfs", {"size": f"{m}m", "mode": "1777"}, 6)

    def clone(self):
        return linux.open_tree(self.m)

    def close(self):
        os.close(self.m)


class Volumes:
    def take(self, m):
        return Volume(m)

    def refill(self):
        pass

    def close(self):
        pass
