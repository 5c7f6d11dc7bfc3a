"""Count what befalls functions, under each name that CloudWatch shows it by.

A throttle of `hello:7` is one of that version, of the function and of the account: each is a
metric of its own, because CloudWatch never adds up over dimensions.
"""

from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.metrics import Measured, Metric, of_account, of_function
from lambdabox.ports import Measurements


class FunctionMetrics:
    """On the event loop, like the journal behind it."""

    def __init__(self, measurements: Measurements) -> None:
        self._measurements = measurements

    def add(
        self,
        key: FunctionKey,
        measured: Measured,
        value: float = 1.0,
        *,
        count: int = 1,
        resource: str | None = None,
    ) -> None:
        """Take a value, `count` times, of a function (of one version or alias) and its account."""
        self.of_function(key, measured, value, count=count)
        if resource is not None:
            named = f"{key.name}:{resource}"
            self._take(of_function(key, measured, named), measured, value, count)
        self.of_account(Scope(key.account, key.region), measured, value, count=count)

    def of_function(
        self,
        key: FunctionKey,
        measured: Measured,
        value: float,
        *,
        count: int = 1,
        resource: str | None = None,
    ) -> None:
        """Take a value of the function, or of one version of it, alone."""
        named = f"{key.name}:{resource}" if resource is not None else None
        self._take(of_function(key, measured, named), measured, value, count)

    def of_account(self, scope: Scope, measured: Measured, value: float, *, count: int = 1) -> None:
        self._take(of_account(scope, measured), measured, value, count)

    def _take(self, metric: Metric, measured: Measured, value: float, count: int) -> None:
        self._measurements.measure(metric, value, count=count, unit=measured.unit)
