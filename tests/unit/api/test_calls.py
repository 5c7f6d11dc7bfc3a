"""Operations that are called from inside the node, checked as if they came over HTTP."""

from collections.abc import Mapping
from typing import Any

import pytest

from lambdabox.api.calls import ApiCalls
from lambdabox.api.model import ServiceApi
from lambdabox.api.request import Request
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import NotImplementedException, ValidationException

pytestmark = pytest.mark.anyio

SCOPE = Scope("111122223333", "eu-west-1")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def service() -> ServiceApi:
    return ServiceApi.load("lambda")


async def told(request: Request, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    assert await request.read_body(10) == b""
    return {"scope": request.scope, "id": request.request_id, **parameters}


async def test_a_call_is_of_a_scope_and_has_an_id(service: ServiceApi) -> None:
    calls = ApiCalls(service, {"GetFunction": told})
    parameters = {"FunctionName": "hello"}
    first = await calls.call("GetFunction", SCOPE, parameters)
    second = await calls.call("GetFunction", SCOPE, parameters)
    assert first["scope"] == SCOPE
    assert first["FunctionName"] == "hello"
    assert first["id"] != second["id"]
    named = await calls.call("GetFunction", SCOPE, parameters, request_id="mine")
    assert named["id"] == "mine"


async def test_what_a_client_may_not_send_a_person_may_not_type(service: ServiceApi) -> None:
    calls = ApiCalls(service, {"GetFunction": told})
    with pytest.raises(ValidationException, match="1 validation error detected: Value 'a b'"):
        await calls.call("GetFunction", SCOPE, {"FunctionName": "a b"})
    with pytest.raises(ValidationException, match="must not be null"):
        await calls.call("GetFunction", SCOPE, {})


async def test_an_operation_that_is_not_there_says_so(service: ServiceApi) -> None:
    with pytest.raises(NotImplementedException, match="GetFunction is not implemented"):
        await ApiCalls(service, {}).call("GetFunction", SCOPE, {"FunctionName": "hello"})
