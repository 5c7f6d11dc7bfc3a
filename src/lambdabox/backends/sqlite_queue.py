"""The durable queue as a table, beside the platform's other records.

Everything that waits to be written, and what is wanted from the table, goes into one batch
and one transaction; what comes meanwhile goes into the next. So a thousand callers share a
commit, and one alone does not wait for others.

Who has a message on loan is kept in memory alone: the queue belongs to one node, and when
that ends its loans have ended too. A message leaves the table when it is settled, so a crash
at any point repeats work and loses none.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from lambdabox.backends import queue_table
from lambdabox.backends.queue_lanes import Lanes, Room
from lambdabox.backends.queue_table import Batch, Entry, Put, Result, Survey
from lambdabox.ports import Clock, PostingDatabase
from lambdabox.queue_ports import Delivery, Message

LOAN_SECONDS = 60.0
BATCH_BYTES = 8 * 1024 * 1024
BATCH_ROWS = 4_096

Done = Callable[[Exception | None], None]

metadata = queue_table.metadata


@dataclass(slots=True)
class _Incoming:
    message: Message
    delay: float
    done: Done


@dataclass(slots=True)
class _Settling:
    """A message that is to be forgotten, or replaced by `retry`."""

    entry: Entry
    done: Done
    retry: Message | None = None
    delay: float = 0.0


class TableQueue:
    """A `ports.Queue` on a `ports.PostingDatabase`."""

    def __init__(self, database: PostingDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lanes = Lanes()
        self._lent: dict[int, Entry] = {}
        self._first_end = float("inf")
        """No loan ends before."""
        self._incoming: list[_Incoming] = []
        self._settling: list[_Settling] = []
        self._next_seq = 0
        self._next_due: float | None = None
        self._is_open = False
        self._is_writing = False
        self._rounds: list[asyncio.Future[None]] = []
        """Of receivers that wait for the next batch."""
        self._room: Room = _any_number
        self._waiting: list[asyncio.Future[None]] = []
        """Of receivers that wait for something to receive."""

    async def put(self, message: Message, *, delay: float = 0) -> None:
        done, future = _awaitable()
        self._incoming.append(_Incoming(message, delay, done))
        self._write()
        await future

    def put_soon(self, message: Message, done: Done) -> None:
        self._incoming.append(_Incoming(message, 0.0, done))
        self._write()

    async def receive(
        self, limit: int, wait: float, *, room: Room | None = None
    ) -> Sequence[Delivery]:
        deadline = anyio.current_time() + wait
        while True:
            taken = self.take(limit, room=room)
            if taken:
                return taken
            if self._has_to_read():
                self._write()  # something may have become due this moment
                await self._next_round()
                continue
            remaining = deadline - anyio.current_time()
            if remaining <= 0:
                return []
            await self._notice_within(min(remaining, self._next_event()))

    def take(self, limit: int, *, room: Room | None = None) -> Sequence[Delivery]:
        self._room = room or _any_number
        self._end_loans()
        taken = self._lanes.take(limit, self._room)
        if self._has_to_read():
            self._write()
        return [self._lend(entry) for entry in taken]

    async def depth(self) -> int:
        """Return how many messages there are, those on loan and delayed ones included."""
        return await self._database.read(queue_table.count)

    def notice(self) -> None:
        """Let whoever waits in `receive` look again."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            _wake(future)

    async def _notice_within(self, seconds: float) -> None:
        # Under load this is waited for thousands of times a second; a cancel scope each time
        # would be most of what it costs.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        timer = loop.call_later(seconds, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            if future in self._waiting:
                self._waiting.remove(future)

    # Loans.

    def _lend(self, entry: Entry) -> "_Loan":
        self._lent[entry.seq] = entry
        loan = _Loan(self, entry, entry.message)
        self._extend(entry, LOAN_SECONDS)
        return loan

    def _extend(self, entry: Entry, seconds: float) -> None:
        if self._lent.get(entry.seq) is entry:
            entry.expires = self._clock.now() + seconds
            self._first_end = min(self._first_end, entry.expires)

    def _end_loans(self) -> None:
        now = self._clock.now()
        if now < self._first_end:
            return
        ended = [e for e in self._lent.values() if e.expires <= now and not e.is_settling]
        for entry in ended:
            del self._lent[entry.seq]
            # Another entry, so that who had this one can settle nothing any more.
            self._lanes.put_back(Entry(entry.seq, entry.message))
        ends = (e.expires for e in self._lent.values() if not e.is_settling)
        self._first_end = min(ends, default=float("inf"))

    def _settle(self, settling: _Settling) -> None:
        entry = settling.entry
        if self._lent.get(entry.seq) is not entry or entry.is_settling:
            settling.done(None)  # its loan has ended: another has the message, or will have it
            return
        entry.is_settling = True
        self._settling.append(settling)
        self._write()

    # Reading and writing, one batch after another.

    def _has_to_read(self) -> bool:
        return not self._is_open or self._is_due() or bool(self._lanes.wants(self._room))

    def _is_due(self) -> bool:
        return self._next_due is not None and self._next_due <= self._clock.now()

    def _next_event(self) -> float:
        """Return in how many seconds there may be more to receive."""
        due = self._next_due if self._next_due is not None else float("inf")
        return max(min(due, self._first_end) - self._clock.now(), 0.001)

    async def _next_round(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._rounds.append(future)
        await future

    def _write(self) -> None:
        """Begin the next batch, if there is anything to do and none is under way."""
        if self._is_writing:
            return
        if not self._is_open:
            self._is_writing = True
            self._database.post(queue_table.survey, self._opened)
            return
        incoming, settling = self._take_batch()
        now = self._clock.now()
        puts = [
            Put(self._next_seq + at, item.message, now + item.delay if item.delay > 0 else None)
            for at, item in enumerate(incoming)
        ]
        self._next_seq += len(puts)
        batch = Batch(
            puts=puts,
            deletes=[item.entry.seq for item in settling if item.retry is None],
            updates=[
                Put(item.entry.seq, item.retry, now + item.delay)
                for item in settling
                if item.retry is not None
            ],
            promote=(now, self._next_seq) if self._is_due() else None,
            wants=self._lanes.wants(self._room),
        )
        if batch.is_empty:
            return
        self._is_writing = True
        self._database.post(
            lambda connection: queue_table.run(connection, batch),
            partial(self._written, batch, incoming, settling),
        )

    def _take_batch(self) -> tuple[list[_Incoming], list[_Settling]]:
        rows, size = 0, 0
        for item in self._incoming[:BATCH_ROWS]:
            size += len(item.message.body)
            if size > BATCH_BYTES and rows:
                break
            rows += 1
        incoming, self._incoming = self._incoming[:rows], self._incoming[rows:]
        settling, self._settling = self._settling[:BATCH_ROWS], self._settling[BATCH_ROWS:]
        return incoming, settling

    def _opened(self, result: Survey | Exception) -> None:
        self._is_writing = False
        if isinstance(result, Exception):
            self._fail(result, self._incoming, self._settling)
            self._incoming, self._settling = [], []
            return
        self._is_open = True
        self._next_seq, self._next_due = result.next_seq, result.next_due
        for group in result.groups:
            self._lanes.fell_behind(group)
        self._end_round(None)
        self._write()

    def _written(
        self,
        batch: Batch,
        incoming: Sequence[_Incoming],
        settling: Sequence[_Settling],
        result: Result | Exception,
    ) -> None:
        self._is_writing = False
        if isinstance(result, Exception):
            self._fail(result, incoming, settling)
            return
        for put in batch.puts:
            self._put(put)
        for item in settling:
            self._lent.pop(item.entry.seq, None)
        for put in batch.updates:
            self._note_due(put.due_at)
        if batch.promote is not None:
            self._next_seq = max(self._next_seq, result.next_seq)
            self._next_due = result.next_due
            for group in result.promoted:
                self._lanes.fell_behind(group)
        for found in result.found:
            self._lanes.read(found, self._lent)
        if batch.puts or result.promoted or result.found or batch.updates:
            self.notice()
        self._end_round(None)
        for done in [item.done for item in incoming] + [item.done for item in settling]:
            done(None)
        self._write()

    def _put(self, put: Put) -> None:
        if put.due_at is None:
            self._lanes.arrived(Entry(put.seq, put.message))
        else:
            self._note_due(put.due_at)

    def _note_due(self, due_at: float | None) -> None:
        if due_at is not None and (self._next_due is None or due_at < self._next_due):
            self._next_due = due_at

    def _fail(
        self, error: Exception, incoming: Sequence[_Incoming], settling: Sequence[_Settling]
    ) -> None:
        """Tell everybody. What was to be settled comes back when its loan ends."""
        for item in settling:
            item.entry.is_settling = False
            self._first_end = min(self._first_end, item.entry.expires)
        self._end_round(error)
        for done in [item.done for item in incoming] + [item.done for item in settling]:
            done(error)
        if self._incoming or self._settling:
            self._write()

    def _end_round(self, error: Exception | None) -> None:
        rounds, self._rounds = self._rounds, []
        for future in rounds:
            if future.done():
                continue  # its receiver was cancelled
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)


@dataclass(slots=True, eq=False)
class _Loan:
    """A `ports.Delivery`."""

    queue: TableQueue
    entry: Entry
    message: Message

    async def ack(self) -> None:
        done, future = _awaitable()
        self.ack_soon(done)
        await future

    def ack_soon(self, done: Done) -> None:
        self.queue._settle(_Settling(self.entry, done))  # noqa: SLF001  # a part of it

    def extend(self, seconds: float) -> None:
        self.queue._extend(self.entry, seconds)  # noqa: SLF001  # as above

    async def retry_later(self, message: Message, delay: float) -> None:
        done, future = _awaitable()
        settling = _Settling(self.entry, done, message, delay)
        self.queue._settle(settling)  # noqa: SLF001  # as above
        await future


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _any_number(_group: str) -> int:
    return 2**31


def _awaitable() -> tuple[Done, "asyncio.Future[None]"]:
    """Return a function to be called once, and what then is done."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def done(error: Exception | None) -> None:
        if future.done():
            return  # who waited was cancelled
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    return done, future
