"""What becomes of a request to a function URL when something is in its way."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from support.clock import ManualClock
from support.records import KEY

from lambdabox.api.request import ClientGone
from lambdabox.api.serialize import Headers, WireResponse
from lambdabox.api.streaming import ResponseBrokenError, WireStream
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import (
    AccessDeniedException,
    ResourceConflictException,
    ResourceNotFoundException,
    SnapStartTimeoutException,
    TooManyRequestsException,
)
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.urls import Cors, FunctionUrl
from lambdabox.execution_ports import ConsumerGoneError, ResponseSink
from lambdabox.gateway.url_requests import UrlCall, UrlTarget
from lambdabox.gateway.url_signatures import UrlSignatures
from lambdabox.gateway.urls import UrlFrontEnd
from lambdabox.repositories.function_records import Owned

pytestmark = pytest.mark.anyio

ID = "a1" * 16
THROTTLED = TooManyRequestsException("Rate Exceeded.", reason="ReservedFunctionConcurrent")
TROUBLES: Mapping[str, tuple[Exception, int, str]] = {
    "throttled": (THROTTLED, 429, "Rate Exceeded."),
    "pending": (ResourceConflictException("not yet"), 409, "not yet"),
    "gone": (ResourceNotFoundException("Function not found"), 403, "Forbidden. For"),
    "restore": (SnapStartTimeoutException("too slow"), 502, "Internal Server Error"),
    "platform": (OSError("disk"), 500, "Internal Server Error"),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Fakes:
    """The parts beneath the front end. `run` is what an invocation does with its sink."""

    mode: str = "BUFFERED"
    run: Callable[[ResponseSink | None], Any] = lambda _sink: None
    trouble: Exception | None = None
    refusal: Exception | None = None
    invoked: list[Invocation] = field(default_factory=list)

    async def find(self, url_id: str) -> Owned[FunctionUrl]:
        cors = Cors(allow_origins=("*",))
        return Owned(KEY, "", FunctionUrl(url_id, "NONE", 0.0, 0.0, self.mode, cors))

    async def check_url(self, *_: object, **__: object) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def invoke(
        self,
        reference: FunctionReference,
        invocation: Invocation,
        sink: ResponseSink | None = None,
    ) -> Outcome:
        self.invoked.append(invocation)
        made = self.run(sink)
        if made is not None:
            await made
        if self.trouble is not None:
            raise self.trouble
        return Outcome(b'"fine"')

    def front_end(self) -> UrlFrontEnd:
        clock = ManualClock()
        parts = cast(Any, self)
        return UrlFrontEnd(parts, parts, UrlSignatures({}, clock), parts, clock)


class KeptChannel:
    """An `api.streaming.Channel` that keeps what it is given."""

    def __init__(self) -> None:
        self.heads: list[tuple[int, Headers]] = []
        self.data = b""

    async def begin(self, status: int, headers: Headers) -> None:
        self.heads.append((status, headers))

    async def write(self, data: bytes) -> None:
        self.data += data


def call(read: Callable[[int], Any] | None = None) -> UrlCall:
    async def nothing(limit: int) -> bytes:
        return b""

    headers = {"origin": "https://example.com"}
    target = UrlTarget(ID, b"/")
    return UrlCall(
        target, "GET", b"/", b"", headers, "1.1", "127.0.0.1", "80", "id", read or nothing
    )


def told(response: object, status: int, words: str) -> None:
    assert isinstance(response, WireResponse)
    assert response.status == status
    document = json.loads(response.body)
    assert set(document) == {"Message"}
    assert document["Message"].startswith(words)
    assert (b"access-control-allow-origin", b"*") in response.headers


@pytest.mark.parametrize("name", TROUBLES)
async def test_trouble_with_an_invocation_is_told(name: str) -> None:
    trouble, status, words = TROUBLES[name]
    told(await Fakes(trouble=trouble).front_end().answer(call()), status, words)


@pytest.mark.parametrize("name", TROUBLES)
async def test_trouble_before_a_stream_is_told(name: str) -> None:
    trouble, status, words = TROUBLES[name]
    stream = await Fakes("RESPONSE_STREAM", trouble=trouble).front_end().answer(call())
    assert isinstance(stream, WireStream)
    channel = KeptChannel()
    told(await stream.run(channel), status, words)
    assert not channel.heads


async def test_trouble_in_the_middle_of_a_stream_breaks_it_off() -> None:
    async def begin(sink: ResponseSink | None) -> None:
        assert sink is not None
        await sink.begin("text/plain")
        await sink.write(b"some")

    fakes = Fakes("RESPONSE_STREAM", run=begin, trouble=OSError("disk"))
    stream = await fakes.front_end().answer(call())
    assert isinstance(stream, WireStream)
    channel = KeptChannel()
    with pytest.raises(ResponseBrokenError):
        await stream.run(channel)
    assert (channel.heads[0][0], channel.data) == (200, b"some")


async def test_a_head_comes_in_any_pieces() -> None:
    whole = b'{"statusCode":201,"headers":{"a":"b"}}' + bytes(8) + b"body"

    async def begin(sink: ResponseSink | None) -> None:
        assert sink is not None
        await sink.begin("application/vnd.awslambda.http-integration-response")
        for at in range(len(whole)):
            await sink.write(whole[at : at + 1])

    stream = await Fakes("RESPONSE_STREAM", run=begin).front_end().answer(call())
    assert isinstance(stream, WireStream)
    channel = KeptChannel()
    assert await stream.run(channel) is None
    [(status, headers)] = channel.heads
    assert (status, channel.data) == (201, b"body")
    assert (b"a", b"b") in headers


async def test_nothing_more_is_wanted_after_a_head_that_is_none() -> None:
    async def begin(sink: ResponseSink | None) -> None:
        assert sink is not None
        await sink.begin("application/vnd.awslambda.http-integration-response")
        with pytest.raises(ConsumerGoneError):
            await sink.write(b"no head" + bytes(8))

    stream = await Fakes("RESPONSE_STREAM", run=begin).front_end().answer(call())
    assert isinstance(stream, WireStream)
    told(await stream.run(KeptChannel()), 502, "Internal Server Error")


async def test_who_may_not_pass_is_refused_before_the_body_is_read() -> None:
    async def read(limit: int) -> bytes:
        raise AssertionError("read")

    fakes = Fakes(refusal=AccessDeniedException("Forbidden"))
    told(await fakes.front_end().answer(call(read)), 403, "Forbidden")
    assert not fakes.invoked


async def test_a_client_that_goes_before_its_request_is_complete_gets_nothing() -> None:
    async def read(limit: int) -> bytes:
        raise ClientGone

    fakes = Fakes()
    with pytest.raises(ClientGone):
        await fakes.front_end().answer(call(read))
    assert not fakes.invoked
