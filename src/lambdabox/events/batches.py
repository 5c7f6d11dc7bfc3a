"""Batches of records: how much fits into one, how it is run, and what of it has failed."""

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lambdabox.domain import limits, lineage
from lambdabox.domain.errors import (
    ApiError,
    RecursiveInvocationException,
    SnapStartException,
    SnapStartTimeoutException,
)
from lambdabox.domain.invocations import Invocation, Outcome, new_request_id, new_trace
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.domain.metrics import ITERATOR_AGE
from lambdabox.invoke.invoker import Invoker
from lambdabox.ports import Clock
from lambdabox.telemetry.function_metrics import FunctionMetrics

log = logging.getLogger(__name__)

ENVELOPE_BYTES = 4_096
"""Left for what is around the records."""
RECORDS_BYTES = limits.PAYLOAD_BYTES - ENVELOPE_BYTES
BROKER_WINDOW_SECONDS = 0.5
"""The batching window of brokers, unless one is set."""


@dataclass(frozen=True, slots=True)
class Ran:
    """The function ran; whether it failed is in the outcome."""

    outcome: Outcome
    request_id: str
    trace: str = ""
    """The trace header of the invocation, for what comes of it to carry on."""


@dataclass(frozen=True, slots=True)
class NotRun:
    """The function did not run: it is throttled, gone or not ready, or the platform failed."""

    reason: str


class Batches:
    """Runs batches, through the same door as every invocation."""

    def __init__(self, invoker: Invoker, metrics: FunctionMetrics, clock: Clock) -> None:
        self._invoker = invoker
        self._metrics = metrics
        self._clock = clock

    async def role(self, mapping: EventSourceMapping) -> str:
        """Return the ARN of the function's role, which records of Kinesis name."""
        try:
            return (await self._invoker.resolve(mapping.function)).settings.role
        except ApiError:
            return ""

    def note_age(self, mapping: EventSourceMapping, arrival: float) -> None:
        """Measure how old the last record of a batch of a stream is when it is read."""
        age_ms = max(self._clock.now() - arrival, 0.0) * 1000
        self._metrics.of_function(mapping.function.key, ITERATOR_AGE, age_ms)

    async def run(
        self, mapping: EventSourceMapping, payload: bytes, trace: str = ""
    ) -> Ran | NotRun:
        """Invoke the mapping's function. `trace` is the header that its records came with.

        A batch that would be one pass too many in a loop has failed: to try it again changes
        nothing, and what becomes of failed records ends the loop.
        """
        trace = trace or new_trace(self._clock.now())
        invocation = Invocation(
            request_id=new_request_id(),
            invoked_arn=mapping.function_arn,
            payload=payload,
            trace=lineage.extend(trace, mapping.function.key.arn),
        )
        try:
            outcome = await self._invoker.invoke(mapping.function, invocation)
        except (
            RecursiveInvocationException,
            SnapStartException,
            SnapStartTimeoutException,
        ) as exc:
            outcome = Outcome(b"", function_error="Unhandled", error_type=exc.code)
        except ApiError as exc:
            return NotRun(exc.message or exc.code)
        except Exception:
            # The platform failed, not the function, and may not fail again. The records are
            # where they were.
            log.exception("a batch of %s was not run", mapping.arn)
            return NotRun("Internal error")
        return Ran(outcome, invocation.request_id, invocation.trace)


def broker_window(mapping: EventSourceMapping) -> float:
    """Return the seconds for which a batch of a broker's messages is waited for."""
    seconds = mapping.settings.window_seconds
    return BROKER_WINDOW_SECONDS if seconds is None else seconds


def as_json(record: Mapping[str, Any]) -> bytes:
    """Return a record as JSON, whatever its sender has put in."""
    try:
        return orjson.dumps(record)
    except TypeError:  # half a surrogate pair, which JSON can have and UTF-8 cannot
        return json.dumps(record, separators=(",", ":")).encode()


def records_payload(records: Sequence[bytes], head: bytes = b"") -> bytes:
    """Return the event that holds these records; `head` are other members, with their commas."""
    return b'{"Records":[' + b",".join(records) + b"]" + head + b"}"


def in_sizes(sizes: Sequence[int], limit: int = RECORDS_BYTES) -> Iterator[slice]:
    """Yield the parts of a batch of records of these sizes, each small enough for an event."""
    start = total = 0
    for index, size in enumerate(sizes):
        if index > start and total + size + 1 > limit:
            yield slice(start, index)
            start, total = index, 0
        total += size + 1
    if start < len(sizes):
        yield slice(start, len(sizes))


def _identifier(item: Any) -> str:
    """Return which record is meant; no record has an empty identifier."""
    return item if isinstance(item, str) else ""


def failed_items(
    payload: bytes, known: Collection[str], identify: Callable[[Any], str] = _identifier
) -> set[str] | None:
    """Return which records a function says have failed; None if its answer means all of them.

    All: an answer that cannot be read, or that names what is not in the batch. None: an empty
    answer, or one without failures.
    """
    try:
        answer: Any = orjson.loads(payload) if payload else None
    except orjson.JSONDecodeError:
        return None
    if answer is None or answer in ({}, []):
        return set()
    items = answer.get("batchItemFailures", []) if isinstance(answer, dict) else None
    if items is None and isinstance(answer, dict):
        return set()
    if not isinstance(items, list):
        return None
    failed = {
        identify(item.get("itemIdentifier") if isinstance(item, dict) else None) for item in items
    }
    return failed if all(name in known for name in failed) else None
