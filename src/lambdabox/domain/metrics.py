"""Metrics as CloudWatch knows them: a name in a namespace, with dimensions, over time.

Two sources have none in common but this form: what the platform counts (throttles, dropped
events), and what functions print in the embedded metric format.
"""

from typing import NamedTuple

from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.summaries import Summary
from lambdabox.domain.values import dataclass

LAMBDA_NAMESPACE = "AWS/Lambda"
PLATFORM_NAMESPACE = "Lambdabox"
"""Of what AWS has no metric for."""

MINUTE = 60
HOUR = 3_600
DAY = 86_400

Dimensions = tuple[tuple[str, str], ...]
"""Name and value, in the order of the names."""


class Metric(NamedTuple):
    """What names one series of values. Each combination of dimensions is a series of its own."""

    account: str
    region: str
    namespace: str
    name: str
    dimensions: Dimensions = ()

    @property
    def scope(self) -> Scope:
        return Scope(self.account, self.region)


class Datum(NamedTuple):
    """Values of a metric within one minute."""

    metric: Metric
    at: float
    """Seconds since the epoch."""
    values: Summary
    unit: str = "None"


@dataclass(frozen=True, slots=True)
class Measured:
    """A part of the platform's own metrics: what of, and of which kind its values are."""

    name: str
    unit: str = "Count"


THROTTLES = Measured("Throttles")
CONCURRENT_EXECUTIONS = Measured("ConcurrentExecutions")
UNRESERVED_CONCURRENT_EXECUTIONS = Measured("UnreservedConcurrentExecutions")
CLAIMED_ACCOUNT_CONCURRENCY = Measured("ClaimedAccountConcurrency")
PROVISIONED_CONCURRENT_EXECUTIONS = Measured("ProvisionedConcurrentExecutions")
PROVISIONED_SPILLOVER = Measured("ProvisionedConcurrencySpilloverInvocations")
PROVISIONED_UTILIZATION = Measured("ProvisionedConcurrencyUtilization")
PROVISIONED_GIGABYTE_SECONDS = Measured("ProvisionedGigabyteSeconds", "None")
"""Ours: what is kept ready, used or not. AWS bills that without a metric of its own."""
ASYNC_EVENTS_RECEIVED = Measured("AsyncEventsReceived")
ASYNC_EVENT_AGE = Measured("AsyncEventAge", "Milliseconds")
ASYNC_EVENTS_DROPPED = Measured("AsyncEventsDropped")
DEAD_LETTER_ERRORS = Measured("DeadLetterErrors")
DESTINATION_DELIVERY_FAILURES = Measured("DestinationDeliveryFailures")
RECURSIVE_INVOCATIONS_DROPPED = Measured("RecursiveInvocationsDropped")
ITERATOR_AGE = Measured("IteratorAge", "Milliseconds")


def of_function(key: FunctionKey, measured: Measured, resource: str | None = None) -> Metric:
    """Return the function's metric, or that of one resource: `hello:7` or `hello:live`."""
    dimensions: Dimensions = (("FunctionName", key.name),)
    if resource is not None:
        dimensions += (("Resource", resource),)
    return Metric(key.account, key.region, LAMBDA_NAMESPACE, measured.name, dimensions)


def of_account(scope: Scope, measured: Measured) -> Metric:
    return Metric(scope.account, scope.region, LAMBDA_NAMESPACE, measured.name)
