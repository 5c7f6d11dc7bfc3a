"""How an account's concurrency is shared out among its functions, and what may be asked for.

A function may have a share of its own: what is reserved for it, or else what its versions
and aliases have provisioned. The rest is everybody's, and a part of that cannot be given
away. Pure, so that each refusal can be read and tested in one place.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lambdabox.domain import limits
from lambdabox.domain.errors import InvalidParameterValueException, ResourceConflictException
from lambdabox.domain.functions import Version

UNPUBLISHED = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."


WEIGHTED = "Alias with weights can not be used with Provisioned Concurrency"


@dataclass(frozen=True, slots=True)
class ProvisionedConfig:
    """The provisioned concurrency that a version or an alias is to have."""

    requested: int
    last_modified: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one function has of its account's concurrency for itself."""

    reserved: int | None = None
    """Guarantees and caps; 0 switches the function off."""
    provisioned: Mapping[str, int] = field(default_factory=dict)
    """By qualifier as it is asked for, by version where it is counted."""

    @property
    def total_provisioned(self) -> int:
        return sum(self.provisioned.values())

    @property
    def claimed(self) -> int:
        """How much of the account's concurrency is nobody else's."""
        return self.total_provisioned if self.reserved is None else self.reserved


@dataclass(frozen=True, slots=True)
class AccountShares:
    """An account's concurrency in one region, and the functions that have a share of it."""

    limit: int
    shares: Mapping[str, Share]
    """By the function's name."""

    @property
    def minimum(self) -> int:
        """How much must stay unreserved. Accounts with less than that can give nothing away."""
        return min(limits.UNRESERVED_CONCURRENCY, self.limit)

    @property
    def unreserved(self) -> int:
        return max(self.limit - sum(share.claimed for share in self.shares.values()), 0)

    def check_reservation(self, name: str, count: int) -> None:
        """Raise InvalidParameterValueException if `count` cannot be reserved for a function."""
        share = self.shares.get(name, Share())
        if count < share.total_provisioned:
            raise InvalidParameterValueException(
                f" ReservedConcurrentExecutions  {count} should not be lower than function's total "
                f"provisioned concurrency [{share.total_provisioned}].",
                has_type=False,
            )
        if self._leaves_too_little(share, count):
            raise InvalidParameterValueException(
                "Specified ReservedConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{self.minimum}].",
                has_type=False,
            )

    def check_provisioning(self, name: str, qualifier: str, count: int) -> None:
        """Raise InvalidParameterValueException if a version or alias cannot have `count`."""
        share = self.shares.get(name, Share())
        total = count + sum(n for other, n in share.provisioned.items() if other != qualifier)
        if share.reserved is not None:
            if total > share.reserved:
                raise InvalidParameterValueException(
                    "Requested Provisioned Concurrency should not be greater than the "
                    "reservedConcurrentExecution for function"
                )
            return
        available = self.unreserved + share.provisioned.get(qualifier, 0)
        if count > available:
            raise InvalidParameterValueException(
                "Specified ConcurrentExecutions for function is greater than account's unreserved "
                f"concurrency [{available}].",
                has_type=False,
            )
        if self._leaves_too_little(share, total):
            raise InvalidParameterValueException(
                "Specified ConcurrentExecutions for function decreases account's "
                f"UnreservedConcurrentExecution below its minimum value of [{self.minimum}].",
                has_type=False,
            )

    def _leaves_too_little(self, share: Share, claimed: int) -> bool:
        """Whether a larger claim leaves others too little. A smaller one is always welcome."""
        left = self.unreserved - (claimed - share.claimed)
        return claimed > share.claimed and left < self.minimum


def check_overlap(
    qualifier: str, provisioned: Collection[str], routes: Mapping[str, Collection[str]]
) -> None:
    """Raise ResourceConflictException where a version would be provisioned in two ways.

    `routes` tells the versions that each alias of the function leads to.
    """
    if qualifier in routes:
        if not set(routes[qualifier]).isdisjoint(provisioned):
            raise ResourceConflictException(
                "Alias can't be used for Provisioned Concurrency configuration on an already "
                "Provisioned version"
            )
    elif any(qualifier in routes[alias] for alias in provisioned if alias in routes):
        raise ResourceConflictException("Version is pointed by a Provisioned Concurrency alias")


def check_move(version: Version, provisioned: Collection[str]) -> None:
    """Raise if an alias with provisioned concurrency cannot lead to a version.

    `provisioned` are the versions and aliases of the function that have some.
    """
    reason = obstacle(version)
    if reason is not None:
        raise InvalidParameterValueException(reason)
    if version.number in provisioned:
        raise ResourceConflictException(
            "Alias can't be used for Provisioned Concurrency configuration on an already "
            "Provisioned version"
        )


def obstacle(version: Version) -> str | None:
    """Return why no environments of a version can be provisioned, None if they can."""
    if version.is_latest:
        return UNPUBLISHED
    kind = None
    if version.has_snapshot:
        kind = "SnapStart enabled functions"
    elif version.settings.tenant_isolation is not None:
        kind = "functions with tenant isolation, whose environments belong to one tenant each"
    elif version.settings.capacity_provider is not None:
        kind = "functions with a capacity provider"
    return kind and f"Provisioned Concurrency is not supported for {kind}."


def spread(count: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Divide an alias's provisioned concurrency among its versions, by their weights.

    Every unit goes somewhere; what is left by rounding goes where most of it was cut off.
    """
    exact = {version: count * weight for version, weight in weights.items()}
    parts = {version: int(part) for version, part in exact.items()}
    by_cut = sorted(exact, key=lambda version: parts[version] - exact[version])
    for version in by_cut[: count - sum(parts.values())]:
        parts[version] += 1
    return {version: part for version, part in parts.items() if part}


def split(total: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """Say how many of a version's `total` environments belong to each that wants some."""
    parts = {}
    for qualifier, count in wanted.items():
        parts[qualifier] = min(count, total)
        total -= parts[qualifier]
    return parts
