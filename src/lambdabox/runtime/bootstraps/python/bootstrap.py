"""Start the runtime of a Python function: `<interpreter> -S bootstrap.py`.

A script is compiled afresh each time it is started, a package's modules are not, so
everything else is in the package beside this file. Its directory leaves `sys.path` again
before user code runs: a function can neither see it nor be shadowed by it.
"""

import os
import sys


def main() -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    # PYTHONSAFEPATH, which the user may set, keeps the interpreter from adding it.
    others = [entry for entry in sys.path if entry != here]
    sys.path[:] = [here, *others]
    from lambdabox_bootstrap.server import serve

    sys.path[:] = others
    # What is imported so far may be kept compiled; a function's directory is never written to.
    sys.dont_write_bytecode = True
    return serve(int(os.environ["LAMBDABOX_CHANNEL_FD"]))


if __name__ == "__main__":
    sys.exit(main())
