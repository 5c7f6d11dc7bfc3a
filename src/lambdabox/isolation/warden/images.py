"""File systems in files: made once per size, copied without their holes, mounted by a loop device.

Neither a template nor a copy has a name: whoever may write to the directory, as the node may,
could else have the kernel mount what it likes. A copy's device detaches itself, so both go with
the last descriptor of the mount, even if this process is killed. There is no journal, and
`fsync` does not reach the disk, for nothing in such a file system outlives its environment.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from pathlib import Path

from lambdabox.isolation.guest import linux

_MIB = 1024 * 1024
_BLOCK = 4096
_FEATURES = "^has_journal,^resize_inode,^metadata_csum,^64bit"
_PROGRAMS = ("/usr/sbin", "/sbin", "/usr/bin", "/bin")
# With "discard", what a function deletes is the host's again at once, and the function pays.
_OPTIONS: dict[str, str | None] = {"noinit_itable": None, "nobarrier": None, "discard": None}
_ATTRIBUTES = linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV

_LOOP_CONFIGURE = 0x4C0A
_LOOP_CTL_REMOVE = 0x4C81
_LOOP_CTL_GET_FREE = 0x4C82
_AUTOCLEAR = 4
_LOOP_INFO = struct.Struct("=24xQQ12xI64s64s32s16x")
_TRIES = 64
# There are ten thousand sizes, and each template is a descriptor and some of the disk.
_MOST_TEMPLATES = 16
_GIVEN_NUMBER = 9
_GIVEN = f"/proc/self/fd/{_GIVEN_NUMBER}"


class UnavailableError(Exception):
    """This machine cannot do it, and why."""


class Images:
    """The templates, kept in one directory, and the loop devices."""

    def __init__(self, directory: Path) -> None:
        """Raises UnavailableError, also where a first mount shows that it cannot work."""
        self._directory = directory
        self._programs = [_program("mkfs.ext4"), _program("debugfs")]
        self._present = _devices()
        self._used: set[int] = set()
        self._templates: dict[int, int] = {}
        try:
            directory.mkdir(mode=0o700, exist_ok=True)
            self.control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        except OSError as exc:
            raise UnavailableError(f"{exc.filename}: {exc.strerror}") from exc

    @property
    def descriptors(self) -> list[int]:
        """What a process needs to go on with these."""
        return [self.control, *self._templates.values()]

    def mount(self, size_mib: int) -> int:
        """Return a detached mount of a new, empty file system with room for `size_mib`."""
        return self._mount_copy(self._template(size_mib))

    def close(self) -> None:
        """Remove the loop devices that were added for us and that nobody uses now."""
        for number in self._used - self._present:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.control, _LOOP_CTL_REMOVE, number)
        for descriptor in self.descriptors:
            os.close(descriptor)
        self._templates.clear()

    def _mount_copy(self, template: int) -> int:
        image = self._copy(template)
        try:
            device = self._attach(image)
        finally:
            os.close(image)
        try:
            options = {"source": os.readlink(f"/proc/self/fd/{device}"), **_OPTIONS}
            return linux.new_filesystem("ext4", options, _ATTRIBUTES)
        finally:
            os.close(device)

    def _template(self, size_mib: int) -> int:
        if size_mib not in self._templates:
            while len(self._templates) >= _MOST_TEMPLATES:
                os.close(self._templates.pop(next(iter(self._templates))))
            template = self._nameless()
            try:
                _make(template, size_mib, *self._programs)
            except OSError:
                os.close(template)
                raise
            self._templates[size_mib] = template
        return self._templates[size_mib]

    def _nameless(self) -> int:
        return os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)

    def _copy(self, template: int) -> int:
        """Return a descriptor of a copy, in which holes are holes."""
        copy = self._nameless()
        try:
            _copy_data(template, copy)
        except OSError:
            os.close(copy)
            raise
        return copy

    def _attach(self, image: int) -> int:
        """Return a descriptor of a loop device that detaches itself after its last user."""
        info = _LOOP_INFO.pack(0, 0, _AUTOCLEAR, b"", b"", b"")
        configuration = struct.pack("=II", image, _BLOCK) + info + bytes(64)
        for _ in range(_TRIES):
            number = fcntl.ioctl(self.control, _LOOP_CTL_GET_FREE)
            device = -1
            try:
                device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
                fcntl.ioctl(device, _LOOP_CONFIGURE, configuration)
            except OSError as exc:
                if device >= 0:
                    os.close(device)
                if exc.errno not in (errno.EBUSY, errno.ENOENT):
                    raise
                continue  # somebody else took it, or removed it, in between
            self._used.add(number)
            return device
        raise OSError(errno.EBUSY, "every loop device was taken by somebody else")


def _make(template: int, size_mib: int, mkfs: str, debugfs: str) -> None:
    """Make a file system in the empty file `template`."""
    os.ftruncate(template, image_bytes(size_mib))
    _run(
        template, mkfs, "-q", "-F", "-m", "0", "-b", str(_BLOCK), "-I", "256",
        "-N", str(inodes(size_mib)), "-O", _FEATURES,
        "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", _GIVEN,
    )  # fmt: skip
    _run(template, debugfs, "-w", "-R", "rmdir lost+found", _GIVEN)
    _run(template, debugfs, "-w", "-R", "set_inode_field <2> mode 041777", _GIVEN)


def inodes(size_mib: int) -> int:
    """Return how many files may be in it: one per 16 KiB, as mkfs would have it."""
    return size_mib * 64


def image_bytes(size_mib: int) -> int:
    """Return how large a file system must be to have room for `size_mib`.

    On top come the inodes, what ext4 keeps back (2 %, 16 MiB at most), and its maps.
    """
    kept_back = min(size_mib // 49 + 1, 16)
    return (size_mib + size_mib // 64 + kept_back + size_mib // 1024 + 2) * _MIB


def _copy_data(source: int, copy: int) -> None:
    size = os.fstat(source).st_size
    os.ftruncate(copy, size)
    position = 0
    while True:
        try:
            begin = os.lseek(source, position, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise
            return  # nothing but a hole is left
        position = os.lseek(source, begin, os.SEEK_HOLE)
        while begin < position:
            copied = os.copy_file_range(source, copy, position - begin, begin, begin)
            if copied == 0:
                raise OSError(errno.EIO, "a template became shorter while it was copied")
            begin += copied


def _devices() -> set[int]:
    names = [name.removeprefix("loop") for name in os.listdir("/sys/block")]
    return {int(name) for name in names if name.isdigit()}


def _program(name: str) -> str:
    for directory in _PROGRAMS:
        path = f"{directory}/{name}"
        if os.access(path, os.X_OK):
            return path
    raise UnavailableError(f"{name} is not installed (it is part of e2fsprogs)")


def _run(file: int, *command: str) -> None:
    """Run a program on `file`, which it knows as _GIVEN.

    Not by `subprocess`, which takes longer to import than all of this.
    """
    actions = [
        *((os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in range(3)),
        (os.POSIX_SPAWN_DUP2, file, _GIVEN_NUMBER),
    ]
    pid = os.posix_spawn(command[0], command, {"LC_ALL": "C"}, file_actions=actions)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        raise OSError(errno.EIO, f"{' '.join(command)} ended with status {status}")
