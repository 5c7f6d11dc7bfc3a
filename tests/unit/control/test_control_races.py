"""Operations at the same time, in any interleaving: no undefined state, and no stale answer.

Each step runs a handful of operations at once, on the real control plane, database, resolver
and invoker. They take turns at the database in a drawn order, before and after each access,
so that a failure is found again and made smaller.
"""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
from control_checks import check_state
from control_fakes import BAD, BETTER, GOOD, ControlPlane, FakeExecutor
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import Connection
from support.records import KEY, SCOPE, open_state

from lambdabox.control.aliases import AliasChange
from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.arn import LATEST, FunctionReference
from lambdabox.domain.errors import ApiError
from lambdabox.domain.functions import Deployment, Version
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution_ports import ResponseSink
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.resolve import Resolver
from lambdabox.ports import Database
from lambdabox.repositories.aliases import AliasRepository

T = TypeVar("T")

codes = st.sampled_from([GOOD, BETTER, BAD])
numbers = st.sampled_from(["1", "2", "3"])
names = st.sampled_from(["live", "next"])
versions = st.sampled_from(["1", "2", "3", LATEST])
weights: st.SearchStrategy[dict[str, float] | None] = (
    st.none() | st.just({}) | st.dictionaries(numbers, st.sampled_from([0.0, 0.5, 1.0]))
)
qualifiers = st.none() | versions | names
operations = st.one_of(
    st.tuples(st.just("update_code"), codes, st.booleans()),
    st.tuples(st.just("update_settings"), st.sampled_from([128, 256])),
    st.tuples(st.just("publish"), st.sampled_from([None, "x", "y"])),
    st.tuples(st.just("delete_version"), numbers),
    st.tuples(st.just("create_alias"), names, versions, weights),
    st.tuples(st.just("move_alias"), names, st.none() | versions, weights),
    st.tuples(st.just("delete_alias"), names),
    st.tuples(st.just("get"), qualifiers),
    st.tuples(st.just("invoke"), qualifiers),
)
seldom = st.sampled_from([False] * 9 + [True])
orders = st.lists(st.integers(0, 5), min_size=1, max_size=20)

ENOUGH = 12
"""After so many rounds of the loop everybody waits, for a turn or for the database."""


class TurnsDatabase:
    """Passes on to a real database. Its users wait for a turn before and after each access."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[anyio.Event] = []
        self._accesses: set[anyio.Event] = set()
        self.is_ordered = False
        """Else everybody may always go on."""

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._access(self._database.read(work))

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._access(self._database.write(work))

    async def give_turns(self, order: Sequence[int]) -> None:
        """Let one of those who wait go on, and then the next, until there are none."""
        choices = itertools.cycle(order)
        while True:
            for _ in range(ENOUGH):
                await anyio.lowlevel.checkpoint()
            if self._accesses:
                await next(iter(self._accesses)).wait()
            elif self._waiting:
                self._waiting.pop(next(choices) % len(self._waiting)).set()
            else:
                return

    async def _access(self, access: Coroutine[Any, Any, T]) -> T:
        await self._turn()
        ended = anyio.Event()
        self._accesses.add(ended)
        try:
            result = await access
        finally:
            self._accesses.discard(ended)
            ended.set()
        await self._turn()
        return result

    async def _turn(self) -> None:
        if self.is_ordered:
            turn = anyio.Event()
            self._waiting.append(turn)
            await turn.wait()


class RunningExecutor(FakeExecutor):
    """Runs whatever has been prepared, and keeps what it was."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[Deployment] = []

    async def run(
        self, deployment: Deployment, invocation: Invocation, sink: ResponseSink | None = None
    ) -> Outcome:
        self.ran.append(deployment)
        return Outcome(b"", executed_version=deployment.version)


class Plane(ControlPlane):
    """The control plane with what invokes beside it."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.running = RunningExecutor()
        self.alias_records = AliasRepository(database)
        self.resolver = Resolver(
            self.repository,
            self.alias_records,
            self.bus,
            changes=FUNCTION_CHANGED,
            draw=itertools.cycle([0.9, 0.1]).__next__,
        )
        ledger = LocalLedger(account_concurrency=100)
        self.invoker = Invoker(self.resolver, ledger, self.running)

    async def perform(self, operation: str, *given: Any) -> None:
        """Any operation may be refused, but only in words meant for its caller."""
        with suppress(ApiError):
            await getattr(self, f"_{operation}")(*given)

    async def _settle(self) -> None:
        await self.settle()

    async def _create(self, code: bytes, publish: bool) -> None:
        await self.create(KEY, code, publish=publish)

    async def _update_code(self, code: bytes, publish: bool) -> None:
        await self.update_code(KEY, code, publish=publish)

    async def _update_settings(self, memory: int) -> None:
        await self.functions.update_settings(KEY, {"memory_mib": memory}, None)

    async def _publish(self, description: str | None) -> None:
        await self.publish(KEY, description)

    async def _delete(self) -> None:
        await self.delete(KEY)

    async def _delete_version(self, number: str) -> None:
        await self.delete(KEY, number)

    async def _create_alias(self, name: str, number: str, shares: Any) -> None:
        await self.aliases.create(KEY, name, number, AliasChange(weights=shares))

    async def _move_alias(self, name: str, number: str | None, shares: Any) -> None:
        await self.aliases.update(KEY, name, AliasChange(number, weights=shares), None)

    async def _delete_alias(self, name: str) -> None:
        await self.aliases.delete(KEY, name)

    async def _invoke(self, qualifier: str | None) -> None:
        reference = FunctionReference(KEY, qualifier)
        invocation = Invocation("request", reference.arn, b"{}")
        outcome = await self.invoker.invoke(reference, invocation)
        if qualifier in ("1", "2", "3", LATEST):
            assert outcome.executed_version == qualifier

    async def _get(self, qualifier: str | None) -> None:
        version = await self.get(KEY, qualifier)
        if qualifier in ("1", "2", "3", LATEST):
            assert version.number == qualifier


class Races(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory()
        self._database = open_state(Path(self._folder.name))
        self._turns = TurnsDatabase(self._database)
        self._deployments: dict[str, Deployment] = {}

    @initialize()
    def open(self) -> None:
        async def open_plane() -> Plane:
            await self._database.__aenter__()
            plane = Plane(self._turns)
            await plane.create(KEY, GOOD, publish=True)
            await plane.settle()
            await plane.update_code(KEY, BETTER, publish=True)
            await plane.settle()
            await plane.aliases.create(KEY, "live", "1", AliasChange(weights={"2": 0.5}))
            return plane

        self.plane = self._runner.run(open_plane())

    @rule(
        at_once=st.lists(operations, min_size=2, max_size=7),
        settles=st.booleans(),
        ends=seldom,
        order=orders,
    )
    def operate(self, at_once: list[Any], settles: bool, ends: bool, order: Sequence[int]) -> None:
        at_once = [*at_once, ("invoke", "live")]
        if settles:  # there is one loop that does
            at_once.insert(0, ("settle",))
        if ends:
            at_once += [("delete",), ("create", GOOD, True)]
        before = self._versions()
        self._runner.run(self._run(at_once, order))
        if not ends:
            self._check_unchanged(before)

    def _check_unchanged(self, before: dict[str, Version]) -> None:
        """What is published stays as it was, or goes."""
        for number, version in self._versions().items():
            if number != LATEST and number in before:
                was = before[number]
                assert (version.code, version.settings) == (was.code, was.settings)

    async def _run(self, at_once: Sequence[Any], order: Sequence[int]) -> None:
        self._turns.is_ordered = True
        async with anyio.create_task_group() as tasks:
            for operation in at_once:
                tasks.start_soon(self.plane.perform, *operation)
            await self._turns.give_turns(order)
        self._turns.is_ordered = False

    @rule()
    def settle(self) -> None:
        self._runner.run(self.plane.settle())
        assert self._runner.run(self.plane.repository.unsettled()) == []

    @invariant()
    def everything_is_defined(self) -> None:
        found = self._versions()
        for version in found.values():
            check_state(version)
        assert not found or LATEST in found
        for alias in self._runner.run(self.plane.alias_records.list_page(KEY)):
            assert found.keys() >= set(alias.versions), "an alias leads to what is not there"
            assert alias.routing is None or alias.function_version != LATEST

    @invariant()
    def an_id_means_one_deployment(self) -> None:
        shown = [v.deployment for v in self._versions().values() if v.deployment is not None]
        for deployment in (*shown, *self.plane.running.ran):
            assert self._deployments.setdefault(deployment.id, deployment) == deployment
        self.plane.running.ran.clear()

    @invariant()
    def what_is_remembered_is_what_is_stored(self) -> None:
        found = self._versions()
        leads: dict[str | None, set[Deployment | None]] = {
            alias.name: {found[number].deployment for number in alias.versions}
            for alias in self._runner.run(self.plane.alias_records.list_page(KEY))
        }
        stored = leads | {number: {version.deployment} for number, version in found.items()}
        stored[None] = stored.get(LATEST, set())
        for qualifier in (None, LATEST, "1", "2", "3", "live", "next"):
            known = self.plane.resolver.known(FunctionReference(KEY, qualifier))
            assert known is None or known in stored.get(qualifier, ())

    def teardown(self) -> None:
        self._runner.run(self._database.__aexit__(None, None, None))
        self._runner.close()
        self._folder.cleanup()

    def _versions(self) -> dict[str, Version]:
        found = self._runner.run(
            self.plane.repository.list_page(SCOPE, after=None, limit=1_000, all_versions=True)
        )
        return {version.number: version for version in found}


TestRaces = Races.TestCase
TestRaces.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
