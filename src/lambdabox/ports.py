"""Every seam of the platform, as Protocols whose docstrings are the contracts.

Those between whoever asks for invocations and what runs them are in `execution_ports.py`, the
durable queue in `queue_ports.py`.
Each implementation passes the shared suite in tests/contract. What stands behind a
port is chosen in `server/wiring.py` and nowhere else.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from lambdabox.domain.values import dataclass

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from lambdabox.domain.metrics import Metric

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


class PostingDatabase(Database, Protocol):
    """A database that is also written to where nobody can wait."""

    def post(
        self, work: Callable[["Connection"], T], done: Callable[[T | Exception], None]
    ) -> None:
        """As `write`, without waiting: `done` is told what it would have returned or raised.

        Called once, on the event loop, where this must be called too; it must not raise.
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


class Bus(Protocol):
    """Tells parts of the platform, and in a cluster other nodes, that something changed."""

    def publish(self, topic: str, subject: str) -> None: ...

    def subscribe(self, topic: str, listener: Callable[[str], None]) -> None:
        """Call `listener(subject)` after each publication, on the event loop."""


class Cipher(Protocol):
    """Encrypts what is secret in the database. Its calls block, and belong on a thread.

    Both raise KMSException, with the reason alone as its message.
    """

    def seal(self, content: bytes, place: str) -> str:
        """Return `content` encrypted. The same content at the same place gives the same text."""

    def open(self, sealed: str, place: str) -> bytes:
        """Return what was sealed for this place."""


class SigningKeys(Protocol):
    """The public keys of signing profiles. Its call blocks, and belongs on a thread."""

    def verify(self, profile_arn: str, message: bytes, signature: bytes) -> bool:
        """Whether the profile's key made `signature` for `message`.

        Raises KeyError, with what is wrong, if there is no usable key of the profile.
        """


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
    descriptor (CHANNEL_FD_VARIABLE) and where the Runtime API is (isolation/variables.py)."""
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
    executable: Path | None = None
    """The interpreter's program, None for OS-only runtimes."""
    account: str = ""
    """Whose function it is: sandboxes of two accounts share nothing that could tell on either."""
    is_forkable: bool = False
    """Whether the command is the bundled Python bootstrap, started as always, so that a driver
    may fork it from a process that has imported it already."""
    is_awaitable: bool = False
    """Whether the command is the bundled Node.js bootstrap, started as always, so that a driver
    may start it beforehand and say later which function it serves."""

    @property
    def is_snap_start(self) -> bool:
        """Whether the runtime goes through a restore point, and fetches its credentials."""
        return self.environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


CHANNEL_FD_VARIABLE = "LAMBDABOX_CHANNEL_FD"
CREDENTIALS_TOKEN_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105  # only a name
CREDENTIALS_PATH = "/2021-04-23/credentials"
"""Where the Runtime API's listener answers whoever sends that token."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a sandbox's first process ended: a status, or the signal that killed it."""

    status: int | None = None
    signal: int | None = None
    out_of_memory: bool = False


class InvalidEntrypointError(Exception):
    """The sandbox's program cannot be started: missing, not executable, no valid format."""


class CannotCloneError(Exception):
    """A sandbox's process cannot be copied. The message says why, as the end of a sentence
    for the function's author: `its init left 3 threads running`.

    `is_final` where another template of the same function would be refused as well.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class SandboxGoneError(Exception):
    """The sandbox was destroyed before, or while, something was started in it."""


class Program(Protocol):
    """A program that runs in a sandbox beside its runtime: an extension."""

    output: int
    """Read end of the pipe behind its stdout and stderr, non-blocking. The sandbox closes it."""

    async def wait(self) -> Exit:
        """Return once the program has ended. Its own processes may live on."""


class Sandbox(Protocol):
    """A prepared sandbox; `launch` starts its runtime. Its starter is its only owner."""

    channel: socket.socket
    """This side of the private channel (see runtime/channel.py), non-blocking."""
    output: int
    """Read end of the pipe behind stdout and stderr, non-blocking."""
    listener: socket.socket
    """Listening socket of the Runtime API, reachable only from inside where that is possible."""

    async def launch(self) -> None:
        """Start `spec.command`, the runtime. Called once at most.

        Raises InvalidEntrypointError if the function's own files are at fault, and
        SandboxGoneError once the sandbox is destroyed.
        """

    async def run(self, command: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Start a further program, before or after the runtime, under the sandbox's limits.

        `environment` is complete but for AWS_LAMBDA_RUNTIME_API; the channel is not passed
        on. Raises as `launch` does.
        """

    async def connect(self, port: int) -> socket.socket:
        """Return a non-blocking TCP socket connected to 127.0.0.1:`port` as seen from inside.

        Raises OSError if nobody listens there. The caller sets a limit and closes the socket.
        """

    def terminate(self) -> None:
        """Send SIGTERM to the runtime, and to it alone. Never raises."""

    async def wait(self) -> Exit:
        """Return once the runtime has ended; an empty Exit if destroyed before its launch."""

    def peak_memory_bytes(self) -> int:
        """The most memory used so far, 0 when unknown. Never raises."""

    async def clone(self, spec: SandboxSpec) -> "Sandbox":
        """Return a sandbox of its own for `spec`, whose runtime process is a fork of this one's.

        That process waits at its restore point, on a channel of its own: `launch` is not called.
        Code, command and variables are what they were, the Runtime API is at the same address
        as seen from inside; what differs between environments is sent with frame T.
        Raises CannotCloneError, also when this sandbox has ended; nothing is left behind then.
        """

    def limit_cpu(self) -> None:
        """Hold it to the processor time that its memory buys, from now on. Never raises."""

    def freeze(self) -> None:
        """Stop every process where it is, where the driver can. Never raises."""

    def thaw(self) -> None:
        """Let them go on. Never raises."""

    async def destroy(self) -> None:
        """End every process, programs too, and give everything back.

        May be called twice; never raises.
        """


@dataclass(frozen=True, slots=True)
class Layout:
    """Where code, layers and runtime files appear to the code inside a sandbox."""

    task_root: str
    layer_roots: tuple[str, ...]
    runtime_root: str
    interpreter_root: str | None = None
    packages_root: str | None = None
    """Where the packages of Python runtimes are, if the driver shows them at a place of its own."""


class IsolationDriver(Protocol):
    """A way to hold hostile code."""

    name: str
    can_clone: bool
    """Whether its sandboxes' `clone` may succeed."""

    def layout(
        self,
        code: Path,
        layers: Sequence[Path],
        runtime_files: Path,
        interpreter: Path | None = None,
    ) -> Layout:
        """Return how the given directories of the host look from inside."""

    async def prepare(self, spec: SandboxSpec) -> None:
        """Sandboxes for `spec`'s kind will be wanted soon. Never raises, and does not wait."""

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """Prepare a fresh sandbox. Nothing runs in it yet. On failure nothing is left behind."""

    async def remove_scratch(self, scratch: Path) -> None:
        """Forget what sandboxes wrote to `scratch`; none of them lives. Never raises."""


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
    restore_ms: float | None = None
    """Of the restore that this invocation had to wait for. Billed apart, by memory."""
    qualifier: str = ""
    """The version or alias that the caller named, if any: `1`, `live`."""
    initialization: str = "on-demand"
    """How its environment came to be: a domain.invocations.InitializationType."""
    queue_ms: float | None = None
    """How long an asynchronous event had been accepted when this attempt began."""
    stream: LogStream | None = None
    """Where its log lines are."""
    trace: str = ""
    """The trace header that the function was given. For spans; it is not stored."""


class Journal(Protocol):
    """Append-only records of what ran. Buffered, and durable within a fraction of a second."""

    def log(self, line: LogLine) -> None:
        """Take one line. Never blocks or fails; under overload lines are dropped and counted."""

    def usage(self, usage: Usage) -> None: ...

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        """Take an invocation's last lines, all the platform's own, with what it used.

        As `log` for each and `usage`, for less: it happens thousands of times a second.
        """


class Measurements(Protocol):
    """Values of metrics, added up in memory and durable within a fraction of a second."""

    def measure(
        self, metric: "Metric", value: float, *, count: int = 1, unit: str = "Count"
    ) -> None:
        """Take a value of this moment, `count` times. Never blocks or fails."""
