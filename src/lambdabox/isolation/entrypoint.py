"""Tell before the start whether a sandbox's program can be executed, and if not, why.

Drivers start programs through wrappers, so the kernel's own verdict would reach the user
as a wrapper's exit status. A missing x bit and a binary for another processor are the two
mistakes of nearly every first `bootstrap`, and both deserve a sentence.
"""

import os
import shutil
from pathlib import Path

from lambdabox.ports import InvalidEntrypointError, SandboxSpec

_ELF = b"\x7fELF"
_MACHINES = {3: "i386", 40: "arm", 62: "x86_64", 183: "arm64", 243: "riscv64"}
_RUNS_ALSO = {62: (3,), 183: (40,)}
_EMULATORS = Path("/proc/sys/fs/binfmt_misc")


def find_program(spec: SandboxSpec) -> str:
    """Return the path of the program `spec` names, relative to its code or found in its PATH.

    Raises InvalidEntrypointError if it cannot be executed.
    """
    name = spec.command[0]
    if "/" not in name:
        found = shutil.which(name, path=spec.environment.get("PATH", os.defpath))
        if found is None:
            raise InvalidEntrypointError(f"{name} is not in the function's PATH")
        return found
    path = spec.code / name
    try:
        _check(path)
    except OSError as exc:
        raise InvalidEntrypointError(f"{path} cannot be read: {exc.strerror}") from exc
    return str(path)


def _check(path: Path) -> None:
    if not path.exists():
        raise InvalidEntrypointError(f"{path} does not exist")
    if not path.is_file():
        raise InvalidEntrypointError(f"{path} is not a file")
    if not os.access(path, os.X_OK):
        raise InvalidEntrypointError(f"{path} is not executable: set its x permission (chmod 755)")
    with path.open("rb") as file:
        start = file.read(256)
    if start.startswith(b"#!"):
        _check_interpreter(path, start)
    elif start.startswith(_ELF):
        _check_machine(path, start)
    else:
        raise InvalidEntrypointError(
            f"{path}: exec format error: it is neither a binary nor a script that begins with #!"
        )


def _check_interpreter(path: Path, start: bytes) -> None:
    words = start[2:].split(b"\n", 1)[0].replace(b"\t", b" ").strip(b" ").split(b" ")
    interpreter = os.fsdecode(words[0])
    if not Path(interpreter).is_file():
        hint = " (its first line ends in CR LF; make it LF)" if interpreter[-1:] == "\r" else ""
        raise InvalidEntrypointError(
            f"{path}: its interpreter {interpreter.strip()!r} does not exist{hint}"
        )


def _check_machine(path: Path, start: bytes) -> None:
    with Path("/proc/self/exe").open("rb") as file:
        ours = _machine(file.read(20))
    theirs = _machine(start)
    if theirs == ours or theirs in _RUNS_ALSO.get(ours, ()) or any(_EMULATORS.glob("qemu-*")):
        return
    raise InvalidEntrypointError(
        f"{path}: exec format error: it is built for {_MACHINES.get(theirs, theirs)}, "
        f"and this machine is {_MACHINES.get(ours, ours)}"
    )


def _machine(header: bytes) -> int:
    return int.from_bytes(header[18:20], "big" if header[5:6] == b"\2" else "little")
