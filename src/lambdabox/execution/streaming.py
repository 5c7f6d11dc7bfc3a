"""Carry one response from a runtime to its consumer while it is made.

Between the two stands a small buffer that stops the runtime when the consumer is slow, and
the pace that AWS allows. The function's deadline covers all of it, so that neither a
response without end nor a consumer that does not read can hold an environment.
"""

import asyncio

from lambdabox.domain.invocations import Invocation
from lambdabox.domain.pacing import Pacer
from lambdabox.execution_ports import ConsumerGoneError, ResponseSink
from lambdabox.ports import Clock
from lambdabox.runtime.session import Answer, Expired, Response, RuntimeSession
from lambdabox.runtime.streams import ResponseBuffer

BUFFERED_CONTENT_TYPE = "application/json"


class Relay:
    """One invocation's way to its sink."""

    def __init__(self, sink: ResponseSink, clock: Clock) -> None:
        self.produced_bytes = 0
        """How much of the response has come."""
        self.begun_at: float | None = None
        """When the response began, monotonic; None if it has not."""
        self._sink = sink
        self._clock = clock
        self._pacer = Pacer(clock.monotonic())
        self._is_heard = True

    async def run(
        self, session: RuntimeSession, invocation: Invocation, deadline_ms: int, seconds: float
    ) -> Answer:
        """Hand over the event; return its answer once the sink has all of the response.

        A payload that went to the sink is not in the answer. Past `seconds`, which is the
        time the function still has, the answer is Expired.
        """
        buffer = ResponseBuffer()
        answer = session.invoke(invocation, deadline_ms, buffer)
        try:
            async with asyncio.timeout(seconds) as limit:
                await self._carry(buffer)
                return await self._finish(await answer)
        except TimeoutError:
            if not limit.expired():  # the sink's own
                raise
            session.expire()
            return Expired()

    async def _carry(self, buffer: ResponseBuffer) -> None:
        content_type = await buffer.begun()
        if content_type is None:
            return
        await self._begin(content_type)
        while piece := await buffer.read():
            await self._write(piece)

    async def _finish(self, answer: Answer) -> Answer:
        if not isinstance(answer, Response):
            return answer
        if self.begun_at is None:  # not streamed
            await self._begin(BUFFERED_CONTENT_TYPE)
            await self._write(answer.payload)
        return Response(b"")

    async def _begin(self, content_type: str) -> None:
        self.begun_at = self._clock.monotonic()
        try:
            await self._sink.begin(content_type)
        except ConsumerGoneError:
            self._is_heard = False

    async def _write(self, piece: bytes) -> None:
        self.produced_bytes += len(piece)
        if not self._is_heard:
            return
        delay = self._pacer.delay(len(piece), self._clock.monotonic())
        if delay > 0:
            await self._clock.sleep(delay)
        try:
            await self._sink.write(piece)
        except ConsumerGoneError:
            self._is_heard = False
