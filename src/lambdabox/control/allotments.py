"""Bring what functions have of their account's concurrency into effect.

Operations store what is asked for; here, and nowhere else, the ledger is told of it and
environments are kept ready. That follows the database: at the start for every function,
later for one whenever it, its versions or its aliases have changed. So what a node was asked
to keep is kept after a crash too, moves when an alias moves, and ends with its function.
"""

import logging
from collections.abc import Mapping
from dataclasses import field

import anyio
from anyio.abc import TaskStatus

from lambdabox.control.reconcile import FUNCTION_CHANGED, RETRY_SECONDS
from lambdabox.domain.aliases import Alias
from lambdabox.domain.arn import FunctionKey, is_number
from lambdabox.domain.concurrency import Share, obstacle, split, spread
from lambdabox.domain.functions import Deployment, State
from lambdabox.domain.provisioned import Provisioned
from lambdabox.domain.values import dataclass
from lambdabox.execution_ports import ConcurrencyLedger, Executor
from lambdabox.ports import Bus
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.concurrency import ConcurrencyRepository
from lambdabox.repositories.functions import FunctionRepository

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is in effect for one function."""

    places: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By qualifier: how many environments of which versions."""
    deployments: Mapping[str, Deployment] = field(default_factory=dict)
    """What those versions run, of those that can."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Why other versions never will."""

    @property
    def totals(self) -> dict[str, int]:
        """How many environments each version is to have."""
        totals: dict[str, int] = {}
        for place in self.places.values():
            for version, count in place.items():
                totals[version] = totals.get(version, 0) + count
        return totals


class Allotments:
    def __init__(
        self,
        concurrency: ConcurrencyRepository,
        functions: FunctionRepository,
        aliases: AliasRepository,
        executor: Executor,
        ledger: ConcurrencyLedger,
        bus: Bus,
    ) -> None:
        self._concurrency = concurrency
        self._functions = functions
        self._aliases = aliases
        self._executor = executor
        self._ledger = ledger
        self._plans: dict[FunctionKey, _Plan] = {}
        """Of every function that has a share."""
        self._changed: dict[FunctionKey, None] = {}
        self._wake = anyio.Event()
        self._lock = anyio.Lock()
        bus.subscribe(FUNCTION_CHANGED, self._note)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Follow the database until cancelled. Ready when what it holds is in effect."""
        for key, share in (await self._concurrency.shares()).items():
            await self._put_into_effect(key, share)
        task_status.started()
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            while self._changed:
                await self._apply_changed(next(iter(self._changed)))

    async def apply(self, key: FunctionKey) -> None:
        """Bring into effect what is stored for a function. Return when it is."""
        try:
            # One at a time: what is read last must be what counts.
            async with self._lock:
                await self._put_into_effect(key, await self._concurrency.share(key))
        except Exception:
            self._follow(key)  # stored all the same, so `serve` tries again
            raise

    def standing(self, key: FunctionKey, qualifier: str, requested: int) -> Provisioned:
        """Return where the provisioned concurrency of a version or an alias stands."""
        plan = self._plans.get(key, _Plan())
        parts = [self._part(plan, qualifier, version) for version in plan.places.get(qualifier, {})]
        failures = (part.failure for part in parts if part.failure is not None)
        return Provisioned(
            requested=requested,
            allocated=sum(part.allocated for part in parts),
            available=sum(part.available for part in parts),
            failure=next(failures, None),
        )

    def _part(self, plan: _Plan, qualifier: str, version: str) -> Provisioned:
        """Return what a version has for one of the qualifiers that lead to it."""
        wanted = {name: place[version] for name, place in plan.places.items() if version in place}
        deployment = plan.deployments.get(version)
        if deployment is None:
            return Provisioned(wanted[qualifier], failure=plan.failures.get(version))
        found = self._executor.provisioned(deployment)
        return Provisioned(
            requested=wanted[qualifier],
            allocated=split(found.allocated, wanted)[qualifier],
            available=split(found.available, wanted)[qualifier],
            failure=found.failure,
        )

    async def _put_into_effect(self, key: FunctionKey, share: Share) -> None:
        plan = await self._plan(key, share)
        self._ledger.allot(key, Share(share.reserved, plan.totals))
        self._keep(self._plans.pop(key, _Plan()), plan)
        if share != Share():
            self._plans[key] = plan

    def _note(self, arn: str) -> None:
        key = FunctionKey.of_arn(arn)
        if key in self._plans:
            self._follow(key)

    def _follow(self, key: FunctionKey) -> None:
        self._changed[key] = None
        self._wake.set()

    async def _apply_changed(self, key: FunctionKey) -> None:
        del self._changed[key]
        try:
            await self.apply(key)
        except Exception:
            # The store is in trouble (a full disk, say), and the loop serves every function.
            log.exception("%s: its concurrency was not brought up to date; trying again", key.arn)
            await anyio.sleep(RETRY_SECONDS)

    async def _plan(self, key: FunctionKey, share: Share) -> _Plan:
        places = {
            qualifier: await self._place(key, qualifier, count)
            for qualifier, count in share.provisioned.items()
        }
        deployments, failures = {}, {}
        for number in {version for place in places.values() for version in place}:
            version = await self._functions.get(key, number)
            if version is None:
                continue
            reason = obstacle(version)  # an alias may have been moved to such a version
            if reason is not None:
                failures[number] = reason
            elif version.deployment is not None:
                deployments[number] = version.deployment
            elif version.status.state is State.FAILED:
                failures[number] = version.status.state_reason or "The version cannot run."
        return _Plan(places, deployments, failures)

    async def _place(self, key: FunctionKey, qualifier: str, count: int) -> Mapping[str, int]:
        if is_number(qualifier):
            return {qualifier: count}
        alias = await self._aliases.get(key, qualifier)
        return spread(count, weights_of(alias)) if alias is not None else {}

    def _keep(self, before: _Plan, after: _Plan) -> None:
        """Have the executor keep what `after` says; what is new begins before the rest goes."""
        totals = after.totals
        for version, deployment in after.deployments.items():
            self._executor.provision(deployment, totals[version])
        kept = {deployment.id for deployment in after.deployments.values()}
        for deployment in before.deployments.values():
            if deployment.id not in kept:
                self._executor.provision(deployment, 0)


def weights_of(alias: Alias) -> dict[str, float]:
    """Return which part of an alias's invocations goes to which version."""
    if alias.routing is None:
        return {alias.function_version: 1.0}
    weight = alias.routing.weight
    return {alias.function_version: 1.0 - weight, alias.routing.version: weight}
