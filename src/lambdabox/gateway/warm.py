"""The warm path of Invoke: from a parsed request to its answer without a task in between.

Nearly all requests are invocations, with nothing unusual about them, of a function that is
known: synchronous ones that are admitted and find it warm, and asynchronous ones, which are
answered when the queue has them. Those, and only those, are taken here. The rest is refused
before anything has happened, and the general road (`gateway/app`, `api/app`) answers
it. Both give the same answers: what a path and a credential mean is asked of the general
road's own parts, once, and remembered; a test sends both the same requests.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import httptools
import orjson

from lambdabox.api.app import ServiceFrontEnd
from lambdabox.api.model import ServiceApi
from lambdabox.api.operations.invoke import trace_of
from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.auth.sigv4 import parse_credential
from lambdabox.domain import lineage
from lambdabox.domain.arn import FunctionReference, parse_function
from lambdabox.domain.errors import ApiError
from lambdabox.domain.http_apis import MARK as API_MARK
from lambdabox.domain.invocations import Invocation, Outcome, new_request_id
from lambdabox.domain.urls import MARK as URL_MARK
from lambdabox.gateway.app import caller_scope
from lambdabox.invoke.asynchronous import AsyncIntake, Event
from lambdabox.invoke.invoker import Invoker
from lambdabox.ports import Clock

REMEMBERED = 4_096

_CREDENTIAL = b"Credential"
_INVOCATION_TYPE = b"x-amz-invocation-type"
_SYNCHRONOUS = b"RequestResponse"
_EVENT = b"Event"
_TAKEN = frozenset({_SYNCHRONOUS, _EVENT})
_URL_MARK = URL_MARK.encode()
_API_MARK = API_MARK.encode()

# Headers with which a request means something that only the general road knows. The
# operation's own come on top.
_UNUSUAL = frozenset({
    b"expect", b"origin", b"sec-fetch-site", b"transfer-encoding", b"upgrade", b"x-amz-target",
})  # fmt: skip

Respond = Callable[[int, bytes, bytes], None]
"""Told the status, the header lines and the body, once. Must not raise."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A function as requests name it, with what would else be put together for each."""

    reference: FunctionReference
    arn: str
    function_arn: str

    @classmethod
    def of(cls, reference: FunctionReference) -> "_Target":
        return cls(reference, reference.arn, reference.key.arn)


class WarmInvoke:
    def __init__(
        self,
        service: ServiceApi,
        front_end: ServiceFrontEnd,
        invoker: Invoker,
        intake: AsyncIntake,
        clock: Clock,
        *,
        default_region: str,
        requests: Counter[str] | None = None,
    ) -> None:
        self._service = service
        self._front_end = front_end
        self._invoker = invoker
        self._intake = intake
        self._clock = clock
        self._default_region = default_region
        self._requests = requests if requests is not None else Counter()
        self._unusual: frozenset[bytes] | None = None
        self._targets: dict[tuple[bytes, bytes], _Target | None] = {}

    def begin(self, target: bytes, headers: Headers, body: bytes, respond: Respond) -> bool:
        """Invoke if the request is an ordinary one and nothing has to be waited for.

        `target` is the request's target as sent, `headers` have lower-case names. Returns False,
        and nothing has happened, if the general road must answer.
        """
        fields = dict(headers)
        if self._unusual is None:
            self._unusual = _UNUSUAL | _operation_headers(self._service)
        if not self._unusual.isdisjoint(fields):
            return False
        host = fields.get(b"host", b"").lower()
        if _URL_MARK in host or _API_MARK in host:
            return False  # a function URL or an API with such a path
        kind = fields.get(_INVOCATION_TYPE, _SYNCHRONOUS)
        if kind not in _TAKEN:
            return False
        named = self._target(target, fields.get(b"authorization", b""))
        if named is None or not _is_json(body):
            return False
        reference, function_arn = named.reference, named.function_arn
        sent, now = fields.get(b"x-amzn-trace-id"), self._clock.now()
        trace = trace_of(sent.decode("latin-1") if sent else None, now)
        is_event = kind == _EVENT
        invocation = Invocation(
            request_id=new_request_id(),
            invoked_arn=named.arn,
            payload=body or b"{}",
            trace=lineage.extend(trace, function_arn),
            enqueued_at=now if is_event else 0.0,
        )
        if is_event:
            return self._accept(reference, invocation, respond)
        if sent and lineage.is_loop(invocation.trace, function_arn):
            return False
        return self._invoker.begin(
            reference, invocation, partial(self._answer, invocation, respond)
        )

    def _accept(
        self, reference: FunctionReference, invocation: Invocation, respond: Respond
    ) -> bool:
        if not self._invoker.is_known(reference):
            return False
        done = partial(self._accepted, invocation, respond)
        self._intake.accept_soon(Event(reference, invocation), done)
        return True

    def _accepted(self, invocation: Invocation, respond: Respond, error: Exception | None) -> None:
        if error is not None:
            self._answer(invocation, respond, error)
            return
        self._requests["invoke"] += 1
        lines = (
            f"x-amzn-trace-id: {invocation.trace}\r\nx-amzn-requestid: {invocation.request_id}\r\n"
            "content-length: 0\r\n"
        )
        respond(202, lines.encode(), b"")

    def _answer(
        self, invocation: Invocation, respond: Respond, result: Outcome | Exception
    ) -> None:
        self._requests["invoke"] += 1
        if isinstance(result, Outcome):
            status, body = 200, result.payload
            error = result.function_error
            lines = f"x-amz-function-error: {error}\r\n" if error else ""
            lines += f"x-amz-executed-version: {result.executed_version}\r\n"
            lines += "content-type: application/json\r\n" if body else ""
        else:
            failure = self._front_end.failure(result, invocation.request_id)
            status, body, lines = failure.status, failure.body, _header_lines(failure)
        lines += (
            f"x-amzn-trace-id: {invocation.trace}\r\nx-amzn-requestid: {invocation.request_id}\r\n"
            f"content-length: {len(body)}\r\n"
        )
        respond(status, lines.encode(), body)

    def _target(self, target: bytes, authorization: bytes) -> "_Target | None":
        """Return the function that the caller means by `target`, None if it is not that simple.

        A signature differs each time, but what comes before it names the same credential.
        """
        credential, _, signature = authorization.partition(b",")
        if _CREDENTIAL in signature:
            return None
        try:
            return self._targets[target, credential]
        except KeyError:
            if len(self._targets) >= REMEMBERED:
                self._targets.clear()
            reference = self._find(target, credential)
            found = None if reference is None else _Target.of(reference)
            self._targets[target, credential] = found
            return found

    def _find(self, target: bytes, authorization: bytes) -> FunctionReference | None:
        url = httptools.parse_url(target)
        if not authorization and url.query:
            return None  # it may be signed in the query
        credential = parse_credential({"authorization": authorization.decode("latin-1")}, "")
        if credential is not None and credential.service != "lambda":
            return None
        try:
            match = self._service.match("POST", url.path, url.query or b"")
            if match.operation.name != "Invoke":
                return None
            named = self._service.parse(match, {}, b"")
            scope = caller_scope(credential, self._default_region)
            return parse_function(named["FunctionName"], scope, named.get("Qualifier"))
        except ApiError:
            return None  # the general road says what is wrong


def _operation_headers(service: ServiceApi) -> frozenset[bytes]:
    """The headers that Invoke takes, except for the one whose usual value is known."""
    shape = service.operation("Invoke").input_shape
    places = [member.serialization for member in shape.members.values()] if shape else []
    names = (place["name"].lower() for place in places if place.get("location") == "header")
    return frozenset(name.encode() for name in names) - {_INVOCATION_TYPE}


def _is_json(body: bytes) -> bool:
    try:
        orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return False
    return True


def _header_lines(response: WireResponse) -> str:
    return "".join(
        f"{name.decode().lower()}: {value.decode()}\r\n" for name, value in response.headers
    )
