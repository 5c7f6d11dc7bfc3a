"""Sandboxes as tests of isolation drivers make and watch them."""

import asyncio
import contextlib
import itertools
import os
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio

from lambdabox.ports import IsolationDriver, Sandbox, SandboxSpec

PATIENCE = 20

numbers = itertools.count(secrets.randbelow(10**6) * 1000)
"""Tell one test's daemons from another's."""

SetUp = Callable[..., SandboxSpec]
"""The fixture `spec`: make a spec whose bootstrap is the given shell or Python text."""

DAEMON = """
import os, sys
name = "lbd%d" % int(os.environ["DAEMON"])
def daemon(clean):
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    if clean:
        os.execve("/bin/sleep", [name, "60"], {})
    with open("/proc/self/comm", "w") as comm:
        comm.write(name)
    os.write(1, b"up\\n")
    import time
    time.sleep(60)
for clean in (False, True):
    daemon(clean)
os.wait(); os.wait()
"""
"""Starts two daemons that leave their session; `daemons` finds them by their name."""


@contextlib.asynccontextmanager
async def started(driver: IsolationDriver, spec: SandboxSpec) -> AsyncIterator[Sandbox]:
    """A sandbox whose runtime runs."""
    async with prepared(driver, spec) as sandbox:
        await sandbox.launch()
        yield sandbox


@contextlib.asynccontextmanager
async def prepared(driver: IsolationDriver, spec: SandboxSpec) -> AsyncIterator[Sandbox]:
    sandbox = await driver.start(spec)
    try:
        with anyio.fail_after(PATIENCE):
            yield sandbox
    finally:
        await sandbox.destroy()


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


async def read_until(sandbox: Sandbox, end: bytes) -> bytes:
    """Return the output up to and with `end`."""
    output = b""
    with anyio.fail_after(PATIENCE):
        while end not in output:
            await readable(sandbox.output)
            chunk = os.read(sandbox.output, 65536)
            assert chunk, f"the output ended with {output!r}"
            output += chunk
    return output


async def read_all(sandbox: Sandbox) -> bytes:
    output = b""
    with anyio.fail_after(PATIENCE):
        while True:
            await readable(sandbox.output)
            chunk = os.read(sandbox.output, 65536)
            if not chunk:
                return output
            output += chunk


async def daemons(number: int) -> set[int]:
    """Wait until both daemons of DAEMON with that number run; return their process ids."""
    with anyio.fail_after(PATIENCE):
        while len(found := named(f"lbd{number}")) < 2:  # noqa: ASYNC110  (no event tells)
            await anyio.sleep(0.01)
    return found


def named(name: str) -> set[int]:
    """The processes of this machine, in whatever namespace, that go by `name`."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                comm = (entry / "comm").read_text().strip()
                command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
                if name in (comm, command):
                    found.add(int(entry.name))
    return found


def is_running(pid: int) -> bool:
    """Tell whether `pid` lives or is a zombie."""
    return Path(f"/proc/{pid}").exists()


def children() -> set[int]:
    """This process's children, zombies too."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_bytes().rsplit(b")", 1)[1].split()
                if int(fields[1]) == os.getpid():
                    found.add(int(entry.name))
    return found


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
