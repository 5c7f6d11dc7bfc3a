"""What an alias runs: one version, or each of two as often as its weight says."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from support.records import KEY, open_state, ready

from lambdabox.backends.bus import LocalBus
from lambdabox.domain.aliases import Alias, Routing
from lambdabox.domain.arn import LATEST, FunctionReference
from lambdabox.domain.errors import ResourceConflictException, ResourceNotFoundException
from lambdabox.domain.functions import CREATING, Deployment
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.resolve import Resolver
from lambdabox.ports import Database
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.functions import FunctionRepository

pytestmark = pytest.mark.anyio

CHANGED = "changed"
LIVE = FunctionReference(KEY, "live")
EVENT = Invocation("request", LIVE.arn, b"{}")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Draws:
    """Numbers in the order in which they are drawn, and how many were."""

    def __init__(self) -> None:
        self.coming: list[float] = []
        self.count = 0

    def __call__(self) -> float:
        self.count += 1
        return self.coming.pop(0)


class Setting:
    """A function with two versions, and a resolver whose draws a test decides."""

    def __init__(self, database: Database) -> None:
        self.functions = FunctionRepository(database)
        self.aliases = AliasRepository(database)
        self.bus = LocalBus()
        self.draws = Draws()
        self.resolver = Resolver(
            self.functions, self.aliases, self.bus, changes=CHANGED, draw=self.draws
        )

    async def prepare(self) -> None:
        await self.functions.create(ready())
        for _ in range(2):
            await self.functions.publish(KEY, lambda latest, _newest: latest)

    async def lead(self, version: str, routing: Routing | None = None) -> None:
        alias = Alias("live", version, "r", routing=routing)
        await self.aliases.change(KEY, "live", lambda _before, _find: alias)
        self.bus.publish(CHANGED, KEY.arn)

    async def make_pending(self, number: str) -> None:
        await self.functions.change(
            KEY, number, lambda version: replace(version, status=CREATING, deployment=None)
        )
        self.bus.publish(CHANGED, KEY.arn)

    async def resolve(self) -> str:
        return (await self.resolver.resolve(LIVE)).version

    def known(self) -> str | None:
        found = self.resolver.known(LIVE)
        return None if found is None else found.version


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with open_state(tmp_path) as database:
        setting = Setting(database)
        await setting.prepare()
        yield setting


@pytest.mark.parametrize("number", ["1", "2", LATEST])
async def test_an_alias_runs_its_version(setting: Setting, number: str) -> None:
    await setting.lead(number)
    assert setting.known() is None
    assert await setting.resolve() == number
    assert setting.known() == number
    assert setting.draws.count == 0


async def test_an_alias_that_moves_runs_its_new_version(setting: Setting) -> None:
    await setting.lead("1")
    assert await setting.resolve() == "1"
    await setting.lead("2")
    assert setting.known() is None
    assert await setting.resolve() == "2"


async def test_a_deleted_alias_is_not_found(setting: Setting) -> None:
    await setting.lead("1", Routing("2", 0.5))
    setting.draws.coming = [0.9]
    assert await setting.resolve() == "1"
    await setting.aliases.delete(KEY, "live")
    setting.bus.publish(CHANGED, KEY.arn)
    assert setting.known() is None
    with pytest.raises(ResourceNotFoundException) as refused:
        await setting.resolve()
    assert refused.value.message == f"Function not found: {KEY.arn}:live"


async def test_each_invocation_draws_its_version(setting: Setting) -> None:
    await setting.lead("1", Routing("2", 0.25))
    setting.draws.coming = [0.3, 0.2, 0.25, 0.0]
    assert [await setting.resolve(), await setting.resolve()] == ["1", "2"]
    assert [setting.known(), setting.known()] == ["1", "2"]


@pytest.mark.parametrize(("weight", "version"), [(0.0, "1"), (1.0, "2")])
async def test_none_and_all_are_weights_too(setting: Setting, weight: float, version: str) -> None:
    await setting.lead("1", Routing("2", weight))
    setting.draws.coming = [0.0, 0.5, 1 - 2**-53]
    assert {await setting.resolve() for _ in range(3)} == {version}


async def test_a_draw_that_is_not_used_is_the_next_ones(setting: Setting) -> None:
    await setting.lead("1", Routing("2", 0.5))
    setting.draws.coming = [0.1, 0.9]
    drawn = await setting.resolver.resolve(LIVE)
    for _ in range(3):
        setting.resolver.give_back(LIVE, drawn)
        assert setting.known() == drawn.version == "2"
    assert await setting.resolve() == "1"
    assert setting.draws.count == 2


async def test_a_draw_of_before_a_change_is_not_used_after_it(setting: Setting) -> None:
    await setting.lead("1", Routing("2", 0.5))
    setting.draws.coming = [0.1, 0.9, 0.9]
    drawn = await setting.resolver.resolve(LIVE)
    await setting.lead("1", Routing("2", 0.01))
    assert await setting.resolve() == "1"
    setting.resolver.give_back(LIVE, drawn)
    assert setting.known() == "1"


async def test_those_who_ask_at_once_share_the_draws(setting: Setting) -> None:
    await setting.lead("1", Routing("2", 0.5))
    setting.draws.coming = [0.1, 0.9]

    async def look() -> None:
        setting.resolver.give_back(LIVE, await setting.resolver.resolve(LIVE))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        tasks.start_soon(look)
    assert setting.known() == "2"
    assert setting.draws.count == 1


async def test_what_nobody_remembers_can_be_given_back(setting: Setting) -> None:
    await setting.lead("1")
    setting.resolver.give_back(LIVE, cast(Any, ready().deployment))
    assert setting.known() is None


async def test_a_version_that_cannot_run_yet_refuses_its_share_alone(setting: Setting) -> None:
    await setting.make_pending("2")
    await setting.lead("1", Routing("2", 0.5))
    setting.draws.coming = [0.9, 0.1]
    assert await setting.resolve() == "1"
    # The warm path leaves the refusal to the general road, which refuses the same draw.
    assert setting.known() is None
    with pytest.raises(ResourceConflictException, match="following state: Pending"):
        await setting.resolve()
    assert setting.draws.count == 2


class OftenBusy:
    """An executor whose version 2 is never warm, as a version with little traffic may be."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def begin(
        self,
        deployment: Deployment,
        _invocation: Invocation,
        done: Callable[[Outcome | Exception], None],
    ) -> bool:
        if deployment.version == "2":
            return False
        self.ran.append(deployment.version)
        done(Outcome(b""))
        return True

    async def run(self, deployment: Deployment, *_: object) -> Outcome:
        self.ran.append(deployment.version)
        return Outcome(b"")


async def test_a_version_that_is_never_warm_runs_as_often_as_it_is_drawn(
    setting: Setting,
) -> None:
    await setting.lead("1", Routing("2", 0.25))
    executor = OftenBusy()
    invoker = Invoker(setting.resolver, LocalLedger(account_concurrency=1), cast(Any, executor))
    setting.draws.coming = [0.1 if number % 4 == 0 else 0.9 for number in range(100)]
    for _ in range(100):
        await invoker.resolve(LIVE)  # a dry run between uses nothing up
        if not invoker.begin(LIVE, EVENT, lambda _result: None):
            await invoker.invoke(LIVE, EVENT)
    assert executor.ran == (["2", "1", "1", "1"] * 25)
    assert setting.draws.count == 100
