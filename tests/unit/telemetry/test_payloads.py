"""What is kept of events and responses, and what makes room."""

import pytest
from support.records import KEY, key

from lambdabox.domain.arn import FunctionKey
from lambdabox.telemetry.payloads import (
    MAX_PAYLOAD_BYTES,
    MEGABYTE,
    OVERHEAD_BYTES,
    Payloads,
    PayloadStore,
)

BEGAN = 1_795_000_000.1239
BEGAN_MS = 1_795_000_000_123


def store(limit_bytes: int = MEGABYTE) -> PayloadStore:
    return PayloadStore(limit_bytes, since=0.0)


def test_an_attempt_is_found_by_its_request_and_beginning() -> None:
    payloads = store()
    payloads.keep(KEY, "r1", BEGAN, b"first", b"failed")
    payloads.keep(KEY, "r1", BEGAN + 60, b"first", b"done")
    payloads.keep(KEY, "r2", BEGAN, b"second", b"", streamed_bytes=7)
    assert payloads.find(KEY, "r1", BEGAN_MS) == Payloads(b"first", 5, b"failed", 6, 0)
    assert payloads.find(KEY, "r1", BEGAN_MS + 60_000) == Payloads(b"first", 5, b"done", 4, 0)
    assert payloads.find(KEY, "r2", BEGAN_MS) == Payloads(b"second", 6, b"", 0, 7)
    assert payloads.find(KEY, "r1", BEGAN_MS + 1) is None


@pytest.mark.parametrize(
    "other",
    [
        FunctionKey("999999999999", KEY.region, KEY.name),
        FunctionKey(KEY.account, "eu-west-1", KEY.name),
        key("other"),
    ],
)
def test_accounts_regions_and_functions_are_apart(other: FunctionKey) -> None:
    payloads = store()
    payloads.keep(KEY, "r1", BEGAN, b"secret", b"")
    assert payloads.find(other, "r1", BEGAN_MS) is None


def test_the_first_make_room_for_the_last() -> None:
    payloads = store(3 * (OVERHEAD_BYTES + 20))
    for at in range(10):
        payloads.keep(KEY, f"r{at}", BEGAN, b"0123456789", b"0123456789")
    found = [at for at in range(10) if payloads.find(KEY, f"r{at}", BEGAN_MS)]
    assert found == [7, 8, 9]


def test_a_large_one_makes_room_at_the_cost_of_many() -> None:
    payloads = store(2 * MAX_PAYLOAD_BYTES)
    for at in range(100):
        payloads.keep(KEY, f"r{at}", BEGAN, b"small", b"small")
    payloads.keep(KEY, "large", BEGAN, b"x" * MAX_PAYLOAD_BYTES, b"y" * (MAX_PAYLOAD_BYTES - 1_000))
    assert payloads.find(KEY, "large", BEGAN_MS) is not None
    assert payloads.find(KEY, "r99", BEGAN_MS) is None


def test_small_events_count_with_what_keeping_them_takes() -> None:
    payloads = store(MEGABYTE)
    for at in range(5_000):
        payloads.keep(KEY, f"r{at}", BEGAN, b"", b"")
    kept = sum(payloads.find(KEY, f"r{at}", BEGAN_MS) is not None for at in range(2_900, 5_000))
    assert kept == MEGABYTE // OVERHEAD_BYTES


def test_of_a_long_one_the_beginning_is_kept_and_its_length() -> None:
    payloads = store()
    event, response = b"e" * MAX_PAYLOAD_BYTES, b"r" * (MAX_PAYLOAD_BYTES + 1)
    payloads.keep(KEY, "r1", BEGAN, event, response)
    found = payloads.find(KEY, "r1", BEGAN_MS)
    assert found == Payloads(event, len(event), response[:-1], len(response), 0)
    assert (found.is_event_cut, found.is_response_cut) == (False, True)


def test_without_memory_nothing_is_kept() -> None:
    payloads = store(0)
    payloads.keep(KEY, "r1", BEGAN, b"event", b"response")
    assert not payloads.is_on
    assert payloads.find(KEY, "r1", BEGAN_MS) is None


def test_what_is_larger_than_all_memory_is_not_kept() -> None:
    payloads = store(1_000)
    payloads.keep(KEY, "r1", BEGAN, b"e" * 2_000, b"")
    payloads.keep(KEY, "r2", BEGAN, b"small", b"")
    assert payloads.find(KEY, "r1", BEGAN_MS) is None
    assert payloads.find(KEY, "r2", BEGAN_MS) is not None
