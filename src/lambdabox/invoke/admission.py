"""Count what runs against the account's and the functions' limits, and refuse what is too much.

Every invocation passes here, so a decision is a few comparisons of numbers in memory: the
shares that functions have are told by `allot`, at the start and whenever one changes.

A function with reserved concurrency has so many units for itself and no more. Provisioned
concurrency belongs to one version; what exceeds it, and every other invocation, takes a unit
from those that all functions share.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from math import ceil

from lambdabox.domain import limits
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.concurrency import Share
from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.domain.functions import Deployment
from lambdabox.domain.rates import Rate
from lambdabox.domain.values import dataclass

ACCOUNT_CONCURRENCY = "ConcurrentInvocationLimitExceeded"
ACCOUNT_RATE = "CallerRateLimitExceeded"
FUNCTION_SCALING = "FunctionInvocationRateLimitExceeded"
RESERVED_CONCURRENCY = "ReservedFunctionConcurrentInvocationLimitExceeded"
RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"

REMEMBERED = 10_000
"""From how many functions on those that nobody uses are looked for, and forgotten."""

OnThrottle = Callable[[Deployment, str], None]
"""Told of each refusal, with its reason. Must not raise."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a function does at this moment, and how often it was refused since the node started."""

    running: int
    throttles: int
    reserved: int | None


@dataclass(frozen=True, slots=True)
class AccountPeak:
    scope: Scope
    peak: int
    shared: int
    """How many run on what all functions share, at this moment."""
    claimed: int
    """That, and what functions have for themselves, used or not."""


@dataclass(frozen=True, slots=True)
class FunctionPeak:
    key: FunctionKey
    peak: int


@dataclass(frozen=True, slots=True)
class LanePeak:
    key: FunctionKey
    version: str
    peak: int
    provisioned: int
    spilled: int
    """Invocations that found all of the provisioned concurrency in use."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """The most that ran at once since the last time, of what ran at all or has provisioned."""

    accounts: Sequence[AccountPeak]
    functions: Sequence[FunctionPeak]
    lanes: Sequence[LanePeak]


@dataclass(eq=False, slots=True)
class _Account:
    limit: int
    shared_limit: int
    """How many units are nobody's own."""
    rate: Rate | None
    running: int = 0
    shared: int = 0
    """How many of the running hold a unit that all functions share."""
    peak: int = 0


@dataclass(eq=False, slots=True)
class _Lane:
    """One version of a function."""

    function: "_Function"
    running: int = 0
    provisioned: int = 0
    peak: int = 0
    spilled: int = 0


@dataclass(eq=False, slots=True)
class _Function:
    account: _Account
    rate: Rate | None
    """Of its reserved concurrency, or its account's."""
    scaling: Rate | None
    lanes: dict[str, _Lane] = field(default_factory=dict)
    share: Share = field(default_factory=Share)
    reserved: int | None = None
    running: int = 0
    environments: int = 0
    """How many it has had at once, and so need not be added."""
    used_at: float = 0.0
    throttles: int = 0
    peak: int = 0

    @property
    def shared(self) -> int:
        """How many of its running invocations hold a unit that all functions share."""
        if self.reserved is not None:
            return 0
        return sum(max(lane.running - lane.provisioned, 0) for lane in self.lanes.values())


class LocalLedger:
    """An `execution_ports.ConcurrencyLedger` for one node: counters in memory."""

    def __init__(
        self,
        *,
        account_concurrency: int,
        requests_per_concurrency: int = 0,
        scaling_environments: int = 0,
        idle_seconds: float = 600.0,
        now: Callable[[], float] = time.monotonic,
        on_throttle: OnThrottle = lambda _deployment, _reason: None,
    ) -> None:
        """A 0 limits no rate. `idle_seconds` is how long environments without events live."""
        self._limit = account_concurrency
        self._requests_per_concurrency = requests_per_concurrency
        self._scaling_environments = scaling_environments
        self._idle_seconds = idle_seconds
        self._now = now
        self._on_throttle = on_throttle
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._functions: dict[FunctionKey, _Function] = {}
        self._forget_at = REMEMBERED
        self._lanes: dict[str, _Lane] = {}
        """By the deployment's id, which is found faster than by function and version."""

    @contextmanager
    def lease(self, deployment: Deployment) -> Iterator[None]:
        lane, now = self._lane(deployment), self._now()
        reason = self._admit(lane, now)
        if reason is not None:
            lane.function.throttles += 1
            self._on_throttle(deployment, reason)
            raise _throttled(lane.function, reason, now)
        try:
            yield
        finally:
            self.release(deployment)

    def acquire(self, deployment: Deployment) -> bool:
        lane = self._lanes.get(deployment.id) or self._lane(deployment)
        return self._admit(lane, self._now()) is None

    def release(self, deployment: Deployment, *, is_unused: bool = False) -> None:
        lane = self._lanes.get(deployment.id) or self._lane(deployment)
        function = lane.function
        account = function.account
        lane.running -= 1
        function.running -= 1
        account.running -= 1
        if function.reserved is None and lane.running >= lane.provisioned:
            account.shared -= 1
        if is_unused and function.rate is not None:
            function.rate.give_back()

    def allot(self, key: FunctionKey, share: Share) -> None:
        if key not in self._functions and share == Share():
            return
        function = self._function(key)
        account = function.account
        account.shared_limit += function.share.claimed - share.claimed
        account.shared -= function.shared
        for version in share.provisioned:
            function.lanes.setdefault(version, _Lane(function))
        for version, lane in function.lanes.items():
            lane.provisioned = share.provisioned.get(version, 0)
        if share.reserved != function.reserved:
            function.reserved = share.reserved
            function.rate = account.rate if share.reserved is None else self._rate(share.reserved)
        function.share = share
        account.shared += function.shared

    def running(self, account: str, region: str) -> int:
        found = self._accounts.get((account, region))
        return found.running if found is not None else 0

    def running_of(self, key: FunctionKey) -> int:
        function = self._functions.get(key)
        return function.running if function is not None else 0

    def is_switched_off(self, key: FunctionKey) -> bool:
        function = self._functions.get(key)
        return function is not None and function.reserved == 0

    def usage(self, scope: Scope) -> Mapping[str, Usage]:
        """Return what the functions of an account do, of those that are remembered, by name."""
        return {
            key.name: Usage(function.running, function.throttles, function.reserved)
            for key, function in self._functions.items()
            if (key.account, key.region) == (scope.account, scope.region)
        }

    def take_peaks(self) -> Peaks:
        """Return the most that ran at once since the last time, and begin anew."""
        accounts, functions, lanes = [], [], []
        for (account, region), found in self._accounts.items():
            if found.peak:
                claimed = found.limit - found.shared_limit + found.shared
                scope = Scope(account, region)
                accounts.append(AccountPeak(scope, found.peak, found.shared, claimed))
                found.peak = found.running
        for key, function in self._functions.items():
            if not function.peak and not function.share.provisioned:
                continue
            if function.peak:
                functions.append(FunctionPeak(key, function.peak))
                function.peak = function.running
            for version, lane in function.lanes.items():
                if lane.peak or lane.provisioned:
                    lanes.append(LanePeak(key, version, lane.peak, lane.provisioned, lane.spilled))
                    lane.peak, lane.spilled = lane.running, 0
        return Peaks(accounts, functions, lanes)

    def functions(self) -> list[tuple[FunctionKey, int, int]]:
        """Return what runs now, and is provisioned, of each function that has either."""
        return [
            (key, function.running, function.share.total_provisioned)
            for key, function in self._functions.items()
            if function.running or function.share.total_provisioned
        ]

    def provisioned(self) -> list[tuple[FunctionKey, str, int]]:
        """Return how much is provisioned for which versions."""
        return [
            (key, version, count)
            for key, function in self._functions.items()
            for version, count in function.share.provisioned.items()
        ]

    def _admit(self, lane: _Lane, now: float) -> str | None:
        """Count one more invocation of a version, or return why not.

        One function, because it is a part of every invocation.
        """
        function = lane.function
        account = function.account
        is_shared = False
        if function.reserved is not None:
            if function.running >= function.reserved:
                return RESERVED_CONCURRENCY
        elif lane.running >= lane.provisioned:
            if account.shared >= account.shared_limit:
                return ACCOUNT_CONCURRENCY
            is_shared = True
        if account.running >= account.limit:
            # More is given away than there is: the limit was lowered, or others still run on
            # what has just become this function's own.
            return ACCOUNT_CONCURRENCY
        rate = function.rate
        if rate is not None and not rate.take(now):
            return ACCOUNT_RATE if function.reserved is None else RESERVED_RATE
        if now - function.used_at > self._idle_seconds and not function.running:
            function.environments = 0
        if function.running >= function.environments and not _scale(function, now):
            if rate is not None:
                rate.give_back()
            return FUNCTION_SCALING
        function.used_at = now
        lane.running += 1
        function.running += 1
        account.running += 1
        if is_shared:
            account.shared += 1
            if lane.provisioned:
                lane.spilled += 1
        if (
            lane.running > lane.peak
            or function.running > function.peak
            or account.running > account.peak
        ):
            _note_peaks(lane)
        return None

    def _lane(self, deployment: Deployment) -> _Lane:
        function = self._function(deployment.key)
        lane = function.lanes.get(deployment.version)
        if lane is None:
            lane = function.lanes[deployment.version] = _Lane(function)
        if len(self._lanes) >= REMEMBERED:
            self._lanes.clear()  # found again as here; deployments come and go
        self._lanes[deployment.id] = lane
        return lane

    def _function(self, key: FunctionKey) -> _Function:
        function = self._functions.get(key)
        if function is None:
            if len(self._functions) >= self._forget_at:
                self._forget()
            account = self._account(key)
            function = _Function(account, account.rate, self._scaling())
            self._functions[key] = function
        return function

    def _account(self, key: FunctionKey) -> _Account:
        place = key.account, key.region
        account = self._accounts.get(place)
        if account is None:
            account = _Account(self._limit, self._limit, self._rate(self._limit))
            self._accounts[place] = account
        return account

    def _rate(self, concurrency: int) -> Rate | None:
        per_second = concurrency * self._requests_per_concurrency
        return Rate(per_second) if per_second else None

    def _scaling(self) -> Rate | None:
        count, seconds = self._scaling_environments, limits.SCALING_SECONDS
        return Rate(count / seconds, seconds=seconds) if count else None

    def _forget(self) -> None:
        """Forget functions without a share that nobody has used for a while."""
        before = self._now() - self._idle_seconds
        for key, function in list(self._functions.items()):
            if not function.running and function.share == Share() and function.used_at < before:
                del self._functions[key]
        self._lanes.clear()
        used = {(key.account, key.region) for key in self._functions}
        self._accounts = {place: self._accounts[place] for place in used}
        self._forget_at = max(REMEMBERED, 2 * len(self._functions))


def _note_peaks(lane: _Lane) -> None:
    function = lane.function
    account = function.account
    lane.peak = max(lane.peak, lane.running)
    function.peak = max(function.peak, function.running)
    account.peak = max(account.peak, account.running)


def _scale(function: _Function, now: float) -> bool:
    """Count one more environment of a function, if it may have one yet."""
    if function.scaling is not None and not function.scaling.take(now):
        return False
    function.environments += 1
    return True


def _throttled(function: _Function, reason: str, now: float) -> TooManyRequestsException:
    limiting = function.scaling if reason == FUNCTION_SCALING else function.rate
    is_rate = reason in (ACCOUNT_RATE, RESERVED_RATE, FUNCTION_SCALING)
    return TooManyRequestsException(
        "Rate exceeded" if reason == ACCOUNT_RATE else "Rate Exceeded.",
        reason=reason,
        retry_after_seconds=max(ceil(limiting.delay(now)), 1) if is_rate and limiting else None,
    )
