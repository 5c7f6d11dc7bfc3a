import os


class CgroupFiles:
    def __init__(self, d):
        self.d = d

    def oom_kills(self):
        return 0

    def used_memory_bytes(self):
        return 0

    def freeze(self):
        pass

    def thaw(self):
        pass

    def limit_cpu(self, m):
        pass

    def close(self):
        for f in self.d.values():
            os.close(f)
