"""Become a program that is locked down as user code is: `python -m support.confined program…`.

The user stays what it was, so that programs below a home directory can be read; as user 0
it has no capability all the same.
"""

import os
import subprocess
import sys
from pathlib import Path

from lambdabox.isolation.guest import lockdown, seccomp
from support.programs import missing

ROOTS = (Path(__file__).parents[1], Path(lockdown.__file__).parents[3])


def need_root() -> None:
    """Skip the test where it cannot do what only root may; CI runs as root."""
    if os.geteuid() != 0:
        missing("this needs root")


def run(*command: str, timeout: float = 60) -> str:
    """Return what a locked down program prints. It must succeed."""
    need_root()
    done = subprocess.run(
        [sys.executable, "-m", "support.confined", *command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS))},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_python(source: str) -> str:
    return run(sys.executable, "-c", source)


def main() -> None:
    lockdown.reset_signals()  # as every fork server does: who started the tests may ignore some
    lockdown.keep_capabilities(lockdown.INIT_CAPABILITIES)
    lockdown.renounce_root()
    lockdown.lock_down()
    seccomp.install(seccomp.program())
    lockdown.close_from(3)
    lockdown.restore_signals()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 (a shell would be in the way)


if __name__ == "__main__":
    main()
