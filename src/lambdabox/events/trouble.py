"""What keeps a source from being polled, said once: in the mapping's result and in the log.

A poller asks a source that is not there twice a minute, for as long as it takes. Each time is
no news. What is said again is only something else, and that the trouble is over.
"""

import logging

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.mappings import NO_RECORDS, EventSourceMapping
from lambdabox.events.pollers import Report
from lambdabox.events.stream_batches import FAILED

log = logging.getLogger(__name__)

PROBLEM = "PROBLEM: "

_GONE = frozenset({
    "AWS.SimpleQueueService.NonExistentQueue", "NonExistentQueue", "QueueDoesNotExist",
    "ResourceNotFound", "ResourceNotFoundException",
})  # fmt: skip


class Trouble:
    """Of one mapping."""

    def __init__(self, mapping: EventSourceMapping, report: Report) -> None:
        self._mapping = mapping
        self._report = report
        self._told = ""
        # It may have been said before the node was started again.
        shown = mapping.last_result
        self._is_shown = shown.startswith(PROBLEM) and shown != FAILED

    async def tell(self, reason: str) -> None:
        if reason == self._told:
            return
        self._told, self._is_shown = reason, True
        log.warning("%s is not polled: %s", self._mapping.arn, reason)
        await self._report(f"{PROBLEM}{reason}")

    async def tell_error(self, error: AwsCallError) -> None:
        await self.tell(_reason(self._mapping, error))

    async def is_over(self) -> None:
        """The source answers. Costs nothing if it has done so before."""
        if self._told:
            log.info("%s is polled again", self._mapping.arn)
        if self._is_shown:
            self._told, self._is_shown = "", False
            await self._report(NO_RECORDS)


def _reason(mapping: EventSourceMapping, error: AwsCallError) -> str:
    text = error.message or error.code
    if error.code not in _GONE:
        return text
    return (
        f"{text.rstrip('.')}. There is no {mapping.source_arn}: it was deleted, or its service "
        "keeps its data in memory, as moto does, and has been started again. Make it again, and "
        "the mapping goes on by itself; or delete the mapping."
    )
