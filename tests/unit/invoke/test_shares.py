"""How many events of a function may run beside those of others."""

from support.clock import ManualClock

from lambdabox.invoke.shares import FRESH, FRESH_SECONDS, PLACES, Shares


def fill(shares: Shares, group: str, clock: ManualClock) -> int:
    """Begin events of a group that take long for as long as there is room; return how many."""
    count = 0
    while True:
        room = shares.room(group)
        if room <= 0:
            return count
        for _ in range(room):
            shares.hold(group)
            shares.begin(group, (group, count))
            count += 1
        clock.advance(FRESH_SECONDS)


def test_only_a_few_events_of_a_function_begin_at_a_time() -> None:
    clock = ManualClock()
    shares = Shares(clock)
    assert shares.room("f") == FRESH
    for number in range(FRESH):
        shares.hold("f")
        shares.begin("f", number)
    assert shares.room("f") == 0
    assert shares.room("g") == FRESH
    shares.end("f", 0)
    assert shares.room("f") == 1
    clock.advance(FRESH_SECONDS)
    assert shares.room("f") == FRESH


def test_a_function_whose_events_take_long_leaves_room_for_others() -> None:
    clock = ManualClock()
    shares = Shares(clock)
    assert fill(shares, "a", clock) == PLACES // 2
    assert 0 < fill(shares, "b", clock) <= PLACES // 4
    assert shares.room("c") == FRESH
    assert shares.free > 0


def test_what_has_ended_leaves_nothing_behind() -> None:
    clock = ManualClock()
    shares = Shares(clock)
    shares.hold("f")
    shares.begin("f", 1)
    assert shares.is_busy
    shares.end("f", 1)
    shares.end("f", 1)
    shares.release("f")
    assert not shares.is_busy
    assert shares.free == PLACES


def test_events_whose_outcomes_wait_for_a_slow_destination_leave_room_for_others() -> None:
    clock = ManualClock()
    shares = Shares(clock)
    told = 0
    while (room := shares.room("a")) > 0:
        for _ in range(room):
            shares.hold("a")
            shares.begin("a", told)
            shares.end("a", told)
            told += 1
    assert told == PLACES // 2
    assert shares.room("b") == FRESH
