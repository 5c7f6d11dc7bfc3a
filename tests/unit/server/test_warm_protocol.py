"""The warm path answers as the general road does, and leaves to it whatever is unusual."""

import asyncio
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.records import KEY, SCOPE
from warm_wire import Wire, request, settle, without_ids

from lambdabox.domain.invocations import Invocation
from lambdabox.domain.lineage import MAX_PASSES, extend
from lambdabox.server.warm_protocol import KEEP_ALIVE_SECONDS, WARM_BODY_BYTES

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def signed(
    account: str = SCOPE.account, service: str = "lambda", more: str = ""
) -> tuple[str, str]:
    credential = f"{account}/20261123/us-east-1/{service}/aws4_request"
    return (
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={'0' * 64}{more}",
    )


TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
INVOKE = "/2015-03-31/functions/hello/invocations"
SIGNED_IN_QUERY = (
    f"{INVOKE}?X-Amz-Credential={SCOPE.account}%2F20261123%2Fus-east-1%2Flambda%2Faws4_request"
)

TARGETS = st.sampled_from([
    INVOKE,
    f"{INVOKE}?Qualifier=7",
    f"{INVOKE}?Qualifier=%24LATEST",
    f"{INVOKE}?Qualifier=8",
    f"{INVOKE}?Qualifier=not+one",
    f"{INVOKE}?Qualifier=%",
    f"{INVOKE}?Qualifier=7&Qualifier=8",
    SIGNED_IN_QUERY,
    f"{INVOKE}?",
    f"{INVOKE}/",
    f"{INVOKE}/more",
    f"{INVOKE}#fragment",
    "/2015-03-31/functions/hello:7/invocations",
    "/2015-03-31/functions/hello%3A7/invocations",
    "/2015-03-31/functions/hello:7/invocations?Qualifier=8",
    f"/2015-03-31/functions/{KEY.arn}/invocations",
    f"/2015-03-31/functions/{KEY.arn.replace(':', '%3A')}/invocations",
    "/2015-03-31/functions/999999999999:function:hello/invocations",
    "/2015-03-31/functions/h%FFllo/invocations",
    "/2015-03-31/functions/no%20name/invocations",
    "/2015-03-31/functions//invocations",
    "/2015-03-31/functions/unknown/invocations",
    "/2015-03-31/functions/hello",
    "/2015-03-31/functions/hello/invoke-async",
    "http://elsewhere" + INVOKE,
])  # fmt: skip
HEADERS = st.lists(
    st.sampled_from([
        signed(),
        signed("test"),
        signed("999999999999"),
        signed(service="logs"),
        signed(service="sqs"),
        signed(more=f", Credential={SCOPE.account}/20261123/eu-west-1/lambda/aws4_request"),
        ("Authorization", "Bearer token"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=x"),
        ("Authorization", ""),
        ("Host", f"{'a' * 32}.Lambda-URL.us-east-1.localhost:4566"),
        ("X-Amzn-Trace-Id", TRACE),
        ("X-Amzn-Trace-Id", "Self=1"),
        ("X-Amzn-Trace-Id", "Root=1-\u00e4\u0085"),
        ("X-Amz-Invocation-Type", "RequestResponse"),
        ("X-Amz-Invocation-Type", "Event"),
        ("X-Amz-Invocation-Type", "DryRun"),
        ("X-Amz-Invocation-Type", "Nonsense"),
        ("X-Amz-Log-Type", "Tail"),
        ("X-Amz-Log-Type", "None"),
        ("X-Amz-Client-Context", "e30="),
        ("X-Amz-Client-Context", "no base64"),
        ("X-Amz-Tenant-Id", "blue"),
        ("X-Amz-Target", "Logs_20140328.DescribeLogGroups"),
        ("Origin", "https://elsewhere.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Connection", "close"),
        ("Connection", "keep-alive"),
        ("Expect", "100-continue"),
        ("X-Amz-Date", "20261123T000000Z"),
        ("User-Agent", "Boto3/1.44"),
    ]),
    max_size=4,
)  # fmt: skip
BODIES = st.sampled_from([
    b"", b"{}", b'{"a": [1, "\xc3\xa4"]}', b"null", b"{", b"\xff", b"NaN", b'"\\ud800"', b"1 2",
    b'"fails"', b'"says nothing"', b'"stops"', b'"breaks"',
    b'"' + b"x" * (WARM_BODY_BYTES - 2) + b'"', b'"' + b"x" * WARM_BODY_BYTES + b'"',
])  # fmt: skip


def what_matters(invocation: Invocation) -> tuple[object, ...]:
    trace = (
        invocation.trace
        if "=1;Lineage=" in invocation.trace
        else re.sub("[0-9a-f]", "0", invocation.trace)
    )
    return (
        invocation.invoked_arn,
        invocation.payload,
        invocation.client_context,
        trace,
        invocation.tenant_id,
        invocation.wants_log_tail,
    )


async def exchange(message: bytes, cuts: list[int], *, warm: bool) -> tuple[object, ...]:
    """Everything a client, and a function, can see of one request."""
    wire = Wire(warm=warm)
    parts = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    answer = without_ids(await wire.ask(*parts))
    again = without_ids(await wire.ask(request())) if not wire.transport.is_closed else b""
    ran, kept = wire.executor.seen, wire.intake.seen
    seen = [[what_matters(invocation) for invocation in of] for of in (ran, kept)]
    running = wire.ledger.running(SCOPE.account, SCOPE.region)
    is_closed, count = wire.transport.is_closed, wire.state.total_requests
    wire.close()
    await settle()
    return answer, again, seen, running, is_closed, count


@given(
    target=st.just(INVOKE) | TARGETS,
    headers=HEADERS,
    body=BODIES,
    method=st.sampled_from(["POST"] * 8 + ["GET", "HEAD"]),
    version=st.sampled_from(["1.1"] * 6 + ["1.0"]),
    cuts=st.lists(st.integers(1, 400), max_size=2),
)
@example(SIGNED_IN_QUERY, [], b"{}", "POST", "1.1", [])
@example(INVOKE, [signed(service="logs")], b"{}", "POST", "1.1", [])
@example(INVOKE, [signed(service="sqs")], b"{}", "POST", "1.1", [])
@example(INVOKE, [], b"{}", "POST", "1.1", [])
@example(INVOKE, [], b'"fails"', "POST", "1.1", [])
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_both_roads_give_the_same_answers(
    target: str,
    headers: list[tuple[str, str]],
    body: bytes,
    method: str,
    version: str,
    cuts: list[int],
) -> None:
    message = request(target, body, *headers, method=method, version=version)
    cuts = sorted({cut for cut in cuts if cut < len(message)})

    async def compare() -> None:
        warm = await exchange(message, cuts, warm=True)
        general = await exchange(message, cuts, warm=False)
        assert warm == general

    asyncio.run(compare())


@pytest.mark.parametrize(
    "message",
    [
        request(INVOKE, b"{}", signed()),
        request(INVOKE, b""),
        request(INVOKE, b"{}", signed("test")),
        request(f"{INVOKE}?Qualifier=7", b'{"a": 1}', signed(), ("X-Amzn-Trace-Id", TRACE)),
        request(f"/2015-03-31/functions/{KEY.arn}/invocations", b"1", signed()),
        request(INVOKE, b"{}", signed(), ("X-Amz-Invocation-Type", "RequestResponse")),
        request(INVOKE, b'"fails"', signed()),
        request(INVOKE, b'"stops"', signed()),
    ],
)
async def test_ordinary_requests_take_the_warm_path(message: bytes) -> None:
    wire = Wire()
    assert (await wire.ask(message)).startswith((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 500 "))
    assert wire.warm_path.taken == 1
    assert wire.ledger.running(SCOPE.account, SCOPE.region) == 0
    wire.close()


async def test_an_event_is_answered_once_it_is_stored() -> None:
    wire = Wire()
    message = request(INVOKE, b"[1]", signed(), ("X-Amz-Invocation-Type", "Event"))
    answer = without_ids(await wire.ask(message))
    assert answer == b"HTTP/1.1 202 Accepted\r\nid 1\r\nid 0\r\ncontent-length: 0\r\n\r\n"
    assert [invocation.payload for invocation in wire.intake.seen] == [b"[1]"]
    assert (wire.warm_path.taken, wire.executor.seen) == (1, [])
    wire.close()


async def test_an_event_that_cannot_be_stored_is_not_accepted() -> None:
    wire = Wire()
    message = request(INVOKE, b'"stops"', signed(), ("X-Amz-Invocation-Type", "Event"))
    assert (await wire.ask(message)).startswith(b"HTTP/1.1 500 ")
    wire.close()


def looped() -> str:
    """A trace that has passed through the function as often as may be."""
    trace = TRACE
    for _ in range(MAX_PASSES):
        trace = extend(trace, KEY.arn)
    return trace


@pytest.mark.parametrize(
    "message",
    [
        request(INVOKE, b"{}", signed("999999999999")),  # an account with no such function
        request(INVOKE, b"{", signed()),
        request(f"{INVOKE}?Qualifier=8", b"{}", signed()),
        request(INVOKE, b"{}", signed(), ("X-Amz-Invocation-Type", "DryRun")),
        request(f"{INVOKE}?Qualifier=8", b"{}", signed(), ("X-Amz-Invocation-Type", "Event")),
        request(INVOKE, b"{}", signed(), ("X-Amzn-Trace-Id", looped())),
        request(INVOKE, b"{}", signed(), ("X-Amz-Log-Type", "Tail")),
        request(INVOKE, b"{}", signed(), ("Origin", "https://elsewhere.example")),
        request(INVOKE, b"{}", signed(), ("Connection", "close")),
    ],
)
async def test_what_is_unusual_is_left_to_the_general_road(message: bytes) -> None:
    wire = Wire()
    assert (await wire.ask(message)).startswith(b"HTTP/1.1 ")
    assert wire.warm_path.taken == 0
    wire.close()


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() -> None:
    wire = Wire()
    message = request(INVOKE, b"{}", signed(), ("Expect", "100-continue"))
    assert await wire.ask(message[:-2]) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await wire.ask(message[-2:])).startswith(b"HTTP/1.1 200 OK\r\n")
    wire.close()


async def test_without_an_idle_environment_the_general_road_waits_for_one() -> None:
    wire = Wire()
    wire.executor.is_warm = False
    assert b"200 OK" in await wire.ask(request(INVOKE, b"{}", signed()))
    assert wire.warm_path.taken == 0
    assert wire.ledger.running(SCOPE.account, SCOPE.region) == 0
    wire.close()


async def test_above_the_concurrency_limit_the_general_road_refuses() -> None:
    wire = Wire(concurrency=0)
    answer = await wire.ask(request(INVOKE, b"{}", signed()))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"TooManyRequestsException" in answer
    wire.close()


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    wire = Wire()
    messages = [
        request(INVOKE, b"1", signed()),
        request("/2015-03-31/functions/unknown/invocations", b"2", signed()),
        request(INVOKE, b"3", signed()),
    ]
    answers = (await wire.ask(b"".join(messages))).split(b"HTTP/1.1 ")[1:]
    assert [answer[:3] for answer in answers] == [b"200", b"404", b"200"]
    assert [answers[0][-1:], answers[2][-1:]] == [b"1", b"3"]
    wire.close()


async def test_a_connection_that_is_told_to_end_answers_first() -> None:
    wire = Wire()
    wire.executor.held = []
    assert await wire.ask(request(INVOKE, b"{}", signed())) == b""
    wire.protocol.shutdown()
    assert not wire.transport.is_closed
    [answer] = wire.executor.held
    answer()
    assert b"connection: close\r\n" in wire.transport.written
    assert wire.transport.is_closed
    wire.close()


async def test_a_request_whose_body_is_on_its_way_is_answered_although_the_node_stops() -> None:
    wire = Wire()
    message = request(INVOKE, b'{"a": 1}', signed())
    await wire.ask(message[:-3])
    wire.protocol.shutdown()
    answer = await wire.ask(message[-3:])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.transport.is_closed
    wire.close()


async def test_a_client_that_hangs_up_does_not_stop_the_run() -> None:
    wire = Wire()
    wire.executor.held = []
    await wire.ask(request(INVOKE, b"{}", signed()))
    wire.close()
    assert wire.ledger.running(SCOPE.account, SCOPE.region) == 1
    [answer] = wire.executor.held
    answer()
    assert wire.ledger.running(SCOPE.account, SCOPE.region) == 0
    assert wire.transport.written == b""


async def test_a_connection_closes_once_it_has_been_quiet_for_long() -> None:
    wire = Wire()
    await wire.ask(request(INVOKE, b"{}", signed()))
    wire.protocol._quiet_since -= KEEP_ALIVE_SECONDS / 2
    wire.protocol._end_if_quiet()
    assert not wire.transport.is_closed
    wire.protocol._quiet_since -= KEEP_ALIVE_SECONDS / 2
    wire.protocol._end_if_quiet()
    assert wire.transport.is_closed
    wire.close()


async def test_a_connection_that_works_is_not_quiet() -> None:
    wire = Wire()
    await wire.ask(request(INVOKE, b"{}", signed()))
    wire.executor.held = []
    await wire.ask(request(INVOKE, b"{}", signed()))
    wire.protocol._quiet_since -= 2 * KEEP_ALIVE_SECONDS
    wire.protocol._end_if_quiet()
    assert not wire.transport.is_closed
    wire.close()
