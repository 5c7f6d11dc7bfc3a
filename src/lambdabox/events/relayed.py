"""What the parts that turn writes into events see of a request to another service.

The gateway relays such requests. An interceptor may read one on its way, change it, and act on
the answer before the client has it: so an event is durable before its cause is acknowledged.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from lambdabox.domain.arn import Scope
from lambdabox.domain.values import dataclass


class Reads(Enum):
    """How much of a request and its answer an interceptor has to see."""

    NOTHING = "nothing"
    ANSWER = "answer"
    """The whole answer; the request's body streams past."""
    BODY = "body"
    """The whole answer, and the whole body."""


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    service: str
    """The signing name: sqs, events, s3."""
    method: str
    path: str
    """As sent, before any decoding; a bucket that the host names comes first."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    scope: Scope
    request_id: str
    source_ip: str
    body: bytes | None = None
    """None where the body streams past."""

    @property
    def target(self) -> str:
        """The operation of JSON protocols: PutEvents of AWSEvents.PutEvents."""
        return self.headers.get("x-amz-target", "").rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        wanted = name.encode()
        found = (value.decode("latin-1") for key, value in self.headers if key == wanted)
        return next(found, None)


Forward = Callable[[ServiceRequest], Awaitable[ServiceAnswer]]
"""Sends the request on, once, with the body it has. Raises AwsCallError if nobody answers."""


class Interceptor(Protocol):
    """Stands between clients and one service."""

    def reads(self, request: ServiceRequest) -> Reads:
        """Return what `handle` needs; nothing means that the request passes it by."""

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        """Answer the request, usually by what `forward` returns."""
