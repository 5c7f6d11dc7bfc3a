"""Keep a poller connected to its broker, and say in the mapping's result why it is not."""

from collections.abc import Awaitable, Callable

from lambdabox.broker_ports import BrokerError
from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.events.attention import Attention
from lambdabox.events.pollers import Report
from lambdabox.events.trouble import Trouble

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 30.0

Connected = Callable[[], Awaitable[None]]
"""To be awaited once the broker answers."""
Session = Callable[[Connected], Awaitable[None]]
"""Connects, works until told to stop, and raises BrokerError if it cannot go on."""


async def keep_connected(
    session: Session, mapping: EventSourceMapping, report: Report, attention: Attention
) -> None:
    """Run sessions, one after another, until told to stop."""
    delay, trouble = 0.0, Trouble(mapping, report)

    async def connected() -> None:
        nonlocal delay
        delay = 0.0
        await trouble.is_over()

    while not attention.is_stopping:
        try:
            await session(connected)
        except BrokerError as exc:
            await trouble.tell(str(exc))
            delay = min(max(2 * delay, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            await attention.pause(delay)
