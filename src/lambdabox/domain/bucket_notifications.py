"""Which objects of a bucket a function hears of: names of events, prefixes and suffixes."""

from collections.abc import Sequence

from lambdabox.domain.values import dataclass

EVENTS = frozenset({
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectCreated:*", "s3:ObjectCreated:Put", "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy", "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*", "s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:ObjectRestore:*", "s3:ObjectRestore:Post", "s3:ObjectRestore:Completed",
    "s3:ObjectRestore:Delete",
    "s3:Replication:*", "s3:Replication:OperationFailedReplication",
    "s3:Replication:OperationNotTracked", "s3:Replication:OperationMissedThreshold",
    "s3:Replication:OperationReplicatedAfterThreshold",
    "s3:LifecycleTransition", "s3:IntelligentTiering",
    "s3:LifecycleExpiration:*", "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:ObjectTagging:*", "s3:ObjectTagging:Put", "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
})  # fmt: skip
"""As configurations name them; an event itself has no `s3:` before its name."""


@dataclass(frozen=True, slots=True)
class FunctionNotification:
    """A function that hears of a bucket's events."""

    id: str
    function_arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""

    def is_about(self, event: str, key: str) -> bool:
        """Whether it hears of `event`, such as ObjectCreated:Put, of the object `key`."""
        is_named = any(_includes(wanted, event) for wanted in self.events)
        # Both may not take the same characters, but S3 does not ask for that.
        return is_named and key.startswith(self.prefix) and key.endswith(self.suffix)


@dataclass(frozen=True, slots=True)
class BucketNotifications:
    """The functions that hear of a bucket's events."""

    functions: tuple[FunctionNotification, ...]

    def about(self, event: str, key: str) -> list[FunctionNotification]:
        return [each for each in self.functions if each.is_about(event, key)]


def overlapping(functions: Sequence[FunctionNotification]) -> bool:
    """Whether two of them would hear of the same event of some object, which S3 does not allow."""
    return any(
        _share_events(one, other) and _may_both_fit(one, other)
        for index, one in enumerate(functions)
        for other in functions[index + 1 :]
    )


def _includes(wanted: str, event: str) -> bool:
    name = f"s3:{event}"
    return wanted == name or (wanted.endswith(":*") and name.startswith(wanted[:-1]))


def _share_events(one: FunctionNotification, other: FunctionNotification) -> bool:
    return any(
        a == b or _includes(a, b.removeprefix("s3:")) or _includes(b, a.removeprefix("s3:"))
        for a in one.events
        for b in other.events
    )


def _may_both_fit(one: FunctionNotification, other: FunctionNotification) -> bool:
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    suffixes = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    return prefixes and suffixes
