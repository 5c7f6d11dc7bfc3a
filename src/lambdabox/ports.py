"""Every seam of the platform, as Protocols whose docstrings are the contracts.

Each implementation passes the shared suite in tests/contract. What stands behind a
port is chosen in `server/wiring.py` and nowhere else.
"""

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lambdabox.domain.arn import FunctionKey
    from lambdabox.domain.functions import Deployment
    from lambdabox.domain.invocations import Invocation, Outcome

T = TypeVar("T")


class Clock(Protocol):
    """Where time comes from, so that a six-hour rule is tested in a millisecond."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds from some point, never going back; for durations."""

    async def sleep(self, seconds: float) -> None: ...


class Database(Protocol):
    """The platform's records. Work runs off the event loop, on the given connection."""

    async def read(self, work: Callable[["Connection"], T]) -> T:
        """Return what `work` finds in one consistent snapshot."""

    async def write(self, work: Callable[["Connection"], T]) -> T:
        """Run `work` in a transaction of its own; return once it survives a crash.

        An exception from `work` undoes all it did and is raised here.
        """


class BlobStore(Protocol):
    """Bytes named by the SHA-256 of their content, so a blob never changes."""

    async def put(self, content: bytes) -> str:
        """Return the digest, in hexadecimal, once the blob survives a crash."""

    async def get(self, digest: str) -> bytes:
        """Return the blob, or raise KeyError."""

    def path(self, digest: str) -> Path:
        """Return a local file holding the blob; it must have been put."""

    async def delete(self, digest: str) -> None:
        """Forget the blob. One that is not there is no error."""


@dataclass(frozen=True, slots=True)
class Message:
    """An entry of the durable queue. `group` shares the queue fairly: a function's ARN."""

    id: str
    group: str
    body: bytes
    enqueued_at: float
    retries: int = 0
    throttles: int = 0


class Delivery(Protocol):
    """A message on loan. Exactly one of `ack` and `retry_later` settles it."""

    message: Message

    async def ack(self) -> None:
        """Forget the message, durably."""

    async def extend(self, seconds: float) -> None:
        """Keep the loan for `seconds` from now."""

    async def retry_later(self, message: Message, delay: float) -> None:
        """Store `message` for `delay` seconds from now, and only then release this delivery."""


class Queue(Protocol):
    """At-least-once, durable before acknowledged, fair between groups."""

    async def put(self, message: Message, *, delay: float = 0) -> None:
        """Return once the message survives a crash of this node."""

    async def receive(self, limit: int, wait: float) -> Sequence[Delivery]:
        """Up to `limit` deliveries, waiting at most `wait` seconds for the first.

        One that is not settled before its loan ends is delivered again.
        """


class Bus(Protocol):
    """Tells parts of the platform, and in a cluster other nodes, that something changed."""

    def publish(self, topic: str, subject: str) -> None: ...

    def subscribe(self, topic: str, listener: Callable[[str], None]) -> None:
        """Call `listener(subject)` after each publication, on the event loop."""


class ObjectFetcher(Protocol):
    """Reads code from an S3-compatible store."""

    async def fetch(
        self,
        bucket: str,
        key: str,
        *,
        object_version: str | None,
        region: str,
        account: str,
        limit: int,
    ) -> bytes:
        """Return the object.

        Raises InvalidParameterValueException with AWS's wording for a missing bucket or key
        and for an object above `limit` bytes.
        """


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything a driver needs to start a bootstrap. Paths are the host's."""

    id: str
    command: Sequence[str]
    environment: Mapping[str, str]
    """Complete: nothing is inherited. The driver adds what only it knows: the channel's
    descriptor (CHANNEL_FD_VARIABLE) and AWS_LAMBDA_RUNTIME_API."""
    code: Path
    layers: Sequence[Path]
    scratch: Path
    """This environment's own writable directory; kept when the sandbox is replaced."""
    memory_mib: int
    ephemeral_storage_mib: int
    runtime_files: Path
    """The bundled bootstraps."""
    interpreter: Path | None = None
    """The root of the language's installation, None for OS-only runtimes."""


CHANNEL_FD_VARIABLE = "LAMBDABOX_CHANNEL_FD"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a sandbox's first process ended: a status, or the signal that killed it."""

    status: int | None = None
    signal: int | None = None
    out_of_memory: bool = False


class InvalidEntrypointError(Exception):
    """The sandbox's program cannot be started: missing, not executable, no valid format."""


class Sandbox(Protocol):
    """A started sandbox. Its starter is its only owner."""

    channel: socket.socket
    """This side of the private channel (see runtime/channel.py), non-blocking."""
    output: int
    """Read end of the pipe behind stdout and stderr, non-blocking."""
    listener: socket.socket
    """Listening socket of the Runtime API, reachable only from inside where that is possible."""

    async def wait(self) -> Exit:
        """Return once the first process has ended."""

    def peak_memory_bytes(self) -> int:
        """The most memory used so far, 0 when unknown. Never raises."""

    async def destroy(self) -> None:
        """End every process and give everything back. May be called twice; never raises."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where code, layers and runtime files appear to the code inside a sandbox."""

    task_root: str
    layer_roots: tuple[str, ...]
    runtime_root: str


class IsolationDriver(Protocol):
    """A way to hold hostile code."""

    name: str

    def layout(self, code: Path, layers: Sequence[Path], runtime_files: Path) -> Layout:
        """Return how the given directories of the host look from inside."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Start `spec.command` in a fresh sandbox. On failure nothing is left behind.

        Raises InvalidEntrypointError if the function's own files are at fault.
        """


class Executor(Protocol):
    """Runs deployments in execution environments."""

    async def run(self, deployment: "Deployment", invocation: "Invocation") -> "Outcome":
        """Run to an outcome. Raise only if the platform failed, never for the function."""

    def begin(
        self,
        deployment: "Deployment",
        invocation: "Invocation",
        done: Callable[["Outcome | Exception"], None],
    ) -> bool:
        """Run if that needs no waiting for an environment; return whether it does.

        `done` is told, once and later, what `run` would have returned or raised. It must not
        raise. If False is returned nothing has happened.
        """

    async def prepare(self, deployment: "Deployment") -> None:
        """Make what `deployment` needs ready: its code and layers unpacked.

        Raises InvalidParameterValueException if its code cannot be used.
        """

    def retire(
        self, key: "FunctionKey", *, number: str | None = None, keep: str | None = None
    ) -> None:
        """Let go of the function's deployments (of one version, if given) once their requests end.

        The deployment whose id is `keep` stays.
        """

    async def sweep(self, keep: Collection[str]) -> None:
        """Remove what `prepare` made for code that is not in `keep`, and that nothing runs."""


class ConcurrencyLedger(Protocol):
    """Counts running invocations against the account's and the function's limits."""

    def lease(self, deployment: "Deployment") -> AbstractContextManager[None]:
        """Hold one unit for the block, or raise TooManyRequestsException at once."""

    def acquire(self, deployment: "Deployment") -> bool:
        """Take one unit without a block, if there is one. Exactly one `release` gives it back."""

    def release(self, deployment: "Deployment") -> None:
        """Give back what `acquire` took."""


# Each invocation makes several of the following. A named tuple is made, hashed and compared
# in C, four times as fast as a frozen dataclass.


class LogStream(NamedTuple):
    account: str
    region: str
    group: str
    name: str


class LogLine(NamedTuple):
    """One log event on its way to the journal. `timestamp_ms` since the epoch."""

    stream: LogStream
    timestamp_ms: int
    message: str


class Usage(NamedTuple):
    """What one invocation used: the bill's raw material. Times in seconds since the epoch."""

    account: str
    region: str
    function_name: str
    version: str
    architecture: str
    memory_mib: int
    ephemeral_storage_mib: int
    request_id: str
    started_at: float
    duration_ms: float
    init_ms: float | None
    billed_ms: int
    max_memory_mib: int
    status: str
    """success, error or timeout."""
    error_type: str | None = None


class Journal(Protocol):
    """Append-only records of what ran. Buffered, and durable within a fraction of a second."""

    def log(self, line: LogLine) -> None:
        """Take one line. Never blocks or fails; under overload lines are dropped and counted."""

    def usage(self, usage: Usage) -> None: ...

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        """Take an invocation's last lines, all the platform's own, with what it used.

        As `log` for each and `usage`, for less: it happens thousands of times a second.
        """
