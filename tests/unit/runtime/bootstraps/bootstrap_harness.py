"""Start a bootstrap as a driver would and speak the frames of the private channel to it."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.programs import needed

import lambdabox

BOOTSTRAPS = Path(lambdabox.__file__).parent / "runtime" / "bootstraps"
PATIENCE = 30.0
REQUEST_ID = "8f5b7a1e-0000-4000-8000-000000000001"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:app"


@dataclass(frozen=True, slots=True)
class Frame:
    kind: str
    body: bytes

    @property
    def error_type(self) -> str:
        return self._head()[0]

    @property
    def cause(self) -> str:
        return self._head()[1]

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.error_text)
        return error

    @property
    def error_text(self) -> str:
        assert self.kind in "EHLX", self
        return self.body[4 + int.from_bytes(self.body[:4]) :].decode()

    @property
    def value(self) -> Any:
        assert self.kind == "R", self
        return json.loads(self.body)

    def _head(self) -> list[str]:
        assert self.kind in "EHLX", self
        return self.body[4 : 4 + int.from_bytes(self.body[:4])].decode().split("\0")


class Sandbox:
    """One running bootstrap. `output` is complete once the process has ended."""

    def __init__(self, command: Sequence[str], code: Path, environment: Mapping[str, str]) -> None:
        self._channel, inner = socket.socketpair()
        self._channel.settimeout(PATIENCE)
        reader, writer = os.pipe()
        self.channel_fd = inner.fileno()
        self.process = subprocess.Popen(
            command,
            cwd=code,
            env={**environment, "LAMBDABOX_CHANNEL_FD": str(inner.fileno())},
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            pass_fds=[inner.fileno()],
        )
        inner.close()
        os.close(writer)
        self._output = bytearray()
        self._drain = threading.Thread(target=self._read_output, args=(reader,))
        self._drain.start()

    def receive(self) -> Frame | None:
        """Return the next frame, or None if the bootstrap has closed the channel."""
        head = self._exactly(5)
        if head is None:
            return None
        body = self._exactly(int.from_bytes(head[:4]))
        return None if body is None else Frame(chr(head[4]), body)

    def send(self, payload: bytes, **head: str) -> None:
        fields = {
            "request_id": REQUEST_ID,
            "deadline_ms": str(int(time.time() * 1000) + 3000),
            "arn": ARN,
            "trace": "",
            "client_context": "",
            "identity": "",
            "tenant_id": "",
        }
        unknown = set(head) - set(fields)
        assert not unknown, unknown
        text = "\0".join((fields | head).values()).encode()
        body = len(text).to_bytes(4) + text + payload
        self._channel.sendall(len(body).to_bytes(4) + b"I" + body)

    def assign(self, directory: Path, **environment: str) -> None:
        """Name the function to a bootstrap that was started without one."""
        fixed = {"LAMBDABOX_CHANNEL_FD": str(self.channel_fd), "LAMBDA_TASK_ROOT": str(directory)}
        order = {"environment": fixed | environment, "directory": str(directory), "command": []}
        body = json.dumps(order).encode()
        self.send_raw(len(body).to_bytes(4) + b"A" + body)

    def send_raw(self, data: bytes) -> None:
        self._channel.sendall(data)

    def restore(self, **variables: str) -> None:
        """Let a bootstrap at its restore point go on."""
        body = json.dumps(variables).encode()
        self._channel.sendall(len(body).to_bytes(4) + b"T" + body)

    def ready(self) -> None:
        """Wait for the end of init, which must succeed."""
        frame = self.receive()
        assert frame == Frame("N", b""), (frame, self.end())

    def invoke(self, payload: bytes = b"{}", **head: str) -> Frame:
        """Return the answer to one event; the bootstrap must then be ready for another."""
        self.send(payload, **head)
        answer = self.receive()
        assert answer is not None, self.end()
        assert self.receive() == Frame("N", b"")
        return answer

    def stream(self, payload: bytes = b"{}", **head: str) -> list[Frame]:
        """Return all frames of one event, up to the bootstrap's next call."""
        self.send(payload, **head)
        frames: list[Frame] = []
        while True:
            frame = self.receive()
            assert frame is not None, (frames, self.end())
            if frame.kind == "N":
                return frames
            frames.append(frame)

    def end(self) -> str:
        """Close the channel if it is still open; return the whole output."""
        self._channel.close()
        self.process.wait(PATIENCE)
        self._drain.join(PATIENCE)
        return self._output.decode(errors="backslashreplace")

    def status(self) -> int:
        """Wait for the process to end by itself; return its status."""
        status = self.process.wait(PATIENCE)
        self.end()
        return status

    def destroy(self) -> None:
        self.process.kill()
        self.end()

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            try:
                chunk = self._channel.recv(min(size - len(data), 1 << 20))
            except ConnectionResetError:
                return None
            if not chunk:
                return None
            data += chunk
        return bytes(data)

    def _read_output(self, reader: int) -> None:
        with open(reader, "rb", buffering=0) as stream:
            while chunk := stream.read(65536):
                self._output += chunk


@contextmanager
def sandbox(
    command: Sequence[str],
    code: Path,
    files: Mapping[str, str | bytes],
    *,
    handler: str,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Sandbox]:
    """Run `command` over the given files; whatever still runs at the end is killed."""
    for name, content in files.items():
        path = code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    fixed = {
        "PATH": os.environ["PATH"],
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(code),
        "AWS_LAMBDA_FUNCTION_NAME": "app",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/app",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/01/01/[$LATEST]0",
    }
    started = Sandbox(command, code, {**fixed, **(environment or {})})
    try:
        yield started
    finally:
        started.destroy()


Start = Callable[..., AbstractContextManager[Sandbox]]
"""Starts a bootstrap over source text, with `handler=` and `environment=`."""


PYTHON_VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def starter(command: Sequence[str], source_name: str, directory: Path, **fixed: str) -> Start:
    """Return what starts `command` over a source text (`source_name`) or several files."""

    def start(
        source: str | Mapping[str, str | bytes],
        *,
        handler: str = f"{source_name.partition('.')[0]}.handler",
        environment: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Sandbox]:
        files = {source_name: source} if isinstance(source, str) else source
        code = directory / "task"
        code.mkdir()
        layer = {"LAMBDABOX_LAYER_PATHS": str(directory / "layer")}
        complete = {**layer, **fixed, **(environment or {})}
        return sandbox(command, code, files, handler=handler, environment=complete)

    return start


def python_starter(version: str, directory: Path) -> Start:
    """Skips if this machine has no such Python."""
    interpreter = python_interpreter(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} on this machine")
    command = [interpreter, "-S", str(BOOTSTRAPS / "python" / "bootstrap.py")]
    execution_environment = f"AWS_Lambda_python{version}"
    return starter(command, "app.py", directory, AWS_EXECUTION_ENV=execution_environment)


def node_starter(directory: Path) -> Start:
    command = [needed("node"), str(BOOTSTRAPS / "node" / "bootstrap.mjs")]
    return starter(command, "index.js", directory)


def ruby_starter(directory: Path) -> Start:
    command = [needed("ruby"), str(BOOTSTRAPS / "ruby" / "bootstrap.rb")]
    return starter(command, "app.rb", directory)


def running(*lines: str, head: str = "") -> str:
    """A Python handler with the given body."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"{head}\ndef handler(event, context):\n{body}\n"


def returning(expression: str, *, head: str = "") -> str:
    """A Python handler that returns the expression's value."""
    return running(f"return {expression}", head=head)


def choosing(expressions: Iterable[str], *, head: str = "") -> str:
    """A handler that returns the expression with the number it is sent."""
    cases = "".join(f"    lambda: {expression},\n" for expression in expressions)
    return returning("CASES[event]()", head=f"{head}\nCASES = [\n{cases}]\n")


def python_interpreter(version: str) -> str | None:
    """Return an interpreter of `version` (3.12), a pyenv one or else one on the PATH."""
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if found:
        return str(found[-1])
    on_path = shutil.which(f"python{version}")
    return None if on_path is None or "shims" in on_path else on_path
