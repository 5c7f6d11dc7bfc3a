"""The extensions' state machine: who may do what, when, and what everybody waits for."""

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from lambdabox.domain.invocations import Invocation
from lambdabox.runtime.extensions import (
    Extension,
    ExtensionFailure,
    Extensions,
    RefusedError,
    State,
    invoke_event,
)

pytestmark = pytest.mark.anyio

INVOCATION = Invocation("r1", "arn:aws:lambda:x", b"{}", trace="Root=1-2-3")
EVENT = invoke_event(INVOCATION, 1234)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Client:
    """One extension's side: keeps the events it was given."""

    def __init__(self, extensions: Extensions, extension: Extension) -> None:
        self.extension = extension
        self.events: list[dict[str, Any]] = []
        self._extensions = extensions

    def next(self) -> None:
        self._extensions.next(self.extension, lambda event: self.events.append(json.loads(event)))


def external(extensions: Extensions, name: str, *events: str) -> Client:
    extensions.expect(name)
    return Client(extensions, extensions.register(name, events))


def internal(extensions: Extensions, name: str, *events: str) -> Client:
    return Client(extensions, extensions.register(name, events))


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(RefusedError) as caught:
        call()
    return caught.value.error_type


async def is_waiting(condition: "asyncio.Task[Any]") -> bool:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    return not condition.done()


async def test_init_waits_for_every_registration_and_every_first_next() -> None:
    extensions = Extensions()
    extensions.expect("a")
    extensions.expect("b")
    registered = asyncio.ensure_future(extensions.registered())
    a = Client(extensions, extensions.register("a", ["INVOKE"]))
    assert await is_waiting(registered)
    b = Client(extensions, extensions.register("b", ["SHUTDOWN"]))
    assert await registered is None
    ready = asyncio.ensure_future(extensions.ready())
    a.next()
    assert await is_waiting(ready)
    b.next()
    assert await ready is None


async def test_an_invocation_is_told_to_those_who_asked_and_keeps_them_busy() -> None:
    extensions = Extensions()
    a, b = external(extensions, "a", "INVOKE"), external(extensions, "b", "SHUTDOWN")
    a.next()
    b.next()
    extensions.invoke(EVENT)
    assert a.events == [
        {
            "eventType": "INVOKE",
            "deadlineMs": 1234,
            "requestId": "r1",
            "invokedFunctionArn": "arn:aws:lambda:x",
            "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3"},
        }
    ]
    assert b.events == []
    assert extensions.is_busy
    free = asyncio.ensure_future(extensions.free())
    assert await is_waiting(free)
    a.next()
    assert await free
    assert not extensions.is_busy


async def test_without_interest_in_invocations_nobody_is_ever_busy() -> None:
    extensions = Extensions()
    assert not extensions
    assert not extensions.takes_invocations
    external(extensions, "a", "SHUTDOWN").next()
    assert extensions
    assert not extensions.takes_invocations
    assert not extensions.is_busy


async def test_an_event_reaches_an_extension_whose_connection_had_dropped() -> None:
    extensions = Extensions()
    a = external(extensions, "a", "INVOKE")
    a.next()
    extensions.withdraw(a.extension)
    extensions.invoke(EVENT)
    assert a.events == []
    assert extensions.is_busy
    a.next()
    assert a.events[0]["requestId"] == "r1"
    assert extensions.is_busy
    a.next()
    assert not extensions.is_busy


async def test_the_end_is_told_to_those_who_asked_with_its_reason() -> None:
    extensions = Extensions()
    a, b = external(extensions, "a", "INVOKE"), external(extensions, "b", "SHUTDOWN")
    a.next()
    b.next()
    assert extensions.shut_down("TIMEOUT", 99) == ["b"]
    assert a.events == []
    assert b.events == [{"eventType": "SHUTDOWN", "shutdownReason": "TIMEOUT", "deadlineMs": 99}]


async def test_a_busy_extension_hears_of_the_end_when_it_asks_next() -> None:
    extensions = Extensions()
    a = external(extensions, "a", "INVOKE", "SHUTDOWN")
    a.next()
    extensions.invoke(EVENT)
    assert extensions.shut_down("SPINDOWN", 99) == ["a"]
    assert [event["eventType"] for event in a.events] == ["INVOKE"]
    a.next()
    assert [event["eventType"] for event in a.events] == ["INVOKE", "SHUTDOWN"]


@pytest.mark.parametrize("name", ["", "x" * 200, "a\tb"])
async def test_a_name_that_is_none_is_refused(name: str) -> None:
    extensions = Extensions()
    assert refusal(lambda: extensions.register(name, [])) == "Extension.InvalidExtensionName"


async def test_internal_extensions_hear_of_invocations_alone() -> None:
    extensions = Extensions()
    kind = "Extension.InvalidEventType"
    assert refusal(lambda: extensions.register("a", ["SHUTDOWN"])) == kind
    assert refusal(lambda: extensions.register("a", ["invoke"])) == kind
    assert not extensions
    internal(extensions, "a", "INVOKE", "INVOKE")
    assert [status.events for status in extensions.statuses()] == [("INVOKE",)]


async def test_ten_extensions_register_and_no_more() -> None:
    extensions = Extensions()
    for number in range(4):
        external(extensions, f"external {number}")
    for number in range(6):
        internal(extensions, f"internal {number}")
    with pytest.raises(RefusedError, match=r"Extension limit \(10\) reached") as caught:
        extensions.register("another", [])
    assert caught.value.error_type == "Extension.TooManyExtensions"


async def test_nobody_registers_twice() -> None:
    extensions = Extensions()
    external(extensions, "a")
    internal(extensions, "b")
    kind = "Extension.InvalidExtensionState"
    assert refusal(lambda: extensions.register("a", [])) == kind
    assert refusal(lambda: extensions.register("b", [])) == kind


async def test_nobody_registers_after_init() -> None:
    extensions = Extensions()
    extensions.close_registration()
    assert refusal(lambda: extensions.register("a", [])) == "Extension.RegistrationClosed"


async def test_an_extension_cannot_ask_twice_at_once() -> None:
    extensions = Extensions()
    a = external(extensions, "a", "INVOKE")
    a.next()
    with pytest.raises(RefusedError, match="from Ready to Ready") as caught:
        a.next()
    assert caught.value.error_type == "Extension.InvalidExtensionState"


async def test_identifiers_are_checked() -> None:
    extensions = Extensions()
    a = internal(extensions, "a").extension
    extensions.expect("unregistered")
    hidden = next(e for e in extensions._all.values() if e.state is State.STARTED)
    assert extensions.find(a.identifier.upper()) is a
    assert refusal(lambda: extensions.find("")) == "Extension.MissingExtensionIdentifier"
    assert refusal(lambda: extensions.find("x")) == "Extension.InvalidExtensionIdentifier"
    unknown = "Extension.UnknownExtensionIdentifier"
    assert refusal(lambda: extensions.find(str(uuid.uuid4()))) == unknown
    assert refusal(lambda: extensions.find(hidden.identifier)) == unknown


async def test_the_first_failure_counts_and_ends_all_waiting() -> None:
    failures: list[ExtensionFailure] = []
    extensions = Extensions(failures.append)
    a, b = external(extensions, "a"), external(extensions, "b")
    ready = asyncio.ensure_future(extensions.ready())
    assert await is_waiting(ready)
    extensions.report_error(a.extension, "Mine.Bad\x00", in_init=True)
    extensions.exited("b", "exit status 1")
    expected = ExtensionFailure("Extension.InitError", "extension a reported Mine.Bad")
    assert await ready == expected
    assert failures == [expected]
    assert [(status.state, status.error_type) for status in extensions.statuses()] == [
        ("InitError", "Mine.Bad"),
        ("Exited", "Extension.Crash"),
    ]
    assert refusal(b.next) == "Extension.InvalidExtensionState"


async def test_an_init_error_is_refused_once_an_event_was_asked_for() -> None:
    extensions = Extensions()
    a = external(extensions, "a")
    a.next()
    kind = "Extension.InvalidExtensionState"
    assert refusal(lambda: extensions.report_error(a.extension, "X.Y", in_init=True)) == kind
    extensions.close_registration()
    extensions.withdraw(a.extension)
    assert refusal(lambda: extensions.report_error(a.extension, "X.Y", in_init=True)) == kind
    missing = refusal(lambda: extensions.report_error(a.extension, "", in_init=False))
    assert missing == "Extension.MissingHeader"
    assert extensions.failure is None


async def test_an_exit_while_the_environment_ends_is_no_failure() -> None:
    extensions = Extensions()
    a = external(extensions, "a", "SHUTDOWN")
    a.next()
    extensions.shut_down("SPINDOWN", 1)
    extensions.exited("a", "exit code 0")
    assert extensions.failure is None
    [status] = extensions.statuses()
    assert (status.state, status.error_type) == ("Exited", None)


async def test_the_end_of_the_runtime_ends_waiting() -> None:
    extensions = Extensions()
    a = external(extensions, "a", "INVOKE")
    ready = asyncio.ensure_future(extensions.ready())
    assert await is_waiting(ready)
    extensions.runtime_ended()
    assert await ready is None
    a.next()
    extensions.invoke(EVENT)
    assert not await extensions.free()
