"""SQLite as the platform's database: WAL mode, one writer thread, group commit.

All writes go through one thread that owns the only writing connection. It takes every
waiting write into one transaction, each behind its own savepoint, so that a hundred
callers share one fsync and one caller's error undoes only that caller's work. Readers
have connections of their own and see a consistent snapshot while writes go on.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import anyio.to_thread
from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import QueuePool

from lambdabox.backends.schema import Lineage, SchemaError, migrate

T = TypeVar("T")

READERS = 4
BATCH = 512


@dataclass(slots=True)
class _Write:
    """One caller's work, waiting for the writer thread."""

    work: Callable[[Connection], Any]
    done: Callable[[Any], None]
    """Told the result or the exception, on the event loop."""
    result: Any = None
    error: Exception | None = None


class SqliteDatabase:
    """A `ports.PostingDatabase` in one file. Use as an async context manager."""

    def __init__(
        self,
        path: Path,
        lineage: Lineage,
        tables: Sequence[MetaData],
        *,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
    ) -> None:
        self._path = path
        self._tables = tables
        self._lineage = lineage
        self._synchronous = synchronous
        # None is the last one. Its lock is the interpreter's own: a condition variable costs the
        # event loop more than all else that it does for a write.
        self._waiting: SimpleQueue[_Write | None] = SimpleQueue()
        self._closing = False
        self._readers = anyio.CapacityLimiter(READERS)
        self._thread = threading.Thread(target=self._run_writer, name=f"{lineage}-writer")
        self._engine: Engine | None = None

    async def __aenter__(self) -> Self:
        """Open the file and bring its schema up to date. Raises SchemaError."""
        self._loop = asyncio.get_running_loop()
        self._engine = _create_engine(self._path, self._synchronous)
        try:
            await anyio.to_thread.run_sync(migrate, self._engine, self._lineage, self._tables)
        except BaseException as exc:
            self._engine.dispose()
            if isinstance(exc, DatabaseError):
                raise SchemaError(
                    f"{self._path} cannot be used as a database: {exc.orig}. Restore it from a "
                    "backup, or name another --data-dir."
                ) from exc
            raise
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._closing = True
        self._waiting.put(None)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._thread.join)
            self._opened.dispose()

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await anyio.to_thread.run_sync(self._read, work, limiter=self._readers)

    async def write(self, work: Callable[[Connection], T]) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self.post(work, partial(_resolve, future))
        return await future

    def post(self, work: Callable[[Connection], T], done: Callable[[T | Exception], None]) -> None:
        # On the event loop, as closing is: nothing is put behind the last one.
        if self._closing:
            self._loop.call_soon(done, RuntimeError("the database is closed"))
        else:
            self._waiting.put(_Write(work, done))

    @property
    def _opened(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the database is not open")
        return self._engine

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._opened.connect() as connection, connection.begin():
            return work(connection)

    def _run_writer(self) -> None:
        with self._opened.connect().execution_options(writes=True) as connection:
            is_last = False
            while not is_last:
                taken = self._take()
                is_last = taken[-1] is None
                batch = [entry for entry in taken if entry is not None]
                if batch:
                    self._commit(connection, batch)
                    self._loop.call_soon_threadsafe(_tell, batch)

    def _take(self) -> list[_Write | None]:
        """Wait for something to write, and return all that waits by then."""
        taken = [self._waiting.get()]
        # Nobody else takes any.
        more = min(self._waiting.qsize(), BATCH - 1)
        taken += [self._waiting.get() for _ in range(more)]
        return taken

    def _commit(self, connection: Connection, batch: Sequence[_Write]) -> None:
        # Whatever fails here is told to the callers it concerns; the thread itself must
        # go on, because every other write of the node depends on it.
        try:
            with connection.begin():
                if len(batch) == 1:
                    # Nobody else's work has to survive its failure.
                    batch[0].result = batch[0].work(connection)
                    return
                for entry in batch:
                    _perform(connection, entry)
        except Exception as exc:
            for entry in batch:
                entry.error = entry.error or exc


def _perform(connection: Connection, entry: _Write) -> None:
    try:
        with connection.begin_nested():
            entry.result = entry.work(connection)
    except Exception as exc:
        entry.error = exc
        # A full disk may make SQLite undo the whole transaction by itself. What others did in it
        # is gone too, and must not be acknowledged by a commit of nothing.
        if not _is_in_transaction(connection):
            raise


def _is_in_transaction(connection: Connection) -> bool:
    driver: Any = connection.connection.dbapi_connection
    return bool(driver.in_transaction)


def _tell(batch: Sequence[_Write]) -> None:
    for entry in batch:
        entry.done(entry.result if entry.error is None else entry.error)


def _resolve(future: "asyncio.Future[T]", result: T | Exception) -> None:
    if future.done():
        return  # its caller was cancelled; the write stands all the same
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _create_engine(path: Path, synchronous: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool,
        hide_parameters=True,  # errors are logged, and users' values are nobody's business
        pool_size=READERS + 1,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": 30},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes its lock at once: a lock upgraded later can fail half-way.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
