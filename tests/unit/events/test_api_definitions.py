"""What an API is, is read as a whole, remembered for a moment, and never kept stale."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from support.clock import ManualClock

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.arn import Scope
from lambdabox.domain.http_apis import ApiKind
from lambdabox.domain.urls import Cors
from lambdabox.events.api_definitions import REMEMBERED_SECONDS, ApiDefinitions, Owner

pytestmark = pytest.mark.anyio

HOME = Scope("000000000000", "us-east-1")
OTHER = Scope("111111111111", "eu-west-1")
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"
PATH = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
MISSING = AwsCallError("apigatewayv2", "GetApi", "NotFoundException", "Invalid API identifier")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Gateway:
    """An AwsServices: an API Gateway with pages of one item. Values are answers or errors."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"GetApi": MISSING, "GetRestApi": MISSING}
        self.calls: list[tuple[str, Scope]] = []
        self.held: anyio.Event | None = None

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        self.calls.append((operation, scope))
        answer = self.answers[operation]
        if self.held is not None:
            await self.held.wait()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, dict):
            return answer
        items, token = ("items", "position") if service == "apigateway" else ("Items", "NextToken")
        index = int(parameters.get(token, 0))
        more = {token: str(index + 1)} if index + 1 < len(answer) else {}
        return {items: answer[index : index + 1], **more}

    def has_http(self) -> None:
        self.answers |= {
            "GetApi": {
                "ProtocolType": "HTTP",
                "CorsConfiguration": {"AllowOrigins": ["*"], "MaxAge": 5},
            },
            "GetRoutes": [
                {"RouteKey": "GET /a", "Target": "integrations/one"},
                {"RouteKey": "$default", "Target": "integrations/two"},
                {"RouteKey": "PUT /b", "AuthorizationType": "JWT"},
            ],
            "GetIntegrations": [
                {
                    "IntegrationId": "one",
                    "IntegrationType": "AWS_PROXY",
                    "IntegrationUri": FUNCTION,
                    "PayloadFormatVersion": "2.0",
                    "TimeoutInMillis": 1500,
                },
                {
                    "IntegrationId": "two",
                    "IntegrationType": "HTTP_PROXY",
                    "IntegrationUri": "http://example.com",
                },
            ],
            "GetStages": [
                {"StageName": "$default"},
                {"StageName": "v", "StageVariables": {"a": "b"}},
            ],
        }


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def definitions(gateway: Gateway, clock: ManualClock) -> ApiDefinitions:
    return ApiDefinitions(gateway, clock, HOME)


async def test_an_http_api_is_read_with_all_its_pages(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    gateway.has_http()
    api = await definitions.find("a1")
    assert api is not None
    first, default, guarded = api.routes
    assert (first.key, default.key, guarded.key) == ("GET /a", "$default", "PUT /b")
    assert first.integration is not None
    assert default.integration is not None
    assert first.integration.function_arn == FUNCTION
    assert (first.integration.payload, first.integration.timeout_seconds) == ("2.0", 1.5)
    assert default.integration.function_arn == ""
    assert guarded.integration is None
    assert guarded.authorization == "JWT"
    assert {name: stage.variables for name, stage in api.stages.items()} == {
        "$default": {},
        "v": {"a": "b"},
    }
    assert api.cors == Cors(allow_origins=("*",), max_age_seconds=5)


async def test_a_rest_api_is_read_with_all_its_resources(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    proxy = {"type": "AWS_PROXY", "uri": PATH, "timeoutInMillis": 60_000, "credentials": "role"}
    gateway.answers |= {
        "GetRestApi": {"binaryMediaTypes": ["image/png"]},
        "GetResources": [
            {"id": "root", "path": "/"},
            {"id": "r1", "path": "/a", "resourceMethods": {
                "GET": {"authorizationType": "NONE", "methodIntegration": proxy},
                "PUT": {"authorizationType": "NONE", "apiKeyRequired": True},
            }},
        ],
        "GetStages": {"item": [{"stageName": "prod", "deploymentId": "d1"}]},
        "GetAuthorizers": [],
    }  # fmt: skip
    api = await definitions.find("a1")
    assert api is not None
    assert api.kind is ApiKind.REST
    get, put = api.routes
    assert (get.key, get.resource_id, put.authorization) == ("GET /a", "r1", "API_KEY")
    assert get.integration is not None
    assert get.integration.function_arn == FUNCTION
    assert (get.integration.timeout_seconds, get.integration.acts_in_role) == (29.0, True)
    assert api.stages["prod"].deployment_id == "d1"
    assert api.binary_types == ["image/png"]


async def test_an_api_is_read_again_after_a_moment(
    gateway: Gateway, clock: ManualClock, definitions: ApiDefinitions
) -> None:
    gateway.has_http()
    await definitions.find("a1")
    count = len(gateway.calls)
    await definitions.find("a1")
    assert len(gateway.calls) == count
    clock.advance(REMEMBERED_SECONDS)
    await definitions.find("a1")
    assert len(gateway.calls) == 2 * count


async def test_an_api_is_read_once_for_all_who_ask_together(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    gateway.has_http()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(definitions.find, "a1")
    assert [operation for operation, _ in gateway.calls].count("GetApi") == 1


async def test_a_write_is_seen_at_once_and_even_while_the_api_is_read(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    gateway.has_http()
    gateway.held = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(definitions.find, "a1")
        await anyio.wait_all_tasks_blocked()
        gateway.answers["GetRoutes"] = []
        definitions.forget("a1")
        gateway.held.set()
    gateway.held = None
    gateway.answers["GetRoutes"] = [{"RouteKey": "GET /new"}]
    api = await definitions.find("a1")
    assert api is not None
    assert [route.key for route in api.routes] == ["GET /new"]


async def test_an_api_is_looked_for_where_it_was_seen(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    gateway.has_http()
    definitions.learn("a1", Owner(OTHER, ApiKind.HTTP))
    assert await definitions.find("a1", "us-east-1") is None
    api = await definitions.find("a1", "eu-west-1")
    assert api is not None
    assert api.scope == OTHER
    assert {scope for _, scope in gateway.calls} == {OTHER}


async def test_an_api_that_nobody_knows_is_not_there_for_a_moment(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    assert await definitions.find("a1") is None
    assert await definitions.find("a1", "any.thing") is None
    assert gateway.calls == [("GetApi", HOME), ("GetRestApi", HOME)]
    assert await definitions.find("../x") is None
    assert len(gateway.calls) == 2


async def test_trouble_is_told_and_not_remembered(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    gateway.answers["GetApi"] = AwsCallError("apigatewayv2", "GetApi", "Unreachable", "nobody")
    with pytest.raises(AwsCallError):
        await definitions.find("a1")
    gateway.has_http()
    assert await definitions.find("a1") is not None


async def test_an_api_that_speaks_websockets_is_none_of_ours(
    gateway: Gateway, definitions: ApiDefinitions
) -> None:
    gateway.has_http()
    gateway.answers["GetApi"] = {"ProtocolType": "WEBSOCKET"}
    assert await definitions.find("a1") is None
