"""What may be kept of events to test a function with."""

import pytest

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.saved_events import MAX_EVENTS, SavedEvent, SavedEvents
from lambdabox.repositories.codec import decode, encode


def test_events_are_in_the_order_of_their_names_and_replaced() -> None:
    saved = SavedEvents()
    for name, text in (("b", "1"), ("a", "2"), ("b", "3")):
        saved = saved.with_event(SavedEvent(name, text))
    assert saved.events == (SavedEvent("a", "2"), SavedEvent("b", "3"))
    assert saved.without("a").without("none").events == (SavedEvent("b", "3"),)
    assert decode(SavedEvents, encode(saved)) == saved


@pytest.mark.parametrize("name", ["", "x" * 61, "a\nb", "a\0"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(InvalidParameterValueException, match="1 to 60 printable"):
        SavedEvents().with_event(SavedEvent(name, "{}"))


def test_too_many_and_too_much_is_refused() -> None:
    saved = SavedEvents(tuple(SavedEvent(f"{at:03}", "{}") for at in range(MAX_EVENTS)))
    with pytest.raises(InvalidParameterValueException, match="delete one first"):
        saved.with_event(SavedEvent("one more", "{}"))
    assert len(saved.with_event(SavedEvent("000", "1")).events) == MAX_EVENTS
    with pytest.raises(InvalidParameterValueException, match="1000004 bytes together"):
        SavedEvents().with_event(SavedEvent("large", '"' + "é" * 500_001 + '"'))
