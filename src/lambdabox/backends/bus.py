"""The bus of a single node: listeners are called directly."""

from collections import defaultdict
from collections.abc import Callable


class LocalBus:
    """A `ports.Bus` within one process."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, list[Callable[[str], None]]] = defaultdict(list)

    def publish(self, topic: str, subject: str) -> None:
        for listener in self._listeners[topic]:
            listener(subject)

    def subscribe(self, topic: str, listener: Callable[[str], None]) -> None:
        self._listeners[topic].append(listener)
