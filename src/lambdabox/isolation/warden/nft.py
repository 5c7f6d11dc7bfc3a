"""Run the nft program: the one outside program that networking needs.

Found in fixed places, because what root runs must not depend on a search path, and run by
posix_spawn with files in memory, because the warden does without the subprocess module.
"""

from __future__ import annotations

import os

from lambdabox.isolation.warden.network import NetworkError

_DIRECTORIES = (
    "/usr/sbin",
    "/sbin",
    "/usr/bin",
    "/bin",
    "/usr/local/sbin",
    "/run/current-system/sw/bin",
)
MISSING = (
    "the program nft is not installed (on Debian and Ubuntu: apt-get install nftables; "
    "on Fedora: dnf install nftables)"
)


def program() -> str | None:
    """Return the path of nft, if it is installed."""
    paths = (f"{directory}/nft" for directory in _DIRECTORIES)
    return next((path for path in paths if os.access(path, os.X_OK)), None)


def load(rules: str) -> None:
    """Apply `rules` to the current namespace, all or none. Raises NetworkError."""
    _run(["-f", "-"], rules)


def listing(*what: str) -> str:
    """Return what `nft list` prints, such as of "tables". Raises NetworkError."""
    return _run(["list", *what], "")


def _run(arguments: list[str], rules: str) -> str:
    path = program()
    if path is None:
        raise NetworkError(MISSING)
    source = os.memfd_create("rules")
    result = os.memfd_create("result")
    try:
        os.write(source, rules.encode())
        os.lseek(source, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, source, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, result, number) for number in (1, 2)]
        child = os.posix_spawn(path, [path, *arguments], {}, file_actions=actions)
        _, status = os.waitpid(child, 0)
        os.lseek(result, 0, os.SEEK_SET)
        output = _read(result)
    finally:
        os.close(source)
        os.close(result)
    if status != 0:
        raise NetworkError(f"nft refused the rules: {_first_lines(output) or 'it said nothing'}")
    return output


def _read(descriptor: int) -> str:
    parts = []
    while part := os.read(descriptor, 65_536):
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


def _first_lines(output: str) -> str:
    return " ".join(output.split("\n")[:2]).strip()
