"""REST APIs of API Gateway let in whom a function of their owner's lets in."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.apis import (
    AUTHORIZER,
    PROXY,
    ApiUrl,
    RestApi,
    arn_of,
    host_of,
    path_of,
    permit_apis,
    policy,
)
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, await_active, create
from support.node import Node

UNAUTHORIZED = (401, {"message": "Unauthorized"}, "UnauthorizedException")
DENIED = (
    403,
    {"Message": "User is not authorized to access this resource"},
    "AccessDeniedException",
)
EXPLICITLY = (
    403,
    {"Message": "User is not authorized to access this resource with an explicit deny"},
    "AccessDeniedException",
)
FAILED = (500, {"message": None}, "AuthorizerConfigurationException")


@pytest.fixture(scope="module")
def functions(lambda_client: Any) -> Iterator[tuple[str, str]]:
    """The one behind the API, and the one that decides."""
    names = ("behind-a-guarded-rest-api", "guards-a-rest-api")
    for name, code in zip(names, (PROXY, AUTHORIZER), strict=True):
        create(lambda_client, name, code)
    for name in names:
        await_active(lambda_client, name)
        permit_apis(lambda_client, name)
    yield names
    for name in names:
        lambda_client.delete_function(FunctionName=name)


@pytest.fixture
def api(clients: Clients) -> Iterator[RestApi]:
    made = RestApi(clients("apigateway"))
    yield made
    made.delete()


def guarded(
    node: Node, api: RestApi, functions: tuple[str, str], kind: str, **settings: Any
) -> ApiUrl:
    """`/pets/{id}` and `/food` behind an authorizer."""
    behind, guard = functions
    given = {"authorizerUri": path_of(arn_of(guard)), **settings}
    authorizer = api.authorizer(kind, **given)
    wanted = {"authorizationType": "CUSTOM", "authorizerId": authorizer}
    api.method("ANY", "/pets/{id}", path_of(arn_of(behind)), **wanted)
    api.method("GET", "/food", path_of(arn_of(behind)), **wanted)
    api.deploy(variables={"color": "red"})
    return ApiUrl(node, host_of(node, api.id))


def ask(url: ApiUrl, path: str, result: Any, header: str = "X-Asked") -> Any:
    return url.ask(path, headers=[(header, json.dumps({"result": result}))])


def told(answer: Any) -> tuple[int, Any, str | None]:
    assert answer.header("content-type") == "application/json"
    return answer.status, answer.value, answer.header("x-amzn-errortype")


@pytest.fixture
def token_url(node: Node, api: RestApi, functions: tuple[str, str]) -> ApiUrl:
    return guarded(
        node, api, functions, "TOKEN",
        identitySource="method.request.header.X-Asked",
        identityValidationExpression="^[{].*[}]$",
        authorizerResultTtlInSeconds=300,
    )  # fmt: skip


@pytest.fixture
def request_url(node: Node, api: RestApi, functions: tuple[str, str]) -> ApiUrl:
    return guarded(
        node, api, functions, "REQUEST",
        identitySource="method.request.header.X-Asked, method.request.querystring.who",
        authorizerResultTtlInSeconds=0,
    )  # fmt: skip


def test_a_token_is_asked_about(api: RestApi, token_url: ApiUrl) -> None:
    answer = ask(token_url, "/prod/pets/7", policy("Allow"))
    assert answer.status == 200
    known = answer.value["requestContext"]["authorizer"]
    assert isinstance(known.pop("integrationLatency"), int)
    assert known.keys() == {"principalId", "event", "call"}
    assert known["principalId"] == "me"
    assert json.loads(known["event"]) == {
        "type": "TOKEN",
        "methodArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/prod/GET/pets/7",
        "authorizationToken": json.dumps({"result": policy("Allow")}),
    }


def test_a_request_is_asked_about_as_a_whole(api: RestApi, request_url: ApiUrl) -> None:
    answer = ask(request_url, "/prod/pets/7?who=me", policy("Allow"))
    assert answer.status == 200
    event = json.loads(answer.value["requestContext"]["authorizer"]["event"])
    assert event.keys() == {
        "type", "methodArn", "resource", "path", "httpMethod", "headers", "multiValueHeaders",
        "queryStringParameters", "multiValueQueryStringParameters", "pathParameters",
        "stageVariables", "requestContext",
    }  # fmt: skip
    assert event["type"] == "REQUEST"
    assert event["methodArn"].endswith(f"{api.id}/prod/GET/pets/7")
    assert (event["resource"], event["pathParameters"]) == ("/pets/{id}", {"id": "7"})
    assert event["stageVariables"] == {"color": "red"}
    assert "authorizer" not in event["requestContext"]
    shown = answer.value["requestContext"]
    assert shown.keys() == event["requestContext"].keys() | {"authorizer"}


def test_values_of_the_context_are_texts(request_url: ApiUrl) -> None:
    context = {"text": "a", "number": 1.5, "truth": True}
    answer = ask(request_url, "/prod/food?who=me", {**policy("Allow"), "context": context})
    known = answer.value["requestContext"]["authorizer"]
    del known["integrationLatency"]
    assert known == {"principalId": "me", "text": "a", "number": "1.5", "truth": "true"}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (policy("Deny"), EXPLICITLY),
        (policy("Allow", "arn:aws:execute-api:*:*:*/prod/PUT/*"), DENIED),
        ({"isAuthorized": True}, FAILED),
        ("yes", FAILED),
        ({**policy("Allow"), "context": {"list": []}}, FAILED),
        ({**policy("Allow"), "context": {"long": "x" * 8_192}}, FAILED),
    ],
)
def test_whoever_is_not_let_in_is_told_as_on_aws(
    request_url: ApiUrl, result: Any, expected: Any
) -> None:
    assert told(ask(request_url, "/prod/food?who=me", result)) == expected


def test_a_long_path_is_matched_and_a_longer_one_refused(request_url: ApiUrl) -> None:
    wide = {**policy("Allow", "arn:aws:execute-api:*/prod/GET/pets/*b"), "context": {}}
    assert ask(request_url, f"/prod/pets/{'a' * 5_000}b?who=me", wide).status == 200
    assert told(ask(request_url, f"/prod/pets/{'a' * 5_000}?who=me", wide)) == DENIED
    answer = ask(request_url, f"/prod/pets/{'a' * 11_000}?who=me", wide)
    assert (answer.status, answer.value) == (413, {"message": "Request Too Long"})


@pytest.mark.parametrize(
    ("message", "expected"), [("Unauthorized", UNAUTHORIZED), ("other", FAILED)]
)
def test_one_failure_of_the_function_has_a_meaning(
    request_url: ApiUrl, message: str, expected: Any
) -> None:
    headers = [("X-Asked", json.dumps({"raise": message}))]
    assert told(request_url.ask("/prod/food?who=me", headers=headers)) == expected


def test_without_an_identity_nobody_is_asked(request_url: ApiUrl) -> None:
    assert told(ask(request_url, "/prod/food", policy("Allow"))) == UNAUTHORIZED
    assert told(request_url.ask("/prod/food?who=me")) == UNAUTHORIZED


def test_a_token_must_look_like_one(token_url: ApiUrl) -> None:
    assert told(token_url.ask("/prod/food")) == UNAUTHORIZED
    assert told(token_url.ask("/prod/food", headers=[("X-Asked", "no object")])) == UNAUTHORIZED


def call_of(answer: Any) -> str:
    assert answer.status == 200
    return str(answer.value["requestContext"]["authorizer"]["call"])


def test_an_answer_is_remembered_and_its_policy_applied_anew(token_url: ApiUrl) -> None:
    wide, narrow = policy("Allow"), policy("Allow", "arn:aws:execute-api:*:*:*/prod/GET/food")
    first = call_of(ask(token_url, "/prod/food", wide))
    assert call_of(ask(token_url, "/prod/pets/7", wide)) == first
    assert call_of(ask(token_url, "/prod/food", narrow)) != first
    assert told(ask(token_url, "/prod/pets/7", narrow)) == DENIED


def test_what_is_not_to_be_remembered_is_asked_again(request_url: ApiUrl) -> None:
    calls = [call_of(ask(request_url, "/prod/food?who=me", policy("Allow"))) for _ in range(2)]
    assert calls[0] != calls[1]


def test_an_authorizer_that_changes_forgets(api: RestApi, token_url: ApiUrl) -> None:
    first = call_of(ask(token_url, "/prod/food", policy("Allow")))
    [authorizer] = api.client.get_authorizers(restApiId=api.id)["items"]
    change = {"op": "replace", "path": "/authorizerResultTtlInSeconds", "value": "0"}
    api.client.update_authorizer(
        restApiId=api.id, authorizerId=authorizer["id"], patchOperations=[change]
    )
    assert call_of(ask(token_url, "/prod/food", policy("Allow"))) != first


def test_the_functions_policy_decides_whether_an_authorizer_may_ask(
    node: Node, api: RestApi, functions: tuple[str, str], make_function: MakeFunction,
    lambda_client: Any,
) -> None:  # fmt: skip
    name = make_function(AUTHORIZER)
    url = guarded(
        node, api, (functions[0], name), "TOKEN", identitySource="method.request.header.A"
    )
    assert told(ask(url, "/prod/food", policy("Allow"), header="A")) == FAILED
    permit_apis(lambda_client, name, f"{api.id}/authorizers/*")
    assert ask(url, "/prod/food", policy("Allow"), header="A").status == 200


@pytest.mark.parametrize("kind", ["AWS_IAM", "COGNITO_USER_POOLS"])
def test_what_is_not_checked_lets_nobody_in(
    node: Node, api: RestApi, functions: tuple[str, str], kind: str
) -> None:
    uri = path_of(arn_of(functions[0]))
    api.method("GET", "/", uri, authorizationType=kind)
    api.method("GET", "/expression", uri, authorizationType="CUSTOM", authorizerId=api.authorizer(
        "TOKEN", authorizerUri=path_of(arn_of(functions[1])),
        identitySource="method.request.header.A", identityValidationExpression="(a|b)+",
    ))  # fmt: skip
    api.deploy()
    url = ApiUrl(node, host_of(node, api.id))
    answer = url.ask("/prod/")
    assert (answer.status, answer.value) == (
        501,
        {"message": f"Route 'GET /' wants {kind} authorization, which lambdabox does not do."},
    )
    answer = url.ask("/prod/expression", headers=[("A", "a")])
    assert answer.status == 501
    assert "'(a|b)+'" in answer.value["message"]


def test_an_imported_definition_is_guarded(
    node: Node, clients: Clients, functions: tuple[str, str]
) -> None:
    guard, uri = path_of(arn_of(functions[1])), path_of(arn_of(functions[0]))
    document = {
        "openapi": "3.0.1",
        "info": {"title": "t", "description": "d", "version": "1"},
        "paths": {"/a": {"get": {
            "responses": {}, "security": [{"own": []}],
            "x-amazon-apigateway-integration": {
                "type": "aws_proxy", "httpMethod": "POST", "uri": uri},
        }}},
        "components": {"securitySchemes": {"own": {
            "type": "apiKey", "name": "X-Asked", "in": "header",
            "x-amazon-apigateway-authorizer": {"type": "token", "authorizerUri": guard},
        }}},
    }  # fmt: skip
    gateway = clients("apigateway")
    id = gateway.import_rest_api(body=json.dumps(document).encode())["id"]
    gateway.create_deployment(restApiId=id, stageName="prod")
    url = ApiUrl(node, host_of(node, id))
    assert told(url.ask("/prod/a")) == UNAUTHORIZED
    assert ask(url, "/prod/a", policy("Allow")).status == 200
    gateway.delete_rest_api(restApiId=id)
