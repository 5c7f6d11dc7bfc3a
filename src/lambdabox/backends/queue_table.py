"""What the durable queue asks of its table: a batch of changes in one transaction.

A batch is a handful of statements however many messages it is about: new rows are bound many
at a time, changed ones are one JSON text. A statement for each message would give up the
interpreter and ask for it again thousands of times a second, against the event loop that
everything else runs on.
(json_each is SQLite's; what does the same in PostgreSQL is jsonb_array_elements.)

A row without `due_at` is ready, in the order of `seq`; one with it waits. When its time has
come it is given a new `seq`, behind everything that is ready: so whoever has read a group up
to some `seq` has missed nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
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
    text,
)

from lambdabox.queue_ports import Message

metadata = MetaData()

queue = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("group", String(256), nullable=False),
    Column("id", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("enqueued_at", Float(53), nullable=False),
    Column("retries", Integer, nullable=False),
    Column("throttles", Integer, nullable=False),
    Column("due_at", Float(53)),
)
# Partial, so that a row is in one of them: less to write for each message.
Index("events_ready", queue.c.group, sqlite_where=queue.c.due_at.is_(None))
Index("events_delayed", queue.c.due_at, sqlite_where=queue.c.due_at.is_not(None))

PROMOTED_AT_ONCE = 5_000
INSERTED_AT_ONCE = 64


@dataclass(slots=True, eq=False)
class Entry:
    """A message with its place in the table."""

    seq: int
    message: Message
    expires: float = 0.0
    """When its loan ends, if it is on loan."""
    is_settling: bool = False


@dataclass(slots=True)  # not frozen, as the message in it
class Put:
    seq: int
    message: Message
    due_at: float | None


@dataclass(frozen=True, slots=True)
class Want:
    """More of a group is wanted: what is ready behind `after`."""

    group: str
    after: int
    rows: int
    size: int
    """In bytes; one row is read whatever its size."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there was of a group, and whether there is more."""

    want: Want
    entries: Sequence[Entry]
    last: int
    """The place up to which the group has been read."""
    has_more: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are made together, and what is to be read after them."""

    puts: Sequence[Put] = ()
    deletes: Sequence[int] = ()
    updates: Sequence[Put] = ()
    """Rows that stay, delayed: everything but group and id is replaced."""
    promote: tuple[float, int] | None = None
    """Make ready what is due at this time, with places from this one on."""
    wants: Sequence[Want] = ()

    @property
    def is_empty(self) -> bool:
        return not (
            self.puts or self.deletes or self.updates or self.wants or self.promote is not None
        )


@dataclass(slots=True)
class Result:
    found: list[Found] = field(default_factory=list)
    promoted: list[str] = field(default_factory=list)
    """Groups of which something was made ready."""
    next_seq: int = 0
    next_due: float | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """What is in the table when the node starts."""

    groups: Sequence[str]
    next_seq: int
    next_due: float | None


def survey(connection: Connection) -> Survey:
    last = connection.scalar(text("SELECT max(seq) FROM events")) or 0
    groups = [row[0] for row in connection.execute(_GROUPS)]
    return Survey(groups, last + 1, connection.scalar(_NEXT_DUE))


def count(connection: Connection) -> int:
    found: int = connection.execute(text("SELECT count(*) FROM events")).scalar_one()
    return found


def run(connection: Connection, batch: Batch) -> Result:
    """Make the changes of `batch`, and read what it wants."""
    result = Result()
    # What every batch has goes to the driver itself, for a tenth of what it costs otherwise:
    # under load a batch has a handful of messages.
    driver: Any = connection.connection.dbapi_connection
    if batch.puts:
        _insert(driver, batch.puts)
    if batch.deletes:
        driver.execute(_DELETE, (orjson.dumps(batch.deletes).decode(),))
    if batch.updates:
        connection.execute(_UPDATE, _rows(batch.updates))
    if batch.promote is not None:
        now, base = batch.promote
        connection.execute(_PROMOTE, {"now": now, "base": base, "limit": PROMOTED_AT_ONCE})
        groups = connection.scalar(text(_PROMOTED), {"base": base})
        result.promoted = orjson.loads(groups)
        result.next_seq = (connection.scalar(text("SELECT max(seq) FROM events")) or 0) + 1
        result.next_due = connection.scalar(_NEXT_DUE)
    result.found = [_read(connection, want) for want in batch.wants]
    return result


def _insert(driver: Any, puts: Sequence[Put]) -> None:
    at, size, left = 0, INSERTED_AT_ONCE, len(puts)
    while left:
        while size > left:  # halved for the rest, so that there are few different statements
            size //= 2
        values: list[Any] = []
        for put in puts[at : at + size]:
            message = put.message
            values += (
                put.seq, message.group, message.id, message.body,
                message.enqueued_at, message.retries, message.throttles, put.due_at,
            )  # fmt: skip
        driver.execute(_insertion(size), values)
        at, left = at + size, left - size


@cache
def _insertion(rows: int) -> str:
    columns = 'seq, "group", id, body, enqueued_at, retries, throttles, due_at'
    values = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
    return f"INSERT INTO events ({columns}) VALUES {values}"  # noqa: S608  # this module's own text


def _rows(puts: Sequence[Put]) -> Mapping[str, Any]:
    rows, bodies, at = [], [], 1
    for put in puts:
        message = put.message
        size = len(message.body)
        rows.append(
            (
                put.seq, message.group, message.id, at, size,
                message.enqueued_at, message.retries, message.throttles, put.due_at,
            )
        )  # fmt: skip
        bodies.append(message.body)
        at += size
    return {"rows": orjson.dumps(rows).decode(), "bodies": b"".join(bodies)}


def _read(connection: Connection, want: Want) -> Found:
    row = connection.execute(
        _READ,
        {"group": want.group, "after": want.after, "rows": want.rows, "size": want.size},
    ).one()
    heads, bodies, count = orjson.loads(row.heads), row.bodies or b"", row.found
    entries, at = [], 0
    for seq, id, enqueued_at, retries, throttles, size in heads:
        body = bodies[at : at + size]
        at += size
        message = Message(id, want.group, body, enqueued_at, retries, throttles)
        entries.append(Entry(seq, message))
    last = entries[-1].seq if entries else want.after
    return Found(want, entries, last, count == want.rows or count > len(entries))


_CELLS = """
    SELECT json_extract(value, '$[0]') AS seq, json_extract(value, '$[1]') AS grp,
           json_extract(value, '$[2]') AS id,
           coalesce(substr(:bodies, json_extract(value, '$[3]'), json_extract(value, '$[4]')),
                    x'') AS body,
           json_extract(value, '$[5]') AS enqueued_at, json_extract(value, '$[6]') AS retries,
           json_extract(value, '$[7]') AS throttles, json_extract(value, '$[8]') AS due_at
    FROM json_each(:rows)
"""
_UPDATE = text(f"""
    UPDATE events SET body = new.body, enqueued_at = new.enqueued_at, retries = new.retries,
                      throttles = new.throttles, due_at = new.due_at
    FROM ({_CELLS}) AS new WHERE events.seq = new.seq
""")  # noqa: S608  # it is made of this module's own text
_DELETE = "DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?))"

_PROMOTE = text("""
    UPDATE events SET due_at = NULL, seq = due.new
    FROM (
        SELECT seq AS old, :base + row_number() OVER (ORDER BY due_at, seq) - 1 AS new
        FROM events WHERE due_at <= :now ORDER BY due_at, seq LIMIT :limit
    ) AS due
    WHERE events.seq = due.old
""")
_PROMOTED = 'SELECT json_group_array(DISTINCT "group") FROM events WHERE seq >= :base'
_NEXT_DUE = text("SELECT min(due_at) FROM events WHERE due_at IS NOT NULL")

# One row, whose bodies are one after another: reading rows one by one costs as much as
# writing them so.
_READ = text("""
    SELECT coalesce(json_group_array(json_array(seq, id, enqueued_at, retries, throttles, size))
                    FILTER (WHERE total - size < :size), '[]') AS heads,
           CAST(group_concat(CAST(body AS TEXT), '') FILTER (WHERE total - size < :size)
                AS BLOB) AS bodies,
           count(*) AS found
    FROM (
        SELECT *, sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS total
        FROM (
            SELECT seq, id, body, enqueued_at, retries, throttles, length(body) AS size
            FROM events
            WHERE "group" = :group AND due_at IS NULL AND seq > :after
            ORDER BY seq LIMIT :rows
        )
    )
""")

# The next greater group each time: a look into the index for each, however many rows it has.
_GROUPS = text("""
    WITH RECURSIVE found(name) AS (
        SELECT min("group") FROM events WHERE due_at IS NULL
        UNION ALL
        SELECT (SELECT min("group") FROM events WHERE due_at IS NULL AND "group" > name)
        FROM found WHERE name IS NOT NULL
    )
    SELECT name FROM found WHERE name IS NOT NULL
""")
