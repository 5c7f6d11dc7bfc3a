"""Where a function's imports come from, in AWS's order.

The task root, the layers, what PYTHONPATH names, the packages of the runtime (boto3 and
its like), and only then the standard library.
"""

import os
import sys


def search_path(
    inherited: "list[str]", *, task_root: str, layers: "list[str]", packages: str
) -> "list[str]":
    """Return the new `sys.path`; `inherited` is the interpreter's, PYTHONPATH first."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    of_layers = [
        os.path.join(root, "python", *rest)
        for root in layers
        if root
        for rest in (("lib", version, "site-packages"), ())
    ]
    cut = _standard_library(inherited)
    of_runtime = [packages] if packages else []
    return [task_root, *of_layers, *inherited[:cut], *of_runtime, *inherited[cut:]]


class OwnPackages:
    """Finds the modules that this runtime offers to functions, below `directory`.

    It comes last on `sys.meta_path`: a function's own copy wins, and no other import pays.
    """

    NAMES = ("snapshot_restore_py",)

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> object:
        if name not in self.NAMES:
            return None
        from importlib.machinery import PathFinder  # only now that it is needed

        return PathFinder.find_spec(name, [self._directory])


def _standard_library(entries: "list[str]") -> int:
    """Return where the standard library's entries begin: with its (rarely present) zip."""
    archive = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    directory = os.path.dirname(os.path.abspath(os.__file__))
    for index, entry in enumerate(entries):
        if os.path.basename(entry) == archive or entry == directory:
            return index
    return len(entries)
