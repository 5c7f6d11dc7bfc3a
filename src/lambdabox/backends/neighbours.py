"""Where other AWS services are: at the URLs that the settings give, else in moto's server.

The server is a process of the node's, started when it is first asked for and again when it
has ended. What it holds is in its memory, so an idle node does not pay for it, and whoever
relies on its data is told.
"""

import logging
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio
from anyio.abc import Process, TaskStatus

from lambdabox.aws_ports import AwsCallError, Endpoint, SigningKey
from lambdabox.backends.moto_server import TOKEN_HEADER
from lambdabox.domain.values import dataclass

log = logging.getLogger("lambdabox")

DEFAULT = "default"
"""Stands for every service that is not named, in the settings."""
START_SECONDS = 30.0
END_SECONDS = 5.0

# The account of a request, which moto would otherwise take for its own.
ACCOUNT_HEADER = "x-moto-account-id"


@dataclass(frozen=True, slots=True)
class _Running:
    port: int
    token: str


class LocalNeighbours:
    """A Neighbours. `endpoints` maps signing names of services, or `default`, to URLs; `key`
    signs what goes there."""

    def __init__(self, endpoints: Mapping[str, str], key: SigningKey | None = None) -> None:
        self._endpoints = endpoints
        self._key = key
        self._wanted = anyio.Event()
        self._changed = anyio.Event()
        self._running: _Running | None = None
        self._failure: str | None = None

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run the server from when it is first asked for, until cancelled."""
        task_status.started()
        while True:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            try:
                await self._run()
            except OSError as exc:  # of which a timeout is one
                self._tell(failure=f"it cannot be started: {str(exc) or 'it said nothing'}")

    async def endpoint(self, service: str) -> Endpoint:
        url = self._endpoints.get(service) or self._endpoints.get(DEFAULT)
        if url is not None:
            return Endpoint(url, key=self._key)
        with anyio.move_on_after(START_SECONDS):
            running = await self._started()
            return Endpoint(
                f"http://127.0.0.1:{running.port}",
                is_own=True,
                headers={TOKEN_HEADER: running.token},
            )
        raise _unreachable(service, f"it did not start within {START_SECONDS:g} seconds")

    def status(self) -> Mapping[str, str]:
        """Where services are, for the health page."""
        own = "running" if self._running is not None else "started when first used"
        return {DEFAULT: f"moto, {own}", **self._endpoints}

    async def _started(self) -> _Running:
        self._failure = None
        while self._running is None:
            if self._failure is not None:
                raise _unreachable(DEFAULT, self._failure)
            self._wanted.set()
            await self._changed.wait()
        return self._running

    async def _run(self) -> None:
        token = secrets.token_hex(16)
        async with _process() as process:
            try:
                port = await _introduce(process, token)
            except (anyio.BrokenResourceError, anyio.EndOfStream, ValueError):
                self._tell(failure="it ended while it started; what it wrote is above")
                return
            self._tell(_Running(port, token))
            log.warning(
                "moto stands for other AWS services and keeps their data in memory: queues, "
                "buckets and tables are gone when the node ends"
            )
            try:
                await process.wait()
            finally:
                self._tell(failure="it has just ended")
        log.error("moto has ended, and the data of other AWS services with it")

    def _tell(self, running: _Running | None = None, *, failure: str | None = None) -> None:
        self._running, self._failure = running, failure
        self._changed.set()
        self._changed = anyio.Event()


async def _introduce(process: Process, token: str) -> int:
    """Tell the server its word, and return its port once it serves."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a process was started without the pipes that were asked for")
    with anyio.fail_after(START_SECONDS):
        await process.stdin.send(f"{token}\n".encode())
        return int(await process.stdout.receive(64))


@asynccontextmanager
async def _process() -> AsyncIterator[Process]:
    """The server's process for the block: it sees none of the node's environment."""
    process = await anyio.open_process(
        [sys.executable, "-P", "-m", "lambdabox.backends.moto_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        cwd="/",
        env={
            "PYTHONPATH": ":".join(path for path in sys.path if path),
            "TMPDIR": tempfile.gettempdir(),
            "HOME": "/nonexistent",
            # Which pages may read an answer is for the node to say.
            "MOTO_DISABLE_GLOBAL_CORS": "true",
            # Roles of templates are given AWS's own policies.
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
            # The node sends buckets' names in paths.
            "S3_IGNORE_SUBDOMAIN_BUCKETNAME": "true",
        },
    )
    try:
        yield process
    finally:
        with anyio.move_on_after(END_SECONDS, shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()


def _unreachable(service: str, message: str) -> AwsCallError:
    return AwsCallError(service, "Connect", "Unreachable", f"moto's server: {message}")
