"""The file system that sandboxes of one kind see: read-only, and only what a runtime needs.

Built once for each fork server, in a mount namespace of its own; its sandboxes get copies.
What is written here is the whole list: nothing else of the machine can be named inside.

    /usr, /bin, /lib…   the system's programs and libraries
    /var/lang           the interpreter, unless it is part of /usr
    /var/runtime        the bundled bootstraps, boto3 and its like
    /var/task, /opt     the function's code and layers, attached when it is known
    /tmp                the environment's own, attached then too
    /etc, /dev, /proc   the minimum
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lambdabox.isolation.guest import linux
from lambdabox.isolation.guest.forkserver import GROUP, HOSTNAME, USER

INTERPRETER_ROOT = "/var/lang"
RUNTIME_ROOT = "/var/runtime"
PACKAGES_ROOT = "/var/runtime/packages"
GUEST_ROOT = "/var/runtime/sandbox"

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_SYSTEM_ETC = (
    "ssl", "pki", "ca-certificates", "crypto-policies", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "alternatives", "protocols", "services", "mime.types",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "dev/fd": "/proc/self/fd",
    "dev/stdin": "/proc/self/fd/0",
    "dev/stdout": "/proc/self/fd/1",
    "dev/stderr": "/proc/self/fd/2",
    "etc/os-release": "/usr/lib/os-release",
    "etc/mtab": "/proc/mounts",
}
_READ_ONLY = linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
# The dynamic linker remembers which directories of its search path are missing, and a fork
# of an interpreter that has looked already would never find a function's own libraries.
_EMPTY = ("proc", "tmp", "var/task/lib", "opt/lib", "opt/extensions")


@dataclass(frozen=True, slots=True)
class Binding:
    """A file or directory of the host and where it appears. Paths inside have no leading /."""

    source: str
    target: str
    attributes: int = _READ_ONLY


@dataclass(frozen=True, slots=True)
class View:
    bindings: tuple[Binding, ...]
    files: Mapping[str, str]
    links: Mapping[str, str]

    def enter(self) -> None:
        """Build the view and make it this process's root. For a process of its own."""
        # All are opened first: the place where the new root is built may hide one of them.
        trees = [(binding, _open(binding)) for binding in self.bindings]
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
        options = {"mode": "0755", "size": "1m", "nr_inodes": "4096"}
        root = "/tmp"  # noqa: S108  # any directory does; it is covered in this namespace only
        attributes = linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV
        linux.move_mount(linux.new_filesystem("tmpfs", dict(options), attributes), root)
        os.chdir(root)
        for name in _EMPTY:
            Path(name).mkdir(parents=True, exist_ok=True)
        for binding, tree in trees:
            _attach(binding, tree)
        for name, text in self.files.items():
            _place(name).write_text(text)
        for name, target in self.links.items():
            _place(name).symlink_to(target)
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        linux.mount("proc", "proc", "proc", flags)
        linux.pivot_root(".", ".")
        linux.unmount(".")
        flags = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID
        linux.mount("none", "/", None, flags | linux.MS_NODEV)
        os.chdir("/")


def view_of(
    *, interpreter: str | None, bootstraps: str, guest: str, packages: Mapping[str, str],
    resolver: str,
) -> View:  # fmt: skip
    """Describe the view around `interpreter`, the root of a language's installation.

    `packages` are files and directories by the name they have below PACKAGES_ROOT;
    `resolver` is the text of resolv.conf.
    """
    links = dict(_LINKS)
    bindings = [Binding("/usr", "usr")]
    for name in _SYSTEM:
        if os.path.islink(f"/{name}"):
            links[name] = os.readlink(f"/{name}")
        elif os.path.isdir(f"/{name}"):
            bindings.append(Binding(f"/{name}", name))
    bindings += [_etc(name) for name in _SYSTEM_ETC if os.path.exists(f"/etc/{name}")]
    bindings += [
        Binding(f"/dev/{name}", f"dev/{name}", linux.MOUNT_ATTR_NOSUID) for name in _DEVICES
    ]
    if interpreter is not None and not is_system(interpreter):
        bindings.append(Binding(interpreter, INTERPRETER_ROOT[1:]))
    for entry in os.listdir(bootstraps):
        bindings.append(Binding(f"{bootstraps}/{entry}", f"{RUNTIME_ROOT[1:]}/{entry}"))
    bindings.append(Binding(guest, f"{GUEST_ROOT[1:]}/{os.path.basename(guest)}"))
    bindings += [
        Binding(source, f"{PACKAGES_ROOT[1:]}/{name}") for name, source in packages.items()
    ]
    return View(tuple(bindings), _files(resolver), links)


def is_system(prefix: str) -> bool:
    """Tell whether an interpreter below `prefix` is part of /usr and keeps its path."""
    return prefix == "/usr" or prefix.startswith("/usr/")


def _etc(name: str) -> Binding:
    return Binding(f"/etc/{name}", f"etc/{name}")


def _files(resolver: str) -> dict[str, str]:
    return {
        "etc/passwd": (
            "root:x:0:0:root:/:/sbin/nologin\n"
            f"sbx_user1051:x:{USER}:{GROUP}::/home/sbx_user1051:/sbin/nologin\n"
        ),
        "etc/group": f"root:x:0:\nsbx_user1051:x:{GROUP}:\n",
        "etc/hosts": f"127.0.0.1 localhost {HOSTNAME} {HOSTNAME.partition('.')[0]}\n",
        "etc/hostname": f"{HOSTNAME}\n",
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "etc/resolv.conf": resolver,
    }


def _open(binding: Binding) -> int:
    source = os.open(binding.source, os.O_PATH | os.O_CLOEXEC)
    try:
        # With what is mounted below it, which in a user namespace cannot be left out.
        tree = linux.open_tree(source, recursive=True)
    finally:
        os.close(source)
    linux.set_mount_attributes(tree, binding.attributes, recursive=True)
    return tree


def _attach(binding: Binding, tree: int) -> None:
    target = _place(binding.target)
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    linux.move_mount(tree, str(target))
    os.close(tree)


def _place(name: str) -> Path:
    """Return the path relative to the new root, its parents made."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
