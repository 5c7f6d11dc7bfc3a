"""The state machine of the extensions of one sandbox, beside its runtime's session.

It does no I/O: the Extensions API leaves a `deliver` callback with each `next`, and what
the environment waits for are conditions over the states here.

    STARTED ── register ──► REGISTERED ── next ──► READY ── event ──► RUNNING ── next ──► READY
                                └─ init_error, exit_error, an exit ──► a failure of them all

External extensions are programs the platform started, known by name before they register;
whoever else registers during init is an internal one, inside the runtime's process. What
they send comes from hostile code and is checked here.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from enum import Enum

import orjson

from lambdabox.domain import limits
from lambdabox.domain.invocations import Invocation
from lambdabox.domain.values import dataclass
from lambdabox.telemetry.extension_events import ExtensionStatus

INVOKE, SHUTDOWN = "INVOKE", "SHUTDOWN"

Deliver = Callable[[bytes], None]
"""Hand the event, as JSON, to the waiting extension."""

_NAME_CHARS = 128
_ERROR_TYPE_CHARS = 256


class State(Enum):
    """The values are the names AWS uses."""

    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    LAUNCH_ERROR = "LaunchError"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    EXITED = "Exited"


_ALIVE = (State.STARTED, State.REGISTERED, State.READY, State.RUNNING)


class RefusedError(Exception):
    """An extension made a call that is not allowed. Told as a 403 of this type."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.message = message


@dataclass(frozen=True, slots=True)
class ExtensionFailure:
    """An extension failed, and its environment with it."""

    error_type: str
    message: str


@dataclass(slots=True)
class Extension:
    name: str
    is_external: bool
    state: State = State.STARTED
    events: tuple[str, ...] = ()
    identifier: str = field(default_factory=lambda: str(uuid.uuid4()))
    error_type: str | None = None
    deliver: Deliver | None = None
    pending: bytes | None = None
    """An event that came while no call waited for it: the connection had dropped."""


def invoke_event(invocation: Invocation, deadline_ms: int) -> bytes:
    """Return what extensions are told of an invocation."""
    return orjson.dumps(
        {
            "eventType": INVOKE,
            "deadlineMs": deadline_ms,
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.invoked_arn,
            "tracing": {"type": "X-Amzn-Trace-Id", "value": invocation.trace},
        }
    )


class Extensions:
    """All extensions of one sandbox. `on_failure` is called at the first failure."""

    def __init__(self, on_failure: Callable[[ExtensionFailure], None] = lambda _: None) -> None:
        self._on_failure = on_failure
        self._all: dict[str, Extension] = {}
        self._is_open = True
        self._is_ending = False
        self._has_runtime = True
        self._changed: asyncio.Future[None] | None = None
        self.failure: ExtensionFailure | None = None
        self.takes_invocations = False
        """Whether any extension wants to hear of invocations."""

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def has_external(self) -> bool:
        return any(extension.is_external for extension in self._all.values())

    @property
    def is_busy(self) -> bool:
        """Whether an extension still works on the event it was given."""
        return self.takes_invocations and any(
            extension.state is State.RUNNING for extension in self._all.values()
        )

    def statuses(self) -> Iterator[ExtensionStatus]:
        for each in self._all.values():
            yield ExtensionStatus(each.name, each.state.value, each.events, each.error_type)

    # Called by the environment.

    def expect(self, name: str) -> None:
        """An external extension is about to be started."""
        self._all[name] = Extension(name, is_external=True)

    def launch_failed(self, name: str, error_type: str, message: str) -> None:
        self._all[name].state = State.LAUNCH_ERROR
        self._all[name].error_type = error_type
        self._fail(ExtensionFailure("Extension.LaunchError", message))

    def exited(self, name: str, reason: str) -> None:
        """The program of an external extension has ended; `reason` says how."""
        extension = self._all[name]
        if extension.state in _ALIVE:
            extension.state = State.EXITED
            if not self._is_ending:
                extension.error_type = "Extension.Crash"
        self._fail(ExtensionFailure("Extension.Crash", reason))

    async def registered(self) -> ExtensionFailure | None:
        """Return None once all external extensions have registered, or what failed."""
        return await self._until(lambda: not self._in_state(State.STARTED))

    async def ready(self) -> ExtensionFailure | None:
        """Return None once every extension has asked for its first event, or what failed."""
        return await self._until(lambda: not self._in_state(State.STARTED, State.REGISTERED))

    async def free(self) -> bool:
        """Return True once no extension works on an event, False if one has failed."""
        return await self._until(lambda: not self.is_busy) is None and not self.is_busy

    def runtime_ended(self) -> None:
        """Their runtime is gone: nobody need wait for them any more."""
        self._has_runtime = False
        self._note_change()

    def end(self) -> None:
        """The sandbox ends: nobody need wait for its extensions, or blame them."""
        self._is_ending = True
        self.runtime_ended()

    def close_registration(self) -> None:
        """Init is over: nobody registers any more."""
        self._is_open = False

    def invoke(self, event: bytes) -> None:
        """Tell whoever wants to know that an invocation begins."""
        self._tell(INVOKE, event)

    def shut_down(self, reason: str, deadline_ms: int) -> list[str]:
        """Tell that the environment ends; return the external extensions that are told."""
        self._is_ending = True
        event = {"eventType": SHUTDOWN, "shutdownReason": reason, "deadlineMs": deadline_ms}
        return self._tell(SHUTDOWN, orjson.dumps(event))

    # Called by the Extensions API. All raise RefusedError.

    def register(self, name: str, events: Sequence[str]) -> Extension:
        if not name or len(name) > _NAME_CHARS or not name.isprintable():
            message = "Empty extension name" if not name else "Invalid extension name"
            raise RefusedError("Extension.InvalidExtensionName", message)
        extension = self._all.get(name)
        is_external = extension is not None and extension.is_external
        for event in events:
            if event != INVOKE and not (event == SHUTDOWN and is_external):
                raise RefusedError("Extension.InvalidEventType", f"{event[:64]}: Invalid event")
        if extension is None or not is_external:
            extension = self._add_internal(name)
        self._check(extension, State.REGISTERED, (State.STARTED,), shown=name)
        extension.state = State.REGISTERED
        extension.events = tuple(dict.fromkeys(events))
        self.takes_invocations |= INVOKE in extension.events
        self._note_change()
        return extension

    def find(self, identifier: str) -> Extension:
        if not identifier:
            raise RefusedError(
                "Extension.MissingExtensionIdentifier",
                "Missing Lambda-Extension-Identifier header",
            )
        try:
            normal = str(uuid.UUID(identifier))
        except ValueError:
            raise RefusedError(
                "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"
            ) from None
        for extension in self._all.values():
            # An extension that has not registered has not been told its identifier.
            if extension.identifier == normal and extension.state is not State.STARTED:
                return extension
        raise RefusedError("Extension.UnknownExtensionIdentifier", f"Unknown extension {normal}")

    def next(self, extension: Extension, deliver: Deliver) -> None:
        """The extension asks for an event, and is done with the one before."""
        self._check(extension, State.READY, (State.REGISTERED, State.RUNNING))
        if extension.pending is not None:
            event, extension.pending = extension.pending, None
            extension.state = State.RUNNING
            deliver(event)
            return
        extension.state = State.READY
        extension.deliver = deliver
        self._note_change()

    def withdraw(self, extension: Extension) -> None:
        """The connection of a waiting `next` is gone; the extension may ask again."""
        if extension.state is State.READY:
            extension.state = State.REGISTERED
            extension.deliver = None

    def report_error(self, extension: Extension, error_type: str, *, in_init: bool) -> None:
        """The extension says that it failed. Ends the environment."""
        if not error_type:
            raise RefusedError(
                "Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"
            )
        state = State.INIT_ERROR if in_init else State.EXIT_ERROR
        in_time = (State.REGISTERED,) if self._is_open else ()
        self._check(extension, state, in_time if in_init else _ALIVE)
        error_type = "".join(filter(str.isprintable, error_type[:_ERROR_TYPE_CHARS]))
        extension.state, extension.error_type = state, error_type
        extension.deliver = None
        message = f"extension {extension.name} reported {error_type}"
        self._fail(ExtensionFailure(f"Extension.{state.value}", message))

    def _add_internal(self, name: str) -> Extension:
        if not self._is_open:
            raise RefusedError(
                "Extension.RegistrationClosed", "Extension registration closed already"
            )
        if name in self._all:
            raise RefusedError(
                "Extension.InvalidExtensionState", "Extension with this name already registered"
            )
        if len(self._all) >= limits.EXTENSIONS:
            raise RefusedError(
                "Extension.TooManyExtensions", f"Extension limit ({limits.EXTENSIONS}) reached"
            )
        extension = self._all[name] = Extension(name, is_external=False)
        return extension

    def _check(
        self, extension: Extension, to: State, allowed: Sequence[State], *, shown: str = ""
    ) -> None:
        if extension.state not in allowed:
            raise RefusedError(
                "Extension.InvalidExtensionState",
                f"State transition from {extension.state.value} to {to.value} failed for "
                f"extension {shown or extension.identifier}. "
                "Error: State transition is not allowed",
            )

    def _tell(self, kind: str, event: bytes) -> list[str]:
        told = []
        for extension in self._all.values():
            if kind not in extension.events or extension.state not in _ALIVE:
                continue
            told.append(extension.name)
            extension.state = State.RUNNING
            deliver, extension.deliver = extension.deliver, None
            if deliver is None:
                extension.pending = event
            else:
                deliver(event)
        return told

    def _fail(self, failure: ExtensionFailure) -> None:
        if self.failure is None and not self._is_ending:
            self.failure = failure
            self._on_failure(failure)
        self._note_change()

    def _in_state(self, *states: State) -> bool:
        return any(extension.state in states for extension in self._all.values())

    async def _until(self, condition: Callable[[], bool]) -> ExtensionFailure | None:
        while self.failure is None and self._has_runtime and not condition():
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)
        return self.failure

    def _note_change(self) -> None:
        if self._changed is not None:
            changed, self._changed = self._changed, None
            changed.set_result(None)
