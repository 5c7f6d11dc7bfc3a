"""A walk over every operation of the service's model, with requests that only look like its own."""

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import botocore.session
import pytest
from botocore.model import OperationModel, Shape
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.http import address, send
from support.node import Node

ARN = "arn:aws:lambda:us-east-1:999988887777:function:f"

LAMBDA = botocore.session.get_session().get_service_model("lambda")
OPERATIONS = [LAMBDA.operation_model(name) for name in LAMBDA.operation_names]
AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=999988887777/20260101/us-east-1/lambda/aws4_request, "
    "SignedHeaders=host, Signature=0"
)
DEEPEST = 4

JUNK: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=5), st.none(), max_size=2),
)
WORDS = st.one_of(
    st.sampled_from(
        ["f", "walk", "$LATEST", "1", "prod", "us-east-1", ARN, f"{ARN}:1", "python3.11",
         "arn:aws:iam::000000000000:role/r", "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==", "", "0", "true"]
    ),
    st.text(max_size=30),
)  # fmt: skip


def values(shape: Shape, depth: int = 0) -> st.SearchStrategy[Any]:
    """Mostly values of the shape's type, and sometimes anything."""
    return st.one_of(_typed(shape, depth), _typed(shape, depth), JUNK)


def _typed(shape: Shape, depth: int) -> st.SearchStrategy[Any]:
    if depth > DEEPEST:
        return st.none()
    match shape.type_name:
        case "structure":
            members = {name: values(m, depth + 1) for name, m in shape.members.items()}
            required = {name: members.pop(name) for name in shape.required_members}
            return st.fixed_dictionaries(required, optional=members)
        case "list":
            return st.lists(values(shape.member, depth + 1), max_size=3)
        case "map":
            return st.dictionaries(WORDS, values(shape.value, depth + 1), max_size=3)
        case "string" if shape.enum:
            return st.sampled_from(shape.enum)
        case "integer" | "long":
            return st.integers(-1, 100_000)
        case "boolean":
            return st.booleans()
        case "float" | "double" | "timestamp":
            return st.floats(-1, 1e9)
        case _:
            return WORDS


@st.composite
def requests(draw: st.DrawFn) -> tuple[OperationModel, str, str, bytes, dict[str, str]]:
    operation = draw(st.sampled_from(OPERATIONS))
    path, _, fixed = operation.http["requestUri"].partition("?")
    shape = operation.input_shape
    members: dict[str, Any] = draw(_typed(shape, 0)) if shape is not None else {}
    query, headers, document = [fixed] if fixed else [], {}, {}
    for name, value in members.items():
        serialization = shape.members[name].serialization
        text = value if isinstance(value, str) else json.dumps(value)
        wire = serialization.get("name", name)
        match serialization.get("location"):
            case "uri":
                path = path.replace(f"{{{wire}}}", quote(text, safe=""))
            case "querystring":
                query.append(urlencode({wire: text}))
            case "header":
                headers[wire] = text.encode("ascii", "replace").decode().translate(_NO_CONTROL)
            case _:
                document[wire] = value
    body = json.dumps(document).encode() if document else draw(st.sampled_from([b"", b"{}"]))
    if draw(st.integers(0, 9)) == 0:
        body = draw(st.binary(max_size=50))
    return operation, path, "&".join(query), body, headers


_NO_CONTROL = dict.fromkeys((*range(32), 127), "_")


@pytest.fixture(scope="module")
def connection(node: Node) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(*address(node), timeout=20)
    yield connection
    connection.close()


@settings(
    max_examples=800,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
@given(request=requests())
def test_no_request_for_any_operation_is_an_internal_error(
    connection: http.client.HTTPConnection,
    request: tuple[OperationModel, str, str, bytes, dict[str, str]],
) -> None:
    operation, path, query, body, headers = request
    target = f"{path}?{query}" if query else path
    connection.request(
        operation.http["method"], target, body, {**headers, "Authorization": AUTHORIZATION}
    )
    response = connection.getresponse()
    text = response.read()
    assert response.headers["x-amzn-requestid"]
    assert response.status in {*range(200, 300), *range(400, 500), 501}
    if response.status >= 400:
        assert response.headers["x-amzn-errortype"]
        document = json.loads(text)
        assert isinstance(document, dict)
        assert document.get("message", document.get("Message"))


def test_the_walk_left_no_traceback_in_the_nodes_log(node: Node) -> None:
    assert send(node, "GET", "/2016-08-19/account-settings").status == 200
    assert "Traceback" not in node.log
