"""The seam to the durable queue of asynchronous events, whose docstrings are the contract.

Each implementation passes tests/contract/test_queue.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(slots=True)  # not frozen: one is made for each event, in a third of the time so
class Message:
    """An entry of the durable queue. `group` shares the queue fairly: a function's ARN."""

    id: str
    group: str
    body: bytes
    enqueued_at: float
    retries: int = 0
    throttles: int = 0
    content: object = field(default=None, compare=False, repr=False)
    """What `body` says, as long as the queue has it at hand: it is not stored."""


class Delivery(Protocol):
    """A message on loan. Exactly one of `ack`, `ack_soon` and `retry_later` settles it."""

    message: Message

    async def ack(self) -> None:
        """Forget the message, durably."""

    def ack_soon(self, done: Callable[[Exception | None], None]) -> None:
        """As `ack`, without waiting: `done` is told once it is forgotten, or why it was not."""

    def extend(self, seconds: float) -> None:
        """Keep the loan for `seconds` from now."""

    async def retry_later(self, message: Message, delay: float) -> None:
        """Store `message` for `delay` seconds from now, and only then release this delivery."""


class Queue(Protocol):
    """At-least-once, durable before acknowledged, fair between groups."""

    async def put(self, message: Message, *, delay: float = 0) -> None:
        """Return once the message survives a crash of this node."""

    def put_soon(self, message: Message, done: Callable[[Exception | None], None]) -> None:
        """As `put`, without waiting: `done` is told when it survives a crash, or why it does not.

        Called once, on the event loop; it must not raise.
        """

    async def receive(
        self, limit: int, wait: float, *, room: Callable[[str], int] | None = None
    ) -> Sequence[Delivery]:
        """Up to `limit` deliveries, waiting at most `wait` seconds for the first.

        `room` says how many of a group may be among them. One that is not settled before its
        loan ends is delivered again.
        """

    def take(self, limit: int, *, room: Callable[[str], int] | None = None) -> Sequence[Delivery]:
        """As `receive`, without waiting: what is at hand, while the queue looks for more."""
