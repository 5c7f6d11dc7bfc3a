"""Where outcomes go: destinations and dead-letter queues, and what is sent to each.

Which ARNs can be one, how much each takes and what an S3 object is called are facts; who
sends, and how often it tries, is in `events/destinations.py`.
"""

import uuid
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from enum import StrEnum

from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference, Scope
from lambdabox.domain.values import dataclass

KIBIBYTE = 1024


class Kind(StrEnum):
    """The services that an outcome can be sent to, by their names in ARNs."""

    SQS = "sqs"
    SNS = "sns"
    LAMBDA = "lambda"
    EVENTS = "events"
    S3 = "s3"

    @property
    def limit_bytes(self) -> int:
        """How long a record may be."""
        return _LIMITS[self]


_KINDS = frozenset(Kind)
_LIMITS = {
    Kind.SQS: 1024 * KIBIBYTE,
    Kind.SNS: 256 * KIBIBYTE,
    Kind.LAMBDA: 1024 * KIBIBYTE,
    Kind.EVENTS: 256 * KIBIBYTE,
    Kind.S3: 5 * 1024**3,
}


class NoDestination(ValueError):
    """The ARN is of nothing that an outcome can be sent to."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Something that an outcome can be sent to."""

    arn: str
    kind: Kind
    region: str
    """Empty for S3, as is the account."""
    account: str
    resource: str
    """A name: of a queue, topic, bucket or function (maybe qualified), or `event-bus/{name}`."""

    @property
    def function(self) -> FunctionReference:
        """The function, of a destination that is one."""
        name, _, qualifier = self.resource.partition(":")
        return FunctionReference(FunctionKey(self.account, self.region, name), qualifier or None)

    def scope(self, sender: Scope) -> Scope:
        """Return who calls the service: the owner of what is written to, if the ARN names one."""
        return Scope(self.account or sender.account, self.region or sender.region)


def parse_destination(arn: str) -> Destination:
    """Raises NoDestination for an ARN of another service, and for FIFO queues and topics."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[5]:
        raise NoDestination(arn)
    service, region, account, resource = parts[2:]
    if service not in _KINDS or resource.endswith(".fifo"):
        raise NoDestination(arn)
    kind = Kind(service)
    if kind is Kind.LAMBDA:
        resource = resource.removeprefix("function:")
    if kind is Kind.EVENTS and not resource.startswith("event-bus/"):
        raise NoDestination(arn)
    if kind is not Kind.S3 and not (region and account):
        raise NoDestination(arn)
    return Destination(arn, kind, region, account, resource)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A message attribute, as SQS and SNS have them."""

    data_type: str
    value: str


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one destination is sent."""

    body: bytes
    """JSON: a record, or the event itself for a dead-letter queue."""
    sender: Scope
    """The account and region of the function."""
    function_arn: str = ""
    """Whose outcome it is, qualified."""
    is_success: bool = False
    object_prefix: str = "aws/lambda"
    """Of the S3 key, up to the date: `aws/lambda/async/{function}`."""
    short_body: bytes | None = None
    """Sent in place of a body that the destination does not take: the record without payloads."""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Of an SQS or SNS message."""
    trace: str = ""
    """The trace header of the invocation, so that a loop through the destination is noticed."""


def object_key(prefix: str, now: float) -> str:
    """Return a key of its own for a record in S3."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{prefix}/{moment:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"


def qualified(reference: FunctionReference) -> str:
    """Return the function's ARN as records name it: with `$LATEST` if nothing else was asked."""
    return reference.key.qualified_arn(reference.qualifier or LATEST)
