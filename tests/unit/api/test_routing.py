"""Which operation a path names, and which paths name none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import LAMBDA, LOGS, quick

from lambdabox.domain.errors import (
    ApiError,
    SerializationException,
    UnknownOperationException,
)

ARN = "arn:aws:lambda:us-east-1:123456789012:function:my-fn"


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("POST", b"/2015-03-31/functions", b"", "CreateFunction"),
        ("POST", b"/2015-03-31/functions/", b"", "CreateFunction"),
        ("POST", b"/2015-03-31/functions//", b"", "CreateFunction"),
        ("GET", b"/2018-10-31/layers", b"", "ListLayers"),
        ("GET", b"/2018-10-31/layers", b"find=LayerVersion&Arn=x", "GetLayerVersionByArn"),
        ("GET", b"/2018-10-31/layers", b"find=Other", "ListLayers"),
        (
            "GET",
            b"/2019-09-30/functions/f/provisioned-concurrency",
            b"List=ALL",
            "ListProvisionedConcurrencyConfigs",
        ),
        (
            "GET",
            b"/2019-09-30/functions/f/provisioned-concurrency",
            b"Qualifier=1",
            "GetProvisionedConcurrencyConfig",
        ),
        (
            "GET",
            b"/2019-09-25/functions/f/event-invoke-config/list",
            b"",
            "ListFunctionEventInvokeConfigs",
        ),
        (
            "DELETE",
            b"/2019-09-25/functions/f/event-invoke-config/",
            b"",
            "DeleteFunctionEventInvokeConfig",
        ),
        (
            "GET",
            b"/2019-09-25/functions/list/event-invoke-config/list",
            b"",
            "ListFunctionEventInvokeConfigs",
        ),
    ],
)
def test_a_path_names_its_operation(method: str, path: bytes, query: bytes, expected: str) -> None:
    assert LAMBDA.match(method, path, query).operation.name == expected


@pytest.mark.parametrize(
    ("segment", "label"),
    [
        (ARN.encode(), ARN),
        (ARN.replace(":", "%3A").encode(), ARN),
        (ARN.replace(":", "%3a").encode(), ARN),
        (b"a%2Fb%2Finvocations", "a/b/invocations"),
        (b"a%252Fb", "a%2Fb"),
        (b"a+b", "a+b"),
        (b"%E2%82%AC", "€"),
    ],
)
def test_a_segment_is_split_raw_and_decoded_once(segment: bytes, label: str) -> None:
    match = LAMBDA.match("POST", b"/2015-03-31/functions/" + segment + b"/invocations", b"")
    assert match.operation.name == "Invoke"
    assert match.labels == {"FunctionName": label}


def test_a_query_keeps_every_value_in_order() -> None:
    match = LAMBDA.match(
        "DELETE", b"/2017-03-31/tags/x", b"tagKeys=b&tagKeys=a%26b&tagKeys=c+d&&empty"
    )
    assert match.query == {"tagKeys": ["b", "a&b", "c d"], "empty": [""]}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", b"/"),
        ("GET", b""),
        ("GET", b"/2015-03-31"),
        ("PATCH", b"/2015-03-31/functions"),
        ("post", b"/2015-03-31/functions"),
        ("POST", b"/2015-03-31/functions//invocations"),
        ("POST", b"/2015-03-31/functions/a/b/invocations"),
        ("GET", b"/" + b"a/" * 10_000),
        ("GET", b"/\xff" * 50),
    ],
)
def test_a_path_of_no_operation_is_unknown(method: str, path: bytes) -> None:
    with pytest.raises(UnknownOperationException) as refused:
        LAMBDA.match(method, path, b"")
    assert refused.value.status == 404
    assert len(refused.value.message) < 2_000


@pytest.mark.parametrize("segment", [b"%", b"%2", b"%zz", b"a%", b"%ff", b"%ed%a0%80", b"\xc3("])
def test_a_segment_that_cannot_be_decoded_is_refused(segment: bytes) -> None:
    with pytest.raises(SerializationException):
        LAMBDA.match("GET", b"/2015-03-31/functions/" + segment, b"")
    with pytest.raises(SerializationException):
        LAMBDA.match("GET", b"/2015-03-31/functions", b"Marker=" + segment)


def test_a_flood_of_query_fields_is_refused() -> None:
    with pytest.raises(SerializationException, match="more than 1000 fields"):
        LAMBDA.match("GET", b"/2015-03-31/functions", b"a&" * 500_000)


@pytest.mark.parametrize(
    "target", ["", "Logs_20140328.", "Logs_20140328.Nothing", "GetLogEvents", "X.GetLogEvents"]
)
def test_a_target_of_no_operation_is_unknown(target: str) -> None:
    with pytest.raises(UnknownOperationException):
        LOGS.match_target(target)


def test_a_target_names_its_operation() -> None:
    assert LOGS.match_target("Logs_20140328.DescribeLogGroups").name == "DescribeLogGroups"


_SEGMENTS = st.one_of(
    st.sampled_from([b"2015-03-31", b"functions", b"layers", b"tags", b"invocations", b"%2F", b""]),
    st.binary(max_size=12),
)


@quick(400)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "\x00", "GET "]),
    segments=st.lists(_SEGMENTS, max_size=9),
    query=st.binary(max_size=40),
)
def test_no_path_is_anything_but_found_or_refused(
    method: str, segments: list[bytes], query: bytes
) -> None:
    path = b"/" + b"/".join(segments)
    try:
        found = LAMBDA.match(method, path, query).operation.http["method"]
    except ApiError as refused:
        found = refused.status
    assert found in {method, 400, 404}
