"""Add up many values in little room, so that their percentiles are known afterwards.

Counts, sums and extremes are exact. For percentiles each value falls into a bucket whose
borders grow by two per cent, as in the DDSketch paper: what is read back is within one per
cent of a value that was there, whatever the distribution, and summaries of two minutes add up
to the one of both. Buckets are numbered in the order of their values.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Self

ACCURACY = 0.01
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GROWTH = math.log(_GROWTH)
_MIDDLE = 4_000
"""The bucket of 1; those of 10^-34 and 10^34 are the first and the last."""
_LAST = 2 * _MIDDLE


def bucket_of(value: float) -> int:
    """Return the bucket of a finite value: negative below zero, 0 for zero itself."""
    if value == 0.0:
        return 0
    at = _MIDDLE + math.ceil(math.log(abs(value)) / _LOG_GROWTH)
    if not 0 < at <= _LAST:
        at = 1 if at < 1 else _LAST
    return at if value > 0 else -at


def value_of(bucket: int) -> float:
    """Return the value in the middle of a bucket."""
    if bucket == 0:
        return 0.0
    middle = 2 * _GROWTH ** (abs(bucket) - _MIDDLE) / (_GROWTH + 1)
    return middle if bucket > 0 else -middle


@dataclass(slots=True)
class Summary:
    """What many values were. `minimum` and `maximum` mean nothing where `count` is 0."""

    count: int = 0
    total: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    buckets: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        found = list(values)
        if not found:
            return cls()
        # Counted by the library, which is faster: an invocation's duration passes here.
        buckets = dict(Counter(map(bucket_of, found)))
        return cls(len(found), sum(found), min(found), max(found), buckets)

    def add(self, value: float, count: int = 1) -> None:
        """Count a finite value in, `count` times."""
        self.count += count
        self.total += value * count
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)
        bucket = bucket_of(value)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def copy(self) -> "Summary":
        """Return one that can be added to by itself."""
        return Summary(self.count, self.total, self.minimum, self.maximum, dict(self.buckets))

    def merge(self, other: "Summary") -> None:
        self.count += other.count
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        buckets = self.buckets
        for bucket, count in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count

    @property
    def average(self) -> float:
        return self.total / self.count if self.count else 0.0

    def percentile(self, per_cent: float) -> float:
        """Return the value that `per_cent` of all do not exceed (the nearest rank), or 0.0."""
        return self.percentiles([per_cent])[0]

    def percentiles(self, per_cents: Iterable[float]) -> list[float]:
        buckets = sorted(self.buckets)
        counted = list(accumulate(self.buckets[bucket] for bucket in buckets))
        return [self._at(buckets, counted, per_cent) for per_cent in per_cents]

    def count_up_to(self, limit: float) -> int:
        """Return how many values do not exceed `limit`, to the accuracy of a bucket."""
        last = bucket_of(limit)
        return sum(count for bucket, count in self.buckets.items() if bucket <= last)

    def _at(self, buckets: Sequence[int], counted: Sequence[int], per_cent: float) -> float:
        """`counted` says of each bucket how many values are in it and in those before."""
        rank = max(math.ceil(self.count * per_cent / 100), 1)
        if rank >= self.count:
            return self.maximum if self.count else 0.0
        value = value_of(buckets[bisect_left(counted, rank)])
        return min(max(value, self.minimum), self.maximum)


def pack(buckets: Mapping[int, int]) -> list[int]:
    """Return bucket and count in turn: how a database keeps them."""
    return [number for pair in sorted(buckets.items()) for number in pair]


def unpack(packed: list[int]) -> dict[int, int]:
    return dict(zip(packed[::2], packed[1::2], strict=True))
