"""Records of functions and of accounts, on a real database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest

from lambdabox.backends import sqlite_queue
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import LATEST, FunctionKey, Scope
from lambdabox.domain.errors import PreconditionFailedException
from lambdabox.domain.functions import CREATING, Code, FunctionSettings, Version
from lambdabox.repositories import tables
from lambdabox.repositories.account_records import AccountRecords, Held
from lambdabox.repositories.function_records import FunctionRecords, Owned, OwnerMissing
from lambdabox.repositories.functions import FunctionRepository

pytestmark = pytest.mark.anyio

KEY = FunctionKey("000000000000", "eu-west-1", "greet")
SCOPE = Scope("000000000000", "eu-west-1")


@dataclass(frozen=True, slots=True)
class Note:
    text: str
    url_id: str | None = None


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    metadata = (tables.metadata, sqlite_queue.metadata)
    async with SqliteDatabase(tmp_path / "state.db", "state", metadata) as database:
        yield database


@pytest.fixture
async def functions(database: SqliteDatabase) -> FunctionRepository:
    repository = FunctionRepository(database)
    code = Code("0" * 64, 100)
    await repository.create(
        Version(KEY, LATEST, FunctionSettings(role="r"), code, CREATING, "revision", 0.0)
    )
    return repository


@pytest.fixture
def notes(database: SqliteDatabase, functions: FunctionRepository) -> FunctionRecords[Note]:
    return FunctionRecords(database, "note", Note, lookup=lambda note: note.url_id)


async def test_a_record_is_made_changed_and_ended(notes: FunctionRecords[Note]) -> None:
    assert await notes.get(KEY) is None
    assert await notes.change(KEY, "", lambda _before: Note("one", "abc")) == Note("one", "abc")

    def again(before: Note | None) -> Note:
        assert before is not None
        return replace(before, text="two")

    await notes.change(KEY, "", again)
    assert await notes.get(KEY) == Note("two", "abc")
    assert await notes.find("abc") == Owned(KEY, "", Note("two", "abc"))
    await notes.change(KEY, "", lambda _before: None)
    assert await notes.get(KEY) is None
    assert await notes.find("abc") is None


async def test_a_change_that_raises_changes_nothing(notes: FunctionRecords[Note]) -> None:
    await notes.change(KEY, LATEST, lambda _before: Note("one"))

    def refuse(_before: Note | None) -> Note:
        raise PreconditionFailedException("stale")

    with pytest.raises(PreconditionFailedException):
        await notes.change(KEY, LATEST, refuse)
    assert await notes.get(KEY, LATEST) == Note("one")


@pytest.mark.parametrize(
    ("key", "qualifier"), [(replace(KEY, name="other"), ""), (KEY, "7"), (KEY, "live")]
)
async def test_what_does_not_exist_has_no_records(
    notes: FunctionRecords[Note], key: FunctionKey, qualifier: str
) -> None:
    with pytest.raises(OwnerMissing):
        await notes.change(key, qualifier, lambda _before: Note("one"))


async def test_records_of_a_function_are_listed_by_qualifier_and_end_with_it(
    notes: FunctionRecords[Note], functions: FunctionRepository, database: SqliteDatabase
) -> None:
    others = FunctionRecords(database, "other", Note)
    for qualifier in (LATEST, ""):
        await notes.change(KEY, qualifier, lambda _before: Note("mine"))
        await others.change(KEY, qualifier, lambda _before: Note("other"))
    assert [owned.qualifier for owned in await notes.of_function(KEY)] == ["", LATEST]
    assert [owned.qualifier for owned in await notes.of_function(KEY, after="")] == [LATEST]
    assert [owned.record for owned in await notes.all()] == [Note("mine"), Note("mine")]
    await functions.delete(KEY)
    assert not await notes.all()
    assert not await others.all()


async def test_concurrent_changes_of_one_record_are_all_counted(
    notes: FunctionRecords[Note],
) -> None:
    await notes.change(KEY, "", lambda _before: Note(""))
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(
                notes.change, KEY, "", lambda note: replace(note, text=note.text + "x")
            )
    assert await notes.get(KEY) == Note("x" * 20)


async def test_account_records_are_kept_apart_by_scope_and_kind(database: SqliteDatabase) -> None:
    notes = AccountRecords(database, "note", Note, lookup=lambda note: note.url_id)
    elsewhere = Scope("000000000000", "us-east-1")
    await notes.change(SCOPE, "b", lambda _before: Note("b", "x"))
    await notes.change(SCOPE, "a", lambda _before: Note("a", "y"))
    await notes.change(elsewhere, "a", lambda _before: Note("elsewhere", "x"))
    assert [held.id for held in await notes.list_page(SCOPE)] == ["a", "b"]
    assert [held.id for held in await notes.list_page(SCOPE, after="a", limit=5)] == ["b"]
    assert await notes.list_page(SCOPE, lookup="x") == [Held(SCOPE, "b", Note("b", "x"))]
    assert not await AccountRecords(database, "other", Note).list_page(SCOPE)
    await notes.change(SCOPE, "a", lambda _before: None)
    assert await notes.get(SCOPE, "a") is None
    assert len(await notes.all()) == 2
