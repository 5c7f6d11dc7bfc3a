"""The seams towards other AWS services: where they are, and how they are called.

Apart from `ports.py`, because what is behind them is not the platform's own: a service may be
AWS itself, a store on the network, or a process that the node starts. Docstrings are the
contracts.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from lambdabox.domain.values import dataclass

if TYPE_CHECKING:
    from lambdabox.domain.arn import Scope
    from lambdabox.domain.destinations import Parcel


class AwsCallError(Exception):
    """A service refused a call, or could not be reached.

    `code` is the service's own error code, or `Unreachable`. `is_final` says that the same call
    would be refused again: what it named does not exist, or it may not be made.
    """

    def __init__(self, service: str, operation: str, code: str, message: str) -> None:
        super().__init__(f"{service}.{operation}: {code}: {message}")
        self.service = service
        self.operation = operation
        self.code = code
        self.message = message

    @property
    def is_final(self) -> bool:
        return self.code not in _PASSING


_PASSING = frozenset({
    "InternalError", "InternalFailure", "InternalServerError", "LimitExceededException",
    "OverLimit", "ProvisionedThroughputExceededException", "RequestThrottled", "ServiceUnavailable",
    "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException", "Unreachable",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What requests are signed with, where signatures are checked."""

    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a service answers, and what it must be told beside a request."""

    url: str
    is_own: bool = False
    """Whether it is a process of the node's, which checks no signatures."""
    headers: Mapping[str, str] = field(default_factory=dict)
    key: SigningKey | None = None
    """If given, requests are signed anew with it; else they go as their clients signed them."""


class Neighbours(Protocol):
    """Where other AWS services are. The gateway relays to them; everybody else, the node's own
    parts included, calls services at the node's address."""

    async def endpoint(self, service: str) -> Endpoint:
        """Return where a service (its signing name, such as `sqs`) answers.

        May wait for the service to start. Raises AwsCallError if there is none.
        """


class AwsServices(Protocol):
    """Calls operations of other AWS services, as an SDK does."""

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: "Scope",
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        """Return the output of `operation` (`SendMessage`), its members named as in the API.

        `service` is botocore's name of it (`sqs`, `events`, `dynamodbstreams`); `scope` the account
        and region that call. A body that streams (S3's GetObject) is returned as bytes. Takes
        `seconds` at most. Raises AwsCallError.
        """


class Destinations(Protocol):
    """Sends outcomes to where their function's author wants them."""

    async def send(self, arn: str, parcel: "Parcel") -> None:
        """Send once; return when the destination has it. Raises AwsCallError."""

    async def deliver(self, arn: str, parcel: "Parcel") -> bool:
        """Send, and try again for a minute while trying may help.

        Returns whether the destination has it. If not, that is counted and logged.
        """

    def gave_up(self, arn: str, error: AwsCallError) -> None:
        """Count and log that nobody will try again: for a caller of `send`."""
