"""What becomes of an event in the end, and who is told: records and dead letters, exactly."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from support.clock import ManualClock
from support.consuming import ERROR, SUCCESS, THROTTLED, ScriptedInvoker, Setting, Settled, event
from support.records import KEY, SCOPE, open_state

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.destinations import Attribute, Parcel
from lambdabox.domain.errors import SnapStartException
from lambdabox.domain.event_invoke import EventRules
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.lineage import MAX_PASSES, REFUSED, extend
from lambdabox.domain.retry import DELIVERY_SECONDS
from lambdabox.invoke.asynchronous import Event
from lambdabox.invoke.outcomes import decode_undelivered, encode_undelivered
from lambdabox.queue_ports import Message

pytestmark = pytest.mark.anyio

QUEUE = "arn:aws:sqs:us-east-1:123456789012:outcomes"
TOPIC = "arn:aws:sns:us-east-1:123456789012:letters"
NOW = "2026-11-18T11:06:40.000Z"
FAILED = Outcome(b'{"errorMessage":"no","errorType":"E"}', "Unhandled", "E", "7")
UNREACHABLE = AwsCallError("sqs", "SendMessage", "Unreachable", "")
GONE = AwsCallError("sqs", "SendMessage", "AWS.SimpleQueueService.NonExistentQueue", "")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    clock = ManualClock()
    async with open_state(tmp_path) as database:
        yield Setting(database, clock)


def parcels(setting: Setting) -> list[tuple[str, Parcel]]:
    return setting.destinations.sent


def records(setting: Setting) -> list[Any]:
    return [orjson.loads(parcel.body) for _, parcel in parcels(setting)]


async def end(setting: Setting, invoker: ScriptedInvoker, sent: Event, settlements: int) -> None:
    """Let `sent` come to its end, which takes so many attempts."""
    await setting.intake.accept(sent)
    async with setting.consuming(invoker):
        settled = await setting.settlements(settlements)
    assert settled[-1] == Settled()
    assert await setting.is_empty()


def context(condition: str, count: int) -> dict[str, Any]:
    return {
        "requestId": "request",
        "functionArn": f"{KEY.arn}:$LATEST",
        "condition": condition,
        "approximateInvokeCount": count,
    }


async def test_a_success_is_told_to_its_destination_alone(setting: Setting) -> None:
    setting.rules.rules = EventRules(on_success=QUEUE, on_failure=TOPIC)
    invoker = ScriptedInvoker([Outcome(b'{"a":1}', executed_version="7")])
    invoker.dead_letter_arn = TOPIC
    await end(setting, invoker, event(payload=b"[1, 2]"), 1)
    [(arn, parcel)] = parcels(setting)
    assert (arn, parcel.sender, parcel.function_arn) == (QUEUE, SCOPE, f"{KEY.arn}:$LATEST")
    assert (parcel.is_success, parcel.object_prefix) == (True, "aws/lambda/async/hello")
    record = orjson.loads(parcel.body)
    assert record.pop("timestamp")[:16] == NOW[:16]
    assert record == {
        "version": "1.0",
        "requestContext": context("Success", 1),
        "requestPayload": [1, 2],
        "responseContext": {"statusCode": 200, "executedVersion": "7"},
        "responsePayload": {"a": 1},
    }
    assert parcel.short_body is not None
    short = orjson.loads(parcel.short_body)
    assert set(short) == {"version", "timestamp", "requestContext", "responseContext"}


async def test_a_failure_is_told_and_its_event_kept(setting: Setting) -> None:
    setting.rules.rules = EventRules(on_failure=QUEUE, max_retries=1)
    invoker = ScriptedInvoker([ERROR, FAILED])
    invoker.dead_letter_arn = TOPIC
    await end(setting, invoker, event(payload=b'{"x": 1}'), 2)
    (told, record), (kept, letter) = parcels(setting)
    assert (told, kept) == (QUEUE, TOPIC)
    content = orjson.loads(record.body)
    assert content["requestContext"] == context("RetriesExhausted", 2)
    assert content["responseContext"] == {
        "statusCode": 200, "executedVersion": "7", "functionError": "Unhandled",
    }  # fmt: skip
    assert content["responsePayload"] == {"errorMessage": "no", "errorType": "E"}
    assert letter.body == b'{"x": 1}'
    assert letter.attributes == {
        "RequestID": Attribute("String", "request"),
        "ErrorCode": Attribute("Number", "200"),
        "ErrorMessage": Attribute("String", "no"),
    }


async def test_a_long_error_message_is_cut_between_characters(setting: Setting) -> None:
    message = "ä" * 2_000
    invoker = ScriptedInvoker([Outcome(orjson.dumps({"errorMessage": message}), "Unhandled")])
    invoker.dead_letter_arn = TOPIC
    setting.rules.rules = EventRules(max_retries=0)
    await end(setting, invoker, event(), 1)
    [(_, letter)] = parcels(setting)
    assert letter.attributes["ErrorMessage"].value == "ä" * 512


@pytest.mark.parametrize("payload", [b"", b"\xff no JSON"])
async def test_an_answer_that_is_no_json_does_not_spoil_the_record(
    setting: Setting, payload: bytes
) -> None:
    setting.rules.rules = EventRules(on_success=QUEUE)
    await end(setting, ScriptedInvoker([Outcome(payload)]), event(), 1)
    [record] = records(setting)
    assert record["responsePayload"] == (payload.decode(errors="replace") or None)


async def test_a_function_that_is_switched_off_is_not_run(setting: Setting) -> None:
    setting.rules.rules = EventRules(on_failure=QUEUE, is_switched_off=True)
    invoker = ScriptedInvoker()
    await end(setting, invoker, event(), 1)
    [record] = records(setting)
    assert record["requestContext"] == context("ZeroReservedConcurrency", 0)
    assert set(record) == {"version", "timestamp", "requestContext", "requestPayload"}
    assert invoker.attempts == []


async def test_an_event_that_grew_too_old_is_not_run(setting: Setting) -> None:
    setting.rules.rules = EventRules(on_failure=QUEUE, max_age_seconds=60)
    invoker = ScriptedInvoker()
    await setting.intake.accept(event())
    setting.clock.advance(61)
    async with setting.consuming(invoker):
        await setting.settlements(1)
    [record] = records(setting)
    assert record["requestContext"] == context("EventAgeExceeded", 0)
    assert invoker.attempts == []
    assert setting.measurements.totals("hello") == {"AsyncEventsDropped": 1.0}


async def test_an_event_that_would_be_too_old_for_its_retry_ends_with_its_answer(
    setting: Setting,
) -> None:
    setting.rules.rules = EventRules(on_failure=QUEUE, max_age_seconds=59)
    await end(setting, ScriptedInvoker([FAILED]), event(), 1)
    [record] = records(setting)
    assert record["requestContext"] == context("EventAgeExceeded", 1)
    assert record["responseContext"]["functionError"] == "Unhandled"


async def test_a_throttled_event_that_ends_tells_of_the_throttle(setting: Setting) -> None:
    setting.rules.rules = EventRules(max_age_seconds=2)
    invoker = ScriptedInvoker([THROTTLED] * 2)
    invoker.dead_letter_arn = TOPIC
    await end(setting, invoker, event(), 2)
    [(_, letter)] = parcels(setting)
    assert letter.attributes["ErrorCode"] == Attribute("Number", "429")
    assert letter.attributes["ErrorMessage"] == Attribute("String", "Rate Exceeded.")


async def test_a_restore_that_fails_for_good_is_told_without_an_answer(setting: Setting) -> None:
    setting.rules.rules = EventRules(on_failure=QUEUE, max_retries=0)
    await end(setting, ScriptedInvoker([SnapStartException("a hook failed")]), event(), 1)
    [record] = records(setting)
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert "responsePayload" not in record


@pytest.mark.parametrize("ends_loops", [True, False])
async def test_a_loop_is_ended_where_it_may_not_go_on(setting: Setting, ends_loops: bool) -> None:
    setting.rules.rules = EventRules(ends_loops=ends_loops)
    trace = "Root=1-2"
    for _ in range(MAX_PASSES + 1):
        trace = extend(trace, KEY.arn)
    sent = replace(event(), invocation=replace(event().invocation, trace=trace))
    invoker = ScriptedInvoker()
    invoker.dead_letter_arn = TOPIC
    await end(setting, invoker, sent, 1)
    assert len(invoker.attempts) == (not ends_loops)
    if ends_loops:
        [(_, letter)] = parcels(setting)
        assert letter.attributes["ErrorCode"] == Attribute("Number", "400")
        assert letter.attributes["ErrorMessage"] == Attribute("String", REFUSED)
        assert setting.measurements.totals("hello") == {
            "AsyncEventsDropped": 1.0, "RecursiveInvocationsDropped": 1.0,
        }  # fmt: skip


async def test_an_outcome_that_cannot_be_delivered_yet_is_kept_and_the_event_not_repeated(
    setting: Setting,
) -> None:
    setting.rules.rules = EventRules(on_success=QUEUE)
    setting.destinations.troubles = [UNREACHABLE, UNREACHABLE]
    invoker = ScriptedInvoker()
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        settled = await setting.settlements(3)
    assert [settlement.delay for settlement in settled] == [1, 2, 0]
    assert len(invoker.attempts) == 1
    assert [record["requestContext"]["condition"] for record in records(setting)] == ["Success"]
    assert await setting.is_empty()


async def test_an_undelivered_outcome_survives_the_node(setting: Setting) -> None:
    setting.rules.rules = EventRules(on_failure=QUEUE, max_retries=0)
    setting.destinations.troubles = [UNREACHABLE]
    invoker = ScriptedInvoker([FAILED])
    invoker.dead_letter_arn = TOPIC
    await setting.intake.accept(event(payload=b'"\xc3\xa4"'))
    async with setting.consuming(invoker):
        await setting.settlements(1)
    [(first, letter)] = parcels(setting)
    assert (first, letter.body) == (TOPIC, b'"\xc3\xa4"')
    setting.restart()
    setting.clock.advance(1)
    async with setting.consuming(invoker):
        await setting.settlements(1)
    assert [arn for arn, _ in parcels(setting)] == [TOPIC, QUEUE]
    assert records(setting)[1]["responsePayload"]["errorMessage"] == "no"
    assert len(invoker.attempts) == 1


async def test_what_a_destination_refuses_for_good_is_lost_once_and_told(
    setting: Setting,
) -> None:
    setting.rules.rules = EventRules(on_success=QUEUE)
    setting.destinations.troubles = [GONE]
    await end(setting, ScriptedInvoker(), event(), 1)
    assert setting.destinations.lost == [QUEUE]
    assert setting.measurements.totals("hello") == {"DestinationDeliveryFailures": 1.0}


async def test_a_letter_that_is_refused_for_good_is_counted(setting: Setting) -> None:
    setting.rules.rules = EventRules(max_retries=0)
    setting.destinations.troubles = [GONE]
    invoker = ScriptedInvoker([FAILED])
    invoker.dead_letter_arn = TOPIC
    await end(setting, invoker, event(), 1)
    assert setting.measurements.totals("hello")["DeadLetterErrors"] == 1.0


async def test_a_destination_is_tried_for_hours_and_not_for_ever(setting: Setting) -> None:
    setting.rules.rules = EventRules(on_success=QUEUE)
    setting.destinations.troubles = [UNREACHABLE] * 200
    began = setting.clock.now()
    await setting.intake.accept(event())
    async with setting.consuming(ScriptedInvoker()):
        while not setting.destinations.lost:
            await setting.settlements(len(setting.queue.settled) + 1)
    assert DELIVERY_SECONDS - 300 <= setting.clock.now() - began <= DELIVERY_SECONDS
    assert await setting.is_empty()


async def test_a_message_that_nobody_can_read_is_dropped(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    await setting.intake.accept(event())
    async with setting.consuming(ScriptedInvoker([SUCCESS])):
        await setting.settlements(1)
        await setting.queue.put(Message("broken", KEY.arn, b"no event", setting.clock.now()))
        await setting.settlements(2)
    assert "cannot be read" in caplog.text
    assert await setting.is_empty()


def test_undelivered_outcomes_come_back_from_the_queue_as_they_were() -> None:
    whole = Parcel(
        b'{"a":"\xc3\xa4"}', SCOPE, "arn", True, "prefix", b"{}",
        {"A": Attribute("Number", "1")}, "Root=1-2",
    )  # fmt: skip
    kept = [(QUEUE, whole), (TOPIC, Parcel(b"{}", SCOPE))]
    assert decode_undelivered(encode_undelivered(kept)) == kept


class BeginningInvoker(ScriptedInvoker):
    """Has a warm environment, whose answer comes when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[Callable[[Outcome | Exception], None]] = []

    def begin(
        self,
        reference: FunctionReference,
        invocation: Invocation,
        done: Callable[[Outcome | Exception], None],
    ) -> bool:
        self.attempts.append(invocation)
        self.done.append(done)
        self.running.set()
        return True


@pytest.mark.parametrize(
    ("result", "delay"),
    [
        (SUCCESS, None),
        (ERROR, 60.0),
        (THROTTLED, 1.0),
        (OSError("no space left"), 1.0),
    ],
    ids=["success", "function error", "throttle", "trouble"],
)
async def test_an_event_of_a_warm_function_ends_like_any_other(
    setting: Setting, result: Outcome | Exception, delay: float | None
) -> None:
    invoker = BeginningInvoker()
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        await invoker.running.wait()
        invoker.done[0](result)
        [found] = await setting.settlements(1)
    assert (found.delay if found.message else None) == delay


@pytest.mark.parametrize("result", [SUCCESS, ERROR])
async def test_an_event_that_ends_after_the_consumer_harms_nothing(
    setting: Setting, result: Outcome
) -> None:
    invoker = BeginningInvoker()
    await setting.intake.accept(event())
    async with setting.consuming(invoker):
        await invoker.running.wait()
    invoker.done[0](result)
    setting.restart()
    again = ScriptedInvoker()
    if result is ERROR:
        async with setting.consuming(again):
            await setting.settlements(1)
    assert await setting.is_empty()
