"""A source that this release does not poll: its mapping is kept, and says so."""

from anyio.abc import TaskGroup

from lambdabox.domain.mappings import EventSourceMapping
from lambdabox.events.attention import Attention
from lambdabox.events.pollers import Report


class Unpolled:
    """A Poller that does not poll."""

    def __init__(self, mapping: EventSourceMapping, report: Report) -> None:
        self._mapping = mapping
        self._report = report

    async def run(self, attention: Attention, _background: TaskGroup) -> None:
        kind = self._mapping.kind.value
        await self._report(f"PROBLEM: lambdabox does not poll event sources of {kind}.")
        await attention.stopped()

    async def forget(self) -> None:
        """Nothing is kept."""
