"""What invocations cost by what they are paid for: request, time, storage, restore.

A kind of function has one rate for each, so that thousands of sums are priced by multiplying.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, Self

from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.limits import DEFAULT_EPHEMERAL_STORAGE_MIB
from lambdabox.domain.prices import (
    USD_PER_GB_SECOND,
    USD_PER_PROVISIONED_USE_GB_SECOND,
    USD_PER_REQUEST,
    USD_PER_RESTORED_GB,
    USD_PER_STORAGE_GB_SECOND,
    gb_seconds,
)


@dataclass(slots=True)
class Cost:
    """US dollars by what they are paid for, not rounded."""

    requests: Decimal = Decimal(0)
    compute: Decimal = Decimal(0)
    storage: Decimal = Decimal(0)
    restores: Decimal = Decimal(0)
    provisioned: Decimal = Decimal(0)
    """Kept ready, used or not. What ran on it is in `compute`."""

    @property
    def total(self) -> Decimal:
        return self.requests + self.compute + self.storage + self.restores + self.provisioned

    def add(self, other: "Cost") -> None:
        self.requests += other.requests
        self.compute += other.compute
        self.storage += other.storage
        self.restores += other.restores
        self.provisioned += other.provisioned


class Kind(Protocol):
    """What decides on prices."""

    @property
    def architecture(self) -> str: ...
    @property
    def memory_mib(self) -> int: ...
    @property
    def ephemeral_storage_mib(self) -> int: ...
    @property
    def initialization(self) -> str: ...


class Used(Protocol):
    """What is paid for."""

    @property
    def invocations(self) -> int: ...
    @property
    def billed_ms(self) -> int: ...
    @property
    def restores(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Rates:
    """What one of each costs for functions of one kind, at the first tier."""

    request: Decimal
    compute_ms: Decimal
    storage_ms: Decimal
    restore: Decimal

    @classmethod
    def of(cls, kind: Kind) -> Self:
        is_provisioned = kind.initialization == InitializationType.PROVISIONED
        prices = USD_PER_PROVISIONED_USE_GB_SECOND if is_provisioned else USD_PER_GB_SECOND
        extra_mib = max(0, kind.ephemeral_storage_mib - DEFAULT_EPHEMERAL_STORAGE_MIB)
        return cls(
            request=USD_PER_REQUEST,
            compute_ms=gb_seconds(kind.memory_mib, 1) * prices[kind.architecture],
            storage_ms=gb_seconds(extra_mib, 1) * USD_PER_STORAGE_GB_SECOND,
            restore=Decimal(kind.memory_mib) / 1024 * USD_PER_RESTORED_GB,
        )

    def cost(self, used: Used) -> Cost:
        return Cost(
            requests=used.invocations * self.request,
            compute=used.billed_ms * self.compute_ms,
            storage=used.billed_ms * self.storage_ms,
            restores=used.restores * self.restore,
        )
