"""The durable queue as a table, beside the platform's other records.

A claimed message stays in its row, invisible until its loan ends, so a crash at any point
repeats work and loses none. Claims take turns between groups, so that one function's
backlog does not hold up another's event.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from lambdabox.ports import Clock, Database, Delivery, Message

LOAN_SECONDS = 60.0
WINDOW = 1_000
"""How many of the oldest due messages share a turn."""

metadata = MetaData()

queue = Table(
    "queue",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("group", String(256), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("enqueued_at", Float(53), nullable=False),
    Column("retries", Integer, nullable=False),
    Column("throttles", Integer, nullable=False),
    Column("visible_at", Float(53), nullable=False),
    Column("receipt", String(36)),
    Index("queue_visible", "visible_at"),
)


class TableQueue:
    """A `ports.Queue` on a `ports.Database`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._arrived = anyio.Event()

    async def put(self, message: Message, *, delay: float = 0) -> None:
        values = {**_row(message), "visible_at": self._clock.now() + delay}
        await self._database.write(lambda connection: connection.execute(insert(queue), values))
        self.notice()

    async def receive(self, limit: int, wait: float) -> Sequence[Delivery]:
        deadline = anyio.current_time() + wait
        while True:
            arrived = self._arrived
            claimed, due = await self._database.write(
                lambda connection: self._claim(connection, limit)
            )
            remaining = deadline - anyio.current_time()
            if claimed or remaining <= 0:
                return claimed
            if due is not None:
                remaining = min(remaining, max(due - self._clock.now(), 0.001))
            with anyio.move_on_after(remaining):
                await arrived.wait()

    async def end_loans(self) -> None:
        """Make what was on loan receivable at once.

        For the start of the only node: whoever held the loans is gone, and need not be waited for.
        """
        lent = update(queue).where(queue.c.receipt.is_not(None))
        values = {"receipt": None, "visible_at": self._clock.now()}
        await self._database.write(lambda connection: connection.execute(lent.values(values)))

    def notice(self) -> None:
        """Wake whoever waits: there may be something to receive."""
        self._arrived.set()
        self._arrived = anyio.Event()

    def _claim(self, connection: Connection, limit: int) -> tuple[list[Delivery], float | None]:
        now = self._clock.now()
        oldest = (
            select(queue.c.id, queue.c.group, queue.c.visible_at)
            .where(queue.c.visible_at <= now)
            .order_by(queue.c.visible_at)
            .limit(WINDOW)
            .subquery()
        )
        turn = func.row_number().over(partition_by=oldest.c.group, order_by=oldest.c.visible_at)
        chosen = select(oldest.c.id).order_by(turn, oldest.c.visible_at).limit(limit)
        ids = list(connection.scalars(chosen))
        if not ids:
            return [], connection.scalar(select(func.min(queue.c.visible_at)))
        receipt = str(uuid.uuid4())
        connection.execute(
            update(queue)
            .where(queue.c.id.in_(ids))
            .values(receipt=receipt, visible_at=now + LOAN_SECONDS)
        )
        rows = connection.execute(select(queue).where(queue.c.id.in_(ids))).mappings()
        found = {row["id"]: Message(**{name: row[name] for name in _FIELDS}) for row in rows}
        return [
            _TableDelivery(self, self._database, self._clock, found[id], receipt) for id in ids
        ], None


@dataclass(slots=True)
class _TableDelivery:
    queue: TableQueue
    database: Database
    clock: Clock
    message: Message
    receipt: str

    async def ack(self) -> None:
        mine = (queue.c.id == self.message.id) & (queue.c.receipt == self.receipt)
        await self.database.write(lambda connection: connection.execute(delete(queue).where(mine)))

    async def extend(self, seconds: float) -> None:
        await self._update(visible_at=self.clock.now() + seconds)

    async def retry_later(self, message: Message, delay: float) -> None:
        values = {**_row(message), "visible_at": self.clock.now() + delay, "receipt": None}
        await self._update(**values)
        self.queue.notice()

    async def _update(self, **values: object) -> None:
        mine = (queue.c.id == self.message.id) & (queue.c.receipt == self.receipt)
        await self.database.write(
            lambda connection: connection.execute(update(queue).where(mine).values(values))
        )


_FIELDS = ("id", "group", "body", "enqueued_at", "retries", "throttles")


def _row(message: Message) -> dict[str, object]:
    return {name: getattr(message, name) for name in _FIELDS}
