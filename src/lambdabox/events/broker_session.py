"""Keep a poller connected to its broker, and say in the mapping's result why it is not."""

import logging
from collections.abc import Awaitable, Callable

from lambdabox.broker_ports import BrokerError
from lambdabox.domain.mappings import NO_RECORDS, EventSourceMapping
from lambdabox.events.attention import Attention
from lambdabox.events.pollers import Report

log = logging.getLogger(__name__)

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
    delay, has_trouble = 0.0, False

    async def connected() -> None:
        nonlocal delay, has_trouble
        delay = 0.0
        if has_trouble:
            has_trouble = False
            await report(NO_RECORDS)

    while not attention.is_stopping:
        try:
            await session(connected)
        except BrokerError as exc:
            log.warning("%s: %s", mapping.arn, exc)
            has_trouble = True
            await report(f"PROBLEM: {exc}")
            delay = min(max(2 * delay, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            await attention.pause(delay)
