"""A node as its users have it: a subprocess on a free port, spoken to with boto3."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

PROGRAM = Path(sys.executable).with_name("lambdabox")
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class NodeDidNotStart(Exception):
    """The node ended, or said nothing, instead of getting ready. Carries its output."""


class Node:
    """A running node. Use `running`, or `start` and `stop` where a test kills it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        prefix: Sequence[str | Path] = (),
        options: Sequence[str] = (),
        cwd: Path | None = None,
    ) -> None:
        """`prefix` is a command that becomes the node's, such as of `support.ordinary`."""
        self.data_dir = data_dir
        self._options = options
        self._prefix = prefix
        self._cwd = cwd
        self.url = ""
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        place = (cwd or Path()) / data_dir
        self._log = place.with_name(f"{data_dir.name}.log")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    @property
    def command(self) -> list[str | Path]:
        return [
            *self._prefix,
            PROGRAM,
            "up",
            "--port",
            "0",
            "--data-dir",
            self.data_dir,
            *self._options,
        ]

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def start(self) -> "Node":
        """Start and wait until the node says that it is ready."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            # Functions of most tests call servers of theirs on this machine.
            "LAMBDABOX_NETWORK": "host",
            **{f"LAMBDABOX_{name.upper()}": value for name, value in self._settings.items()},
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=self._cwd,
            )
        self.url = self._await_url()
        return self

    def stop(self) -> int:
        """Ask the node to stop, and return its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._wait()

    def wait(self) -> int:
        """Wait until the node has ended by itself, and return its exit status."""
        return self._wait()

    def kill(self) -> None:
        """End the node as a power cut would end it."""
        assert self._process is not None
        self._process.kill()
        self._wait()

    def client(
        self, service: str = "lambda", *, account: str = "test", region: str = "us-east-1"
    ) -> Any:
        """A boto3 client that does not retry: a test sees the first answer."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key="test",
            config=Config(
                retries={"max_attempts": 0, "mode": "standard"},
                read_timeout=60,
                max_pool_connections=64,
            ),
        )

    def _await_url(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        output = b""
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._process.stdout], [], [], left)[0]:
                break
            chunk = os.read(self._process.stdout.fileno(), 4096)
            output += chunk
            if found := re.search(rb"ready at (http://\S+)", output):
                return found.group(1).decode()
            if not chunk:
                break
        self._process.kill()
        self._wait()
        raise NodeDidNotStart(output.decode() + self.log)

    def _wait(self) -> int:
        assert self._process is not None
        try:
            return self._process.wait(STOP_SECONDS)
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()


@contextmanager
def running(
    data_dir: Path,
    *,
    settings: Mapping[str, str] | None = None,
    prefix: Sequence[str | Path] = (),
    options: Sequence[str] = (),
    cwd: Path | None = None,
) -> Iterator[Node]:
    """A node for the block, stopped in an orderly way after it."""
    node = Node(data_dir, settings=settings, prefix=prefix, options=options, cwd=cwd).start()
    try:
        yield node
    finally:
        status = node.stop()
    assert status == 0, node.log
