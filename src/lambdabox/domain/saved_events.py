"""Events that a function's author keeps to test it with."""

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.values import dataclass

KIND = "saved-events"
MAX_EVENTS = 50
MAX_BYTES = 1_000_000
"""Of all events of a function together."""
MAX_NAME = 60


@dataclass(frozen=True, slots=True)
class SavedEvent:
    name: str
    text: str
    """JSON as it was written, so that its author finds it again."""


@dataclass(frozen=True, slots=True)
class SavedEvents:
    """A function's events, in the order of their names."""

    events: tuple[SavedEvent, ...] = ()

    def find(self, name: str) -> SavedEvent | None:
        return next((event for event in self.events if event.name == name), None)

    def with_event(self, event: SavedEvent) -> "SavedEvents":
        """Add the event, or put it in the place of one of that name.

        Raises InvalidParameterValueException for a name that is none, too many, or too much.
        """
        if not event.name or len(event.name) > MAX_NAME or not event.name.isprintable():
            raise InvalidParameterValueException(
                f"A saved event has a name of 1 to {MAX_NAME} printable characters."
            )
        others = [other for other in self.events if other.name != event.name]
        events = sorted([*others, event], key=lambda each: each.name)
        if len(events) > MAX_EVENTS:
            raise InvalidParameterValueException(
                f"A function may have {MAX_EVENTS} saved events; delete one first."
            )
        total = sum(len(each.text.encode()) for each in events)
        if total > MAX_BYTES:
            raise InvalidParameterValueException(
                f"The saved events would be {total} bytes together and may be {MAX_BYTES}."
            )
        return SavedEvents(tuple(events))

    def without(self, name: str) -> "SavedEvents":
        return SavedEvents(tuple(event for event in self.events if event.name != name))
