"""What invocations would cost on AWS, so that running them here can be compared.

Prices are those of us-east-1, first tier. The free tier and the cheaper tiers of a large month
belong to a whole account, and a bill by function could not say whose they are.
Money is Decimal, and not rounded here.
"""

from decimal import Decimal

from lambdabox.domain.invocations import InitializationType
from lambdabox.domain.limits import DEFAULT_EPHEMERAL_STORAGE_MIB

USD_PER_REQUEST = Decimal("0.20") / 1_000_000
USD_PER_GB_SECOND = {
    "x86_64": Decimal("0.0000166667"),
    "arm64": Decimal("0.0000133334"),
}
USD_PER_PROVISIONED_USE_GB_SECOND = {
    "x86_64": Decimal("0.0000097222"),
    "arm64": Decimal("0.0000077778"),
}
"""What runs on provisioned concurrency, which is itself paid for as long as it is kept."""

USD_PER_STORAGE_GB_SECOND = Decimal("0.0000000309")
"""Ephemeral storage above the 512 MB that come with every function."""

USD_PER_RESTORED_GB = Decimal("0.0001397998")
"""Each restore of a SnapStart snapshot, by the function's memory. Free for Java on AWS."""


def gb_seconds(memory_mib: int, billed: int) -> Decimal:
    return Decimal(memory_mib) * billed / (1024 * 1000)


def price(
    architecture: str,
    memory_mib: int,
    storage_mib: int,
    requests: int,
    billed: int,
    *,
    restores: int = 0,
    initialization: str = InitializationType.ON_DEMAND,
) -> Decimal:
    """US dollars for so many requests, billed milliseconds and restores, not rounded."""
    extra_mib = max(0, storage_mib - DEFAULT_EPHEMERAL_STORAGE_MIB)
    is_provisioned = initialization == InitializationType.PROVISIONED
    per_gb_second = USD_PER_PROVISIONED_USE_GB_SECOND if is_provisioned else USD_PER_GB_SECOND
    return (
        requests * USD_PER_REQUEST
        + gb_seconds(memory_mib, billed) * per_gb_second[architecture]
        + gb_seconds(extra_mib, billed) * USD_PER_STORAGE_GB_SECOND
        + restores * Decimal(memory_mib) / 1024 * USD_PER_RESTORED_GB
    )
