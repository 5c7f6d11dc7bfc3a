"""Check what the node asks of the warden, before anything is done about it.

The node reads requests from the network, so it may be somebody else's by now. What it may
have is sandboxes of code that is deployed, around interpreters that the machine's owner has
installed. It may not have a directory of the host shown to a sandbox, nor a program of its own
choice run by a fork server, which has privileges.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

from lambdabox.isolation.warden.view import is_system

_ACTIONS = ("warm", "start", "clone", "network", "end", "forget", "connect")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,511}", re.ASCII)
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,127}", re.ASCII)
_PYTHON = re.compile(r"python3?(\.\d+)?", re.ASCII)
_NODE = re.compile(r"node(js)?", re.ASCII)
_PROGRAMS = ("python3", "node", "ruby", "java")
_LIBRARIES = ("lib/python3*", "lib64/python3*", "include/node", "lib/node_modules", "lib/ruby",
              "lib64/ruby", "lib/jvm", "lib/modules")  # fmt: skip
_MOST_LAYERS = 16
_MOST_PRELOADED = 64
_MOST_MIB = 65_536
_LARGEST = 2**53


class RefusedError(ValueError):
    """An order that is not obeyed, for the reason given."""


class Orders:
    """Knows which orders this warden obeys."""

    def __init__(self, data: Path, *, node_user: int | None) -> None:
        """`node_user` is the node's user, who must not own what fork servers run.

        None where the warden is that user itself and has nothing to lose.
        """
        self._data = os.path.realpath(data)
        self._node_user = node_user
        self._trusted: set[tuple[str, str | None, str | None]] = set()

    def check(self, message: dict[str, Any]) -> None:
        """Return if the order can be obeyed. Raises RefusedError."""
        action = message.get("do")
        if action not in _ACTIONS:
            raise RefusedError(f"no such order: {_shown(action)}")
        if action in ("start", "clone", "network", "connect"):
            _number(message, "id", 1, _LARGEST)
        if action in ("end", "clone", "network", "connect"):
            _number(message, "sandbox", 0, _LARGEST)
        match action:
            case "warm":
                self._check_kind(message.get("kind"))
            case "forget":
                _text(message.get("volume"), _NAME, "volume")
            case "connect":
                _number(message, "port", 1, 65_535)
            case "start":
                self._check_start(message)
            case "clone":
                _check_scratch(message)

    def _check_start(self, message: dict[str, Any]) -> None:
        self._check_kind(message.get("kind"))
        _text(message.get("code"), _PATH, "code")
        if type(message.get("template")) is not bool:
            raise RefusedError("an order that does not say whether it is for a template")
        for layer in _list(message.get("layers"), _MOST_LAYERS, "layers"):
            _text(layer, _PATH, "layer")
        _check_scratch(message)

    def _check_kind(self, kind: object) -> None:
        if not isinstance(kind, dict):
            raise RefusedError("an order without a kind")
        account = kind.get("account")
        if account != "":
            _text(account, _NAME, "account")
        for name in _list(kind.get("preload"), _MOST_PRELOADED, "preload"):
            _text(name, _MODULE, "module")
        interpreter, python, node = (kind.get(name) for name in ("interpreter", "python", "node"))
        for path in (interpreter, python, node):
            if path is not None and not (isinstance(path, str) and _is_plain(path)):
                raise RefusedError(f"not a path: {_shown(path)}")
        if python is not None and node is not None:
            raise RefusedError("a kind of two languages")
        if (interpreter or "", python, node) not in self._trusted:
            try:
                self._check_interpreter(interpreter, python, node)
            except OSError as exc:
                raise RefusedError(f"{interpreter} cannot be looked at: {exc.strerror}") from exc
            self._trusted.add((interpreter or "", python, node))

    def _check_interpreter(
        self, interpreter: str | None, python: str | None, node: str | None
    ) -> None:
        root = interpreter or "/usr"
        for program, pattern, name in ((python, _PYTHON, "Python"), (node, _NODE, "Node.js")):
            if program is None:
                continue
            if not program.startswith(f"{root}/") or not pattern.fullmatch(
                os.path.basename(program)
            ):
                raise RefusedError(f"{program} is not a {name} below {root}")
            self._check_not_the_nodes(program)
        if interpreter is None or is_system(interpreter):
            return
        real = os.path.realpath(interpreter)
        if self._data == real or self._data.startswith(f"{real.rstrip('/')}/"):
            raise RefusedError(f"{interpreter} holds the data directory")
        if not _is_installation(Path(interpreter)):
            raise RefusedError(f"{interpreter} is not an installation of an interpreter")
        self._check_not_the_nodes(interpreter)

    def _check_not_the_nodes(self, path: str) -> None:
        """Nobody who is the node could have made or replaced the file."""
        real = os.path.realpath(path)
        if real == self._data or real.startswith(f"{self._data}/"):
            raise RefusedError(f"{path} is in the data directory")
        if self._node_user is None:
            return
        for name in (path, real):
            for part in (Path(name), *Path(name).parents):
                self._check_owner(part)

    def _check_owner(self, part: Path) -> None:
        try:
            found = part.lstat()
        except OSError as exc:
            raise RefusedError(f"{part}: {exc.strerror}") from exc
        is_open = found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX
        if found.st_uid == self._node_user or (is_open and not stat.S_ISLNK(found.st_mode)):
            raise RefusedError(f"{part} can be written by others than its installer")


def _check_scratch(message: dict[str, Any]) -> None:
    _text(message.get("volume"), _NAME, "volume")
    _number(message, "storage_mib", 1, _MOST_MIB)
    _number(message, "memory_mib", 1, _MOST_MIB)


def _is_installation(root: Path) -> bool:
    """Whether a directory holds an interpreter and its library, and is not just above one."""
    has_program = any(os.access(root / "bin" / name, os.X_OK) for name in _PROGRAMS)
    return has_program and any(next(root.glob(name), None) for name in _LIBRARIES)


def _is_plain(path: str) -> bool:
    return path.startswith("/") and "\0" not in path and os.path.normpath(path) == path


def _number(message: dict[str, Any], name: str, least: int, most: int) -> None:
    value = message.get(name)
    if type(value) is not int or not least <= value <= most:
        raise RefusedError(f"{name} must be from {least} to {most}, not {_shown(value)}")


def _text(value: object, pattern: re.Pattern[str], what: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value) or ".." in value:
        raise RefusedError(f"not a {what}: {_shown(value)}")


def _list(value: object, most: int, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise RefusedError(f"not {what}: {_shown(value)}")
    return value


def _shown(value: object) -> str:
    return repr(value)[:100]
