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


def _standard_library(entries: "list[str]") -> int:
    """Return where the standard library's entries begin: with its (rarely present) zip."""
    archive = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    directory = os.path.dirname(os.path.abspath(os.__file__))
    for index, entry in enumerate(entries):
        if os.path.basename(entry) == archive or entry == directory:
            return index
    return len(entries)
