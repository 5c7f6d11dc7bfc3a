"""Become an ordinary user, wherever Python is: `python -m support.ordinary DIR program…`.

That user owns DIR, and has what the node's user would have of what lies below root's home.
For tests of what works without root, which themselves run as root.
"""

import os
import sys
from pathlib import Path

import lambdabox
from lambdabox.server.privileges import give_up_root

USER = 61_234
ROOTS = (Path(__file__).parents[1], Path(lambdabox.__file__).parents[1])
COMMAND = (sys.executable, "-m", "support.ordinary")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))}


def main() -> None:
    directory = Path(sys.argv[1])
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable), *ROOTS]
    give_up_root(USER, owns=directory, reads=needed)
    os.environ["HOME"] = str(directory)
    os.environ["USER"] = "ordinary"
    os.chdir(directory)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 (a shell would be in the way)


if __name__ == "__main__":
    main()
