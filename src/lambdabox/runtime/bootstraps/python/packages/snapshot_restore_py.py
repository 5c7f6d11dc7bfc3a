"""Hooks around a SnapStart snapshot, as AWS's Python runtimes offer them to functions.

A function calls these while its modules are imported, directly or as decorators. The
runtime runs what was registered: before the snapshot the newest first, after each restore
in the order of registration.
"""

from collections.abc import Callable
from typing import Any

__all__ = ["register_after_restore", "register_before_snapshot"]

Hook = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]

_before_snapshot: "list[Hook]" = []
_after_restore: "list[Hook]" = []


def register_before_snapshot(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `func(*args, **kwargs)` before the snapshot is taken. Returns `func`."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `func(*args, **kwargs)` after each restore, before the first event. Returns `func`."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot() -> "list[Hook]":
    """Return the hooks as runtimes read them, in the order of registration."""
    return _before_snapshot


def get_after_restore() -> "list[Hook]":
    """As `get_before_snapshot`."""
    return _after_restore
