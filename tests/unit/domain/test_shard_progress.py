"""A checkpoint is where the earliest record begins that is not over."""

from hypothesis import given
from hypothesis import strategies as st

from lambdabox.domain.shard_progress import ShardProgress


def test_the_place_waits_for_the_slowest() -> None:
    progress = ShardProgress()

    def state() -> tuple[str | None, int]:
        return progress.place, progress.count

    assert state() == (None, 0)
    numbers = [progress.begin(name) for name in "abc"]
    progress.end(numbers[1])
    assert state() == (None, 3)
    progress.end(numbers[0])
    assert state() == ("b", 1)
    progress.end(numbers[2])
    assert state() == ("c", 0)


def test_what_needs_no_handling_is_passed_once_all_before_it_is_over() -> None:
    progress = ShardProgress()
    progress.read_to("a")
    assert progress.place == "a"
    number = progress.begin("b")
    progress.read_to("c")
    assert progress.place in (None, "a")
    progress.end(number)
    assert progress.place == "c"


@given(st.data(), st.integers(1, 30))
def test_nothing_before_the_place_is_under_way(data: st.DataObject, count: int) -> None:
    progress, begun, over = ShardProgress(), 0, set[int]()
    place = 0
    while len(over) < count:
        under_way = [number for number in range(begun) if number not in over]
        if begun < count and (not under_way or data.draw(st.booleans())):
            assert progress.begin(str(begun)) == begun
            begun += 1
        else:
            number = data.draw(st.sampled_from(under_way))
            progress.end(number)
            progress.end(number)
            over.add(number)
        ended = next((number for number in range(begun) if number not in over), begun)
        assert progress.count == begun - ended
        now = 0 if progress.place is None else int(progress.place) + 1
        assert place <= now <= ended
        assert now == ended
        place = now
