"""Asynchronous events against a real queue: what is counted, repeated, given up and never lost."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.consuming import (
    DEADLINE,
    ERROR,
    THROTTLED,
    ScriptedInvoker,
    Setting,
    Settled,
    event,
)
from support.records import KEY, open_state

from lambdabox.backends.sqlite_queue import LOAN_SECONDS
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import (
    ResourceConflictException,
    ResourceNotFoundException,
    SnapStartException,
    SnapStartTimeoutException,
)
from lambdabox.domain.invocations import Invocation
from lambdabox.invoke.asynchronous import Event, decode, encode
from lambdabox.queue_ports import Message

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = ManualClock()
    async with open_state(tmp_path) as database:
        yield Setting(database, clock)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@given(st.binary(max_size=200), text, text, text, st.none() | text)
def test_an_event_comes_back_from_the_queue_as_it_was(
    payload: bytes, context: str, trace: str, tenant: str, qualifier: str | None
) -> None:
    sent = Event(
        FunctionReference(KEY, qualifier),
        Invocation("id", KEY.arn, payload, context, trace, tenant),
    )
    assert decode(encode(sent)) == sent


async def test_a_success_is_acknowledged_after_one_attempt(setting: Setting) -> None:
    invoker = ScriptedInvoker()
    async with setting.consuming(invoker):
        await setting.intake.accept(event(payload=b'{"a":\n1}'))
        assert await setting.settlements(1) == [Settled()]
    assert [attempt.payload for attempt in invoker.attempts] == [b'{"a":\n1}']
    assert await setting.is_empty()


async def test_a_function_error_is_retried_after_one_and_two_minutes_then_given_up(
    setting: Setting,
) -> None:
    invoker = ScriptedInvoker([ERROR] * 5)
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        first, second, third = await setting.settlements(3)
    assert first.message is not None
    assert second.message is not None
    assert (first.delay, first.message.retries) == (60, 1)
    assert (second.delay, second.message.retries) == (120, 2)
    assert third == Settled()
    assert len(invoker.attempts) == 3
    assert await setting.is_empty()


async def test_each_attempt_is_the_same_request(setting: Setting) -> None:
    invoker = ScriptedInvoker([ERROR, ERROR])
    accepted = setting.clock.now()
    await setting.intake.accept(event("one", b"payload"))
    async with setting.consuming(invoker):
        await setting.settlements(3)
    expected = replace(event("one", b"payload").invocation, enqueued_at=accepted)
    assert invoker.attempts == [expected] * 3


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(THROTTLED, id="throttled"),
        pytest.param(ResourceConflictException("Pending"), id="not ready yet"),
        pytest.param(OSError("no space left"), id="platform trouble"),
    ],
)
async def test_throttles_and_platform_trouble_do_not_count_as_retries(
    setting: Setting, trouble: Exception
) -> None:
    invoker = ScriptedInvoker([trouble] * 4)
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        settled = await setting.settlements(5)
    assert [s.delay for s in settled[:4]] == [1, 2, 4, 8]
    assert [s.message and (s.message.retries, s.message.throttles) for s in settled] == [
        (0, 1), (0, 2), (0, 3), (0, 4), None,
    ]  # fmt: skip


async def test_a_restore_that_fails_counts_as_the_functions_error(setting: Setting) -> None:
    invoker = ScriptedInvoker([SnapStartException("a hook"), SnapStartTimeoutException("slow")])
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        settled = await setting.settlements(3)
    assert [s.message and (s.message.retries, s.message.throttles) for s in settled] == [
        (1, 0), (2, 0), None,
    ]  # fmt: skip


async def test_after_a_function_error_throttles_are_counted_anew(setting: Setting) -> None:
    invoker = ScriptedInvoker([THROTTLED, THROTTLED, ERROR, THROTTLED])
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        settled = await setting.settlements(5)
    assert [s.delay for s in settled[:4]] == [1, 2, 60, 1]
    assert settled[3].message is not None
    assert settled[3].message.retries == 1


async def test_an_event_that_is_throttled_for_six_hours_is_given_up(setting: Setting) -> None:
    invoker = ScriptedInvoker([THROTTLED] * 200)
    await setting.intake.accept(event())
    started = setting.clock.now()
    async with setting.consuming(invoker):
        while not setting.queue.settled or setting.queue.settled[-1].message:
            await setting.settlements(len(setting.queue.settled) + 1)
    assert 21_600 - 300 <= setting.clock.now() - started <= 21_600
    assert await setting.is_empty()


async def test_an_event_whose_function_is_gone_is_dropped(setting: Setting) -> None:
    invoker = ScriptedInvoker([ResourceNotFoundException("gone")])
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        assert await setting.settlements(1) == [Settled()]
    assert await setting.is_empty()


async def test_a_crash_before_an_event_is_settled_repeats_it(setting: Setting) -> None:
    interrupted, again = ScriptedInvoker(), ScriptedInvoker()
    interrupted.may_end = anyio.Event()
    await setting.intake.accept(event())
    async with setting.consuming(interrupted):
        with anyio.fail_after(DEADLINE):
            await interrupted.running.wait()
    assert setting.queue.settled == []
    setting.restart()
    async with setting.consuming(again):
        assert await setting.settlements(1) == [Settled()]
    assert again.attempts == interrupted.attempts


async def test_an_event_that_could_not_be_settled_comes_back_and_harms_no_other(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    invoker = ScriptedInvoker()
    setting.queue.settle_troubles = [OSError("no space left")]
    await setting.intake.accept(event("first"))
    async with setting.consuming(invoker):
        await setting.queue.until(lambda: not setting.queue.settle_troubles)
        await setting.intake.accept(event("second"))
        await setting.settlements(1)
        setting.clock.advance(LOAN_SECONDS)
        setting.queue.inner.notice()
        await setting.queue.until(lambda: len(setting.queue.settled) == 2)
    assert [a.request_id for a in invoker.attempts] == ["first", "second", "first"]
    assert "first was not settled" in caplog.text


async def test_a_long_run_keeps_its_loan(setting: Setting) -> None:
    invoker = ScriptedInvoker()
    invoker.may_end = anyio.Event()
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        with anyio.fail_after(DEADLINE):
            await invoker.running.wait()
            for extensions in range(1, 10):
                await setting.clock.sleeper()
                setting.clock.advance(20)
                await setting.queue.until(
                    lambda n=extensions: len(setting.queue.extended) == n  # type: ignore[misc]  # as above
                )
        assert await setting.queue.inner.receive(1, wait=0) == []
        invoker.may_end.set()
        assert await setting.settlements(1) == [Settled()]
    assert len(invoker.attempts) == 1


async def test_trouble_with_the_queue_does_not_end_the_consumer(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.queue.receive_troubles = [OSError("no space left")]
    await setting.intake.accept(event())
    async with setting.consuming(ScriptedInvoker()):
        with anyio.fail_after(DEADLINE):
            await setting.clock.sleeper()
        setting.clock.advance(1)
        assert await setting.settlements(1) == [Settled()]
    assert "receiving asynchronous events failed" in caplog.text


async def test_events_run_side_by_side(setting: Setting) -> None:
    invoker = ScriptedInvoker()
    invoker.may_end = anyio.Event()
    for number in range(5):
        await setting.intake.accept(event(str(number)))
    async with setting.consuming(invoker):
        with anyio.fail_after(DEADLINE):
            while len(invoker.attempts) < 5:
                await anyio.lowlevel.checkpoint()
        invoker.may_end.set()
        await setting.settlements(5)


async def test_what_is_accepted_is_stored_under_its_request_and_function(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await setting.intake.accept(event("one"))
    [delivery] = await setting.queue.inner.receive(1, wait=0)
    message = delivery.message
    assert (message.id, message.group, message.enqueued_at) == (
        "one",
        KEY.arn,
        setting.clock.now(),
    )
    assert decode(message.body) == event("one")
    assert replace(message, body=b"") == Message("one", KEY.arn, b"", setting.clock.now())
