"""Requests as botocore sends them, responses as botocore reads them, and values to carry.

The clients' own serialisers and parsers judge ours, so that a misreading of the service
model cannot hide on both sides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import OperationModel as ClientOperation
from botocore.model import ServiceModel as ClientModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lambdabox.api import patterns, wording
from lambdabox.api.model import ServiceApi
from lambdabox.api.serialize import WireResponse
from lambdabox.api.service_model import OperationModel, Shape

LAMBDA = ServiceApi.load("lambda")
LOGS = ServiceApi.load("logs")


@cache
def client_model(service_name: str) -> ClientModel:
    """The same model as botocore itself reads it."""
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    return ClientModel(loader.load_service_model(service_name, "service-2"), service_name)


def error_names(api: ServiceApi) -> list[str]:
    return sorted(name for name, traits in api.service.shapes.items() if traits.get("exception"))


def _as_client(operation: OperationModel) -> ClientOperation:
    for api in (LAMBDA, LOGS):
        if operation.name in api.operation_names and api.operation(operation.name) is operation:
            return client_model(api.service.service_name).operation_model(operation.name)
    raise LookupError(operation.name)


def quick(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: bytes
    query: bytes
    headers: Mapping[str, str]
    body: bytes


def request_of(operation: OperationModel, params: Mapping[str, Any]) -> Request:
    """What botocore sends for `params`, which it does not validate here."""
    sent = _as_client(operation)
    serializer = create_serializer(sent.service_model.metadata["protocol"], False)
    request = serializer.serialize_to_request(dict(params), sent)
    prepare_request_dict(request, "http://localhost")
    prepared = create_request_object(request).prepare()
    url = urlsplit(prepared.url)
    body = prepared.body or b""
    headers = {
        name.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for name, value in prepared.headers.items()
    }
    encoded = body.encode() if isinstance(body, str) else bytes(body)
    return Request(prepared.method, url.path.encode(), url.query.encode(), headers, encoded)


def received(api: ServiceApi, request: Request) -> dict[str, Any]:
    match = api.match(request.method, request.path, request.query)
    return api.parse(match, request.headers, request.body)


def read_by_client(
    operation: OperationModel, response: WireResponse, shape: Shape | None
) -> dict[str, Any]:
    called = _as_client(operation)
    if shape is operation.output_shape:
        read_as = called.output_shape
    else:
        read_as = None if shape is None else called.service_model.shape_for(shape.name)
    streams = called.has_streaming_output and read_as is called.output_shape
    raw = {
        "status_code": response.status,
        "headers": HeadersDict({n.decode(): v.decode() for n, v in response.headers}),
        "body": BytesIO(response.body) if streams else response.body,
        "context": {"operation_name": operation.name},
    }
    parser = create_parser(called.service_model.metadata["protocol"])
    parsed: dict[str, Any] = parser.parse(raw, read_as)
    return {
        name: value.read() if isinstance(value, BytesIO) else value
        for name, value in parsed.items()
        if name != "ResponseMetadata"
    }


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_HEADER_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
_TIMES = st.datetimes(
    datetime.fromisoformat("1970-01-02"),
    datetime.fromisoformat("2099-01-01"),
    timezones=st.just(UTC),
)


@cache
def inputs(shape: Shape) -> st.SearchStrategy[Any]:
    """Values that satisfy every constraint of `shape`."""
    match shape.type_name:
        case "structure":
            return _structures(shape, inputs)
        case "list":
            in_query = shape.serialization.get("location") == "querystring"
            least = shape.metadata.get("min", 1 if in_query else 0)
            most = min(shape.metadata.get("max", 3), 3)
            return st.lists(inputs(shape.member), min_size=least, max_size=max(least, most))
        case "map":
            least = shape.metadata.get("min", 0)
            return st.dictionaries(
                inputs(shape.key), inputs(shape.value), min_size=least, max_size=2
            )
        case "string":
            return _valid_text(shape)
        case "timestamp":
            return _TIMES.map(lambda moment: moment.replace(microsecond=0))
        case _:
            return outputs(shape)


@cache
def outputs(shape: Shape) -> st.SearchStrategy[Any]:
    """Values of the type of `shape`; a service's own output obeys no constraint."""
    match shape.type_name:
        case "structure":
            return _structures(shape, outputs)
        case "list":
            return st.lists(outputs(shape.member), max_size=2)
        case "map":
            return st.dictionaries(_TEXT, outputs(shape.value), max_size=2)
        case "string":
            in_header = shape.serialization.get("location") == "header"
            return _HEADER_TEXT if in_header else _TEXT
        case "timestamp":
            return _TIMES
        case "blob":
            return st.binary(max_size=20)
        case "boolean":
            return st.booleans()
        case "integer" | "long":
            bound = 2**31 - 1
            least, most = shape.metadata.get("min", -bound), shape.metadata.get("max", bound)
            return st.integers(least, most)
        case _:
            least, most = shape.metadata.get("min", -1e9), shape.metadata.get("max", 1e9)
            return st.floats(float(least), float(most))


def _structures(shape: Shape, values: Any) -> st.SearchStrategy[dict[str, Any]]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, member in shape.members.items():
        if member.serialization.get("eventstream"):
            continue
        chosen = required if name in shape.required_members else optional
        chosen[name] = values(member)
    return st.fixed_dictionaries(required, optional=optional)


def _valid_text(shape: Shape) -> st.SearchStrategy[str]:
    if shape.metadata.get("enum"):
        return st.sampled_from(wording.enum_values(shape))
    location = shape.serialization.get("location")
    in_header = location == "header"
    least = max(shape.metadata.get("min", 0), 1 if location == "uri" else 0)
    most = shape.metadata.get("max", 1_000)
    pattern = shape.metadata.get("pattern")
    if pattern is None or pattern in {".*", r"[\s\S]*"}:
        alphabet = st.characters(codec="utf-8", exclude_characters="\n\r\u0085\u2028\u2029")
        if in_header:
            alphabet = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
        return st.text(alphabet, min_size=least, max_size=min(most, least + 12))
    text = st.from_regex(patterns.compiled(pattern), fullmatch=True)
    return text.filter(lambda value: least <= len(value) <= most)
