"""What passes on its way to API Gateway is learnt from, completed and told with our address."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from support.clock import ManualClock

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.arn import Scope
from lambdabox.events.api_definitions import ApiDefinitions
from lambdabox.events.api_gateway import ApiEvents
from lambdabox.events.relayed import Reads, ServiceAnswer, ServiceRequest

pytestmark = pytest.mark.anyio

HOME = Scope("000000000000", "us-east-1")
CALLER = Scope("111111111111", "eu-west-1")
FUNCTION = "arn:aws:lambda:eu-west-1:111111111111:function:f"
ENDPOINT = "https://abc.execute-api.eu-west-1.amazonaws.com"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Service:
    """An API Gateway, as an AwsServices and behind the relay. Operations in `refused` fail."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any], Scope]] = []
        self.refused: set[str] = set()
        definitions = ApiDefinitions(self, ManualClock(), HOME)
        self.find = definitions.find
        self.events = ApiEvents(definitions, self)

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        self.calls.append((operation, parameters, scope))
        if operation in self.refused:
            raise AwsCallError(service, operation, "BadRequestException", "no")
        return {"IntegrationId": "i1", "ProtocolType": "HTTP"}

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _, _ in self.calls]

    async def ask(
        self, method: str, path: str, document: Any = None, *, answer: Any = None, status: int = 200
    ) -> ServiceAnswer:
        request = request_of(method, path, document)

        async def forward(_request: ServiceRequest) -> ServiceAnswer:
            body = json.dumps(answer or {}).encode()
            return ServiceAnswer(status, [(b"content-length", b"%d" % len(body))], body)

        return await self.events.handle(request, forward)


def request_of(method: str, path: str, document: Any = None) -> ServiceRequest:
    body = json.dumps(document).encode() if document is not None else None
    headers = {"host": "127.0.0.1:4566"}
    return ServiceRequest("apigateway", method, path, "", headers, CALLER, "id", "127.0.0.1", body)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v2/apis", Reads.BODY),
        ("POST", "/restapis", Reads.BODY),
        ("POST", "/v2/apis/a/routes", Reads.ANSWER),
        ("PUT", "/restapis/a/resources/b/methods/GET", Reads.ANSWER),
        ("GET", "/v2/apis", Reads.ANSWER),
        ("GET", "/v2/vpclinks", Reads.NOTHING),
        ("GET", "/restapisx", Reads.NOTHING),
        ("GET", "/", Reads.NOTHING),
    ],
)
def test_it_reads_what_is_about_apis(method: str, path: str, expected: Reads) -> None:
    assert Service().events.reads(request_of(method, path)) is expected


async def test_addresses_lead_to_the_port_that_was_asked() -> None:
    made = {"apiId": "abc", "apiEndpoint": ENDPOINT}
    answer = await Service().ask("GET", "/v2/apis", answer={"items": [made, made]})
    address = "http://abc.execute-api.eu-west-1.localhost:4566"
    assert [api["apiEndpoint"] for api in json.loads(answer.body)["items"]] == [address] * 2
    assert answer.headers == [(b"content-length", b"%d" % len(answer.body))]
    answer = await Service().ask("GET", "/v2/apis/abc/tags", answer=made)
    assert json.loads(answer.body) == made


async def test_a_target_is_given_a_route_and_a_stage() -> None:
    service = Service()
    given = {"target": FUNCTION, "routeKey": "GET /a", "credentialsArn": "role"}
    await service.ask("POST", "/v2/apis", given, answer={"apiId": "abc"})
    assert service.calls == [
        (
            "CreateIntegration",
            {
                "ApiId": "abc",
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": FUNCTION,
                "PayloadFormatVersion": "2.0",
                "CredentialsArn": "role",
            },
            CALLER,
        ),
        (
            "CreateRoute",
            {"ApiId": "abc", "RouteKey": "GET /a", "Target": "integrations/i1"},
            CALLER,
        ),
        ("CreateStage", {"ApiId": "abc", "StageName": "$default", "AutoDeploy": True}, CALLER),
    ]


async def test_a_target_that_is_refused_leaves_no_api() -> None:
    service = Service()
    service.refused = {"CreateRoute"}
    with pytest.raises(AwsCallError):
        await service.ask("POST", "/v2/apis", {"target": FUNCTION}, answer={"apiId": "abc"})
    assert service.operations == ["CreateIntegration", "CreateRoute", "DeleteApi"]


async def test_what_the_service_refuses_teaches_nothing() -> None:
    service = Service()
    given = {"target": FUNCTION}
    answer = await service.ask("POST", "/v2/apis", given, answer={"apiId": "abc"}, status=400)
    assert (answer.status, service.calls) == (400, [])


@pytest.mark.parametrize("document", [None, [], "text", {"apiId": None}])
async def test_an_answer_without_an_id_is_passed_on(document: Any) -> None:
    answer = await Service().ask("POST", "/v2/apis", {"target": FUNCTION}, answer=document)
    assert answer.status == 200


async def test_whose_an_api_is_is_learnt_and_forgotten_when_it_is_deleted() -> None:
    service = Service()
    await service.ask("GET", "/v2/apis/abc/routes")
    await service.find("abc")
    assert {scope for _, _, scope in service.calls} == {CALLER}
    await service.ask("DELETE", "/v2/apis/abc/routes/r1")
    await service.ask("DELETE", "/v2/apis/abc")
    service.calls.clear()
    await service.find("abc")
    assert {scope for _, _, scope in service.calls} == {HOME}
