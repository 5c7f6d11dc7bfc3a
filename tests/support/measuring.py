"""Measurements that are kept for a test to look at."""

from lambdabox.domain.metrics import Metric
from lambdabox.domain.summaries import Summary


class KeptMeasurements:
    """A `ports.Measurements` in memory."""

    def __init__(self) -> None:
        self.values: dict[Metric, Summary] = {}

    def measure(self, metric: Metric, value: float, *, count: int = 1, unit: str = "Count") -> None:
        self.values.setdefault(metric, Summary()).add(value, count)

    def totals(self, *dimensions: str) -> dict[str, float]:
        """The sum of each metric that has dimensions of these values, by name."""
        return {
            metric.name: summary.total
            for metric, summary in self.values.items()
            if tuple(value for _, value in metric.dimensions) == dimensions
        }
