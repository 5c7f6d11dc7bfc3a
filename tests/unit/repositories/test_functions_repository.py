"""The records of functions on a real database: what is stored, and who wins a race."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from sqlalchemy import func, select
from support.records import CODE, KEY, SCOPE, creating, deployment, key, open_state, ready

from lambdabox.domain.arn import LATEST, FunctionKey, Scope
from lambdabox.domain.errors import PreconditionFailedException
from lambdabox.domain.functions import CREATING, READY, UPDATING, Code, Version
from lambdabox.ports import Database
from lambdabox.repositories.functions import FunctionRepository, Place, Totals
from lambdabox.repositories.tables import functions, versions
from lambdabox.repositories.tags import TagRepository

pytestmark = pytest.mark.anyio

OTHER_CODE = Code("cd" * 32, 234)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_state(tmp_path) as opened:
        yield opened


@pytest.fixture
def repository(database: Database) -> FunctionRepository:
    return FunctionRepository(database)


def as_it_is(latest: Version, _newest: Version | None) -> Version:
    return latest


async def change_code(
    repository: FunctionRepository, code: Code, *, of: FunctionKey = KEY
) -> Version | None:
    return await repository.change(of, LATEST, lambda version: replace(version, code=code))


async def test_a_function_comes_back_as_it_was_stored(repository: FunctionRepository) -> None:
    assert await repository.create(ready())
    assert await repository.get(KEY) == ready()


async def test_a_function_that_cannot_run_yet_has_no_deployment(
    repository: FunctionRepository,
) -> None:
    await repository.create(creating())
    found = await repository.get(KEY)
    assert found is not None
    assert found.deployment is None
    assert found.status == CREATING


async def test_a_name_is_taken_once(repository: FunctionRepository) -> None:
    assert await repository.create(creating())
    assert not await repository.create(ready())
    assert await repository.get(KEY) == creating()


async def test_of_many_who_create_one_name_one_wins(repository: FunctionRepository) -> None:
    won: list[bool] = []

    async def create(revision: str) -> None:
        won.append(await repository.create(replace(creating(), revision_id=revision)))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(create, str(number))
    assert sorted(won) == [False] * 19 + [True]


@pytest.mark.parametrize(
    "elsewhere",
    [
        FunctionKey("999999999999", KEY.region, KEY.name),
        FunctionKey(KEY.account, "eu-west-1", KEY.name),
        FunctionKey(KEY.account, KEY.region, KEY.name.upper()),
    ],
)
async def test_accounts_regions_and_case_keep_names_apart(
    repository: FunctionRepository, elsewhere: FunctionKey
) -> None:
    await repository.create(ready())
    assert await repository.get(elsewhere) is None
    assert await repository.create(creating(elsewhere))
    assert await repository.delete(elsewhere)
    assert await repository.get(KEY) == ready()


async def test_what_is_not_there_is_none(repository: FunctionRepository) -> None:
    assert await repository.get(KEY) is None
    assert await repository.change(KEY, LATEST, lambda version: version) is None
    assert await repository.publish(KEY, as_it_is) is None
    assert not await repository.delete(KEY)
    assert not await repository.delete_version(KEY, "1")
    assert await repository.versions_of(KEY, after=None, limit=5) == []


async def test_a_change_is_returned_and_stored(repository: FunctionRepository) -> None:
    await repository.create(creating())
    changed = await repository.change(
        KEY, LATEST, lambda version: replace(version, status=READY, deployment=deployment())
    )
    assert changed == replace(creating(), status=READY, deployment=deployment())
    assert await repository.get(KEY) == changed


async def test_a_change_that_raises_changes_nothing(repository: FunctionRepository) -> None:
    def refuse(version: Version) -> Version:
        raise PreconditionFailedException("not the latest")

    await repository.create(ready())
    with pytest.raises(PreconditionFailedException):
        await repository.change(KEY, LATEST, refuse)
    assert await repository.get(KEY) == ready()


async def test_a_change_touches_one_version_only(repository: FunctionRepository) -> None:
    await repository.create(ready())
    await repository.create(ready(key("neighbour")))
    await repository.publish(KEY, as_it_is)
    await repository.change(KEY, "1", lambda version: replace(version, status=UPDATING))
    assert await repository.get(KEY) == ready()
    assert await repository.get(key("neighbour")) == ready(key("neighbour"))
    published = await repository.get(KEY, "1")
    assert published is not None
    assert published.status == UPDATING


async def test_of_two_changes_one_wins_and_the_guard_of_the_other_holds(
    repository: FunctionRepository,
) -> None:
    """The guard sees what the first change stored, so no update is lost."""
    await repository.create(ready())
    results: list[str] = []

    async def update(mine: str) -> None:
        def apply(version: Version) -> Version:
            if version.revision_id != "revision":
                raise PreconditionFailedException(version.revision_id)
            return replace(version, revision_id=mine)

        try:
            await repository.change(KEY, LATEST, apply)
            results.append(mine)
        except PreconditionFailedException as refused:
            results.append(f"behind {refused.message}")

    async with anyio.create_task_group() as tasks:
        for name in ("first", "second", "third"):
            tasks.start_soon(update, name)
    current = await repository.get(KEY)
    assert current is not None
    winner = current.revision_id
    assert sorted(results) == sorted([winner, f"behind {winner}", f"behind {winner}"])


async def test_published_versions_are_numbered_from_1(repository: FunctionRepository) -> None:
    await repository.create(ready())
    first = await repository.publish(KEY, as_it_is)
    second = await repository.publish(KEY, as_it_is)
    assert [v.number for v in (first, second) if v] == ["1", "2"]
    assert await repository.get(KEY, "2") == second


async def test_the_deployment_of_a_published_version_names_that_version(
    repository: FunctionRepository,
) -> None:
    await repository.create(ready())
    published = await repository.publish(KEY, as_it_is)
    assert published is not None
    assert published.deployment is not None
    assert published.deployment.version == "1"


async def test_a_number_is_never_given_again(repository: FunctionRepository) -> None:
    await repository.create(ready())
    await repository.publish(KEY, as_it_is)
    await repository.publish(KEY, as_it_is)
    assert await repository.delete_version(KEY, "2")
    assert await repository.delete_version(KEY, "1")
    third = await repository.publish(KEY, as_it_is)
    assert third is not None
    assert third.number == "3"


async def test_publishing_the_newest_again_stores_nothing(repository: FunctionRepository) -> None:
    def repeat(latest: Version, newest: Version | None) -> Version:
        return newest or latest

    await repository.create(ready())
    first = await repository.publish(KEY, repeat)
    assert await repository.publish(KEY, repeat) == first
    assert len(await repository.versions_of(KEY, after=None, limit=9)) == 2


async def test_a_publish_that_raises_takes_no_number(repository: FunctionRepository) -> None:
    def refuse(latest: Version, newest: Version | None) -> Version:
        raise PreconditionFailedException("no")

    await repository.create(ready())
    with pytest.raises(PreconditionFailedException):
        await repository.publish(KEY, refuse)
    first = await repository.publish(KEY, as_it_is)
    assert first is not None
    assert first.number == "1"


async def test_many_who_publish_at_once_get_numbers_of_their_own(
    repository: FunctionRepository,
) -> None:
    await repository.create(ready())
    numbers: list[str] = []

    async def publish() -> None:
        version = await repository.publish(KEY, as_it_is)
        assert version is not None
        numbers.append(version.number)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(publish)
    assert sorted(numbers, key=int) == [str(number) for number in range(1, 21)]


async def test_the_newest_version_is_newest_by_number_not_by_spelling(
    repository: FunctionRepository,
) -> None:
    seen: list[str | None] = []

    def look(latest: Version, newest: Version | None) -> Version:
        seen.append(newest.number if newest else None)
        return latest

    await repository.create(ready())
    for _ in range(12):
        await repository.publish(KEY, look)
    assert seen == [None, *(str(number) for number in range(1, 12))]


async def test_versions_are_listed_by_number_with_latest_first(
    repository: FunctionRepository,
) -> None:
    await repository.create(ready())
    for _ in range(11):
        await repository.publish(KEY, as_it_is)
    first = await repository.versions_of(KEY, after=None, limit=3)
    rest = await repository.versions_of(KEY, after=2, limit=50)
    assert [v.number for v in first] == [LATEST, "1", "2"]
    assert [v.number for v in rest] == [str(number) for number in range(3, 12)]


async def walk(repository: FunctionRepository, *, limit: int, all_versions: bool) -> list[str]:
    """Page through everything, as a client does."""
    found: list[str] = []
    after = None
    while page := await repository.list_page(
        SCOPE, after=after, limit=limit, all_versions=all_versions
    ):
        assert len(page) <= limit
        found += [f"{v.key.name}:{v.number}" for v in page]
        last = page[-1]
        after = Place(last.key.name, 0 if last.is_latest else int(last.number))
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_pages_of_any_size_add_up_to_everything_once(
    repository: FunctionRepository, limit: int
) -> None:
    for name in ("b", "a", "c-1", "c"):
        await repository.create(ready(key(name)))
    for _ in range(2):
        await repository.publish(key("b"), as_it_is)
    assert await walk(repository, limit=limit, all_versions=False) == [
        "a:$LATEST", "b:$LATEST", "c:$LATEST", "c-1:$LATEST",
    ]  # fmt: skip
    assert await walk(repository, limit=limit, all_versions=True) == [
        "a:$LATEST", "b:$LATEST", "b:1", "b:2", "c:$LATEST", "c-1:$LATEST",
    ]  # fmt: skip


async def test_a_page_may_begin_after_a_function_that_is_gone(
    repository: FunctionRepository,
) -> None:
    for name in ("a", "b", "c"):
        await repository.create(ready(key(name)))
    await repository.delete(key("b"))
    page = await repository.list_page(SCOPE, after=Place("b", 0), limit=9, all_versions=True)
    assert [v.key.name for v in page] == ["c"]


async def test_a_list_shows_one_account_and_region(repository: FunctionRepository) -> None:
    await repository.create(ready())
    await repository.create(ready(FunctionKey(SCOPE.account, "eu-west-1", "there")))
    await repository.create(ready(FunctionKey("999999999999", SCOPE.region, "theirs")))
    page = await repository.list_page(SCOPE, after=None, limit=9, all_versions=True)
    assert [v.key for v in page] == [KEY]


async def test_a_deleted_function_leaves_nothing(
    repository: FunctionRepository, database: Database
) -> None:
    tags = TagRepository(database)
    await repository.create(ready())
    await repository.publish(KEY, as_it_is)
    await tags.merge(KEY.arn, {"team": "a"}, lambda _tags: None)
    assert await repository.delete(KEY)
    rows = await database.read(
        lambda c: [c.scalar(select(func.count()).select_from(t)) for t in (functions, versions)]
    )
    assert rows == [0, 0]
    assert await tags.get(KEY.arn) == {}


async def test_a_function_made_again_starts_afresh(repository: FunctionRepository) -> None:
    await repository.create(ready())
    await repository.publish(KEY, as_it_is)
    await repository.delete(KEY)
    await repository.create(ready())
    first = await repository.publish(KEY, as_it_is)
    assert first is not None
    assert first.number == "1"


async def test_a_deleted_version_leaves_the_others(repository: FunctionRepository) -> None:
    await repository.create(ready())
    await repository.publish(KEY, as_it_is)
    await repository.publish(KEY, as_it_is)
    assert await repository.delete_version(KEY, "1")
    assert not await repository.delete_version(KEY, "1")
    found = await repository.versions_of(KEY, after=None, limit=9)
    assert [v.number for v in found] == [LATEST, "2"]


async def test_what_is_pending_or_updating_is_unsettled(repository: FunctionRepository) -> None:
    await repository.create(creating(key("pending")))
    await repository.create(ready(key("ready")))
    await repository.create(ready(key("updating")))
    await repository.change(
        key("updating"), LATEST, lambda version: replace(version, status=UPDATING)
    )
    assert {v.key.name for v in await repository.unsettled()} == {"pending", "updating"}
    await repository.change(key("updating"), LATEST, lambda version: replace(version, status=READY))
    assert {v.key.name for v in await repository.unsettled()} == {"pending"}


async def test_code_that_still_runs_is_kept_while_other_code_is_shown(
    repository: FunctionRepository,
) -> None:
    await repository.create(ready())
    await change_code(repository, OTHER_CODE)
    assert await repository.digests() == {CODE.digest, OTHER_CODE.digest}
    await repository.change(
        KEY, LATEST, lambda version: replace(version, deployment=deployment(code=OTHER_CODE))
    )
    assert await repository.digests() == {OTHER_CODE.digest}


async def test_code_of_published_versions_is_kept(repository: FunctionRepository) -> None:
    await repository.create(ready())
    await repository.publish(KEY, as_it_is)
    await repository.change(
        KEY, LATEST, lambda v: replace(v, code=OTHER_CODE, deployment=deployment(code=OTHER_CODE))
    )
    assert await repository.digests() == {CODE.digest, OTHER_CODE.digest}
    await repository.delete_version(KEY, "1")
    assert await repository.digests() == {OTHER_CODE.digest}


async def test_totals_count_functions_once_and_the_code_of_each_version(
    repository: FunctionRepository,
) -> None:
    assert await repository.totals(SCOPE) == Totals(0, 0)
    await repository.create(ready())
    await repository.create(ready(key("other"), code=OTHER_CODE))
    await repository.publish(KEY, as_it_is)
    await repository.create(ready(FunctionKey(SCOPE.account, "eu-west-1", "there")))
    assert await repository.totals(SCOPE) == Totals(2, 2 * CODE.size_bytes + OTHER_CODE.size_bytes)
    assert await repository.totals(Scope("999999999999", SCOPE.region)) == Totals(0, 0)


async def test_functions_are_found_by_a_part_of_their_names(repository: FunctionRepository) -> None:
    for name in ("Orders_new", "orders-old", "people", "ordersXnew"):
        await repository.create(creating(key(name)))

    async def found(text: str) -> list[str]:
        page = await repository.list_page(
            SCOPE, after=None, limit=10, all_versions=False, containing=text
        )
        return sorted(version.key.name for version in page)

    assert await found("ORDERS") == ["Orders_new", "orders-old", "ordersXnew"]
    assert await found("s_n") == ["Orders_new"]  # no wildcard of SQL's
    assert await found("%") == []
