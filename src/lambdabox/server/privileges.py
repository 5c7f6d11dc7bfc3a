"""Give up root: the process that reads requests from the network must not have it.

The node goes on as a user that owns its data directory and nothing else. What it needs to
read may lie below a directory that only root may enter, such as root's home: there it gets
a view of its own, in which nothing but what it needs exists.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lambdabox.isolation.guest import linux

_PR_SET_KEEPCAPS = 8


def give_up_root(user: int, *, owns: Path, reads: Iterable[Path]) -> None:
    """Become `user`, who owns the directory `owns` and can read what `reads` names."""
    _give(owns, user)
    _show_only([owns, *reads])
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)


def _give(directory: Path, user: int) -> None:
    """Make `user` the owner of all that is in `directory`, if it is not already."""
    if directory.stat().st_uid == user:
        return
    for place, names, files in os.walk(directory):
        for name in (*names, *files):
            os.chown(os.path.join(place, name), user, user, follow_symlinks=False)
    # Last, so that work that was interrupted is done again.
    os.chown(directory, user, user)


def _show_only(needed: Iterable[Path]) -> None:
    """Cover each directory that others may not enter, leaving in it what is needed."""
    existing = {path.absolute() for path in needed if path.exists()}
    below: dict[Path, dict[Path, int]] = {}
    for path in sorted({path.resolve() for path in existing}):
        barrier = _barrier(path)
        if barrier is not None:
            kept = below.setdefault(barrier, {})
            if not any(parent in kept for parent in path.parents):
                kept[path] = -1
    # On the way to what is needed there may be links that will be covered.
    links = {link: link.readlink() for path in existing for link in _links(path) if _barrier(link)}
    if not below and not links:
        return
    for link in links:
        below.setdefault(_barrier(link) or link.parent, {})
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    for kept in below.values():
        for path in kept:
            kept[path] = _tree(path)
    for barrier, kept in below.items():
        options: dict[str, str | None] = {"mode": "0755", "size": "1m"}
        cover = linux.new_filesystem("tmpfs", options, linux.MOUNT_ATTR_NOSUID)
        linux.move_mount(cover, str(barrier))
        os.close(cover)
        for path, tree in kept.items():
            _attach(path, tree)
    for link, target in links.items():
        if not os.path.lexists(link):
            _make_parents(link)
            link.symlink_to(target)


def _barrier(path: Path) -> Path | None:
    """Return the outermost directory on the way to `path` that others may not enter."""
    return next((parent for parent in reversed(path.parents) if _is_barred(parent)), None)


def _links(path: Path) -> Iterator[Path]:
    """Return the symbolic links on the way to `path`, each by a path without others."""
    place = Path("/")
    rest = list(path.parts[1:])
    while rest:
        place /= rest.pop(0)
        if place.is_symlink():
            yield place
            target = place.parent / place.readlink()
            rest = [*target.parts[1:], *rest]
            place = Path("/")
        elif place.name == "..":
            place = place.parent.parent


def _is_barred(directory: Path) -> bool:
    return not directory.stat().st_mode & stat.S_IXOTH


def _tree(path: Path) -> int:
    source = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return linux.open_tree(source, recursive=True)
    finally:
        os.close(source)


def _attach(path: Path, tree: int) -> None:
    _make_parents(path)
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        path.mkdir(exist_ok=True)
    else:
        path.touch()
    linux.move_mount(tree, str(path))
    os.close(tree)


def _make_parents(path: Path) -> None:
    old = os.umask(0o022)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(old)
