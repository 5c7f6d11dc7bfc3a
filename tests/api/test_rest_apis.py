"""REST APIs of API Gateway invoke functions by proxy integration."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.apis import PROXY, ApiUrl, RestApi, arn_of, host_of, path_of, permit_apis
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, await_active, create
from support.node import Node

MISSING_TOKEN = (403, {"message": "Missing Authentication Token"})
FAILED = (502, {"message": "Internal server error"})


@pytest.fixture(scope="module")
def function(lambda_client: Any) -> Iterator[str]:
    create(lambda_client, "behind-a-rest-api", PROXY)
    await_active(lambda_client, "behind-a-rest-api")
    permit_apis(lambda_client, "behind-a-rest-api")
    yield "behind-a-rest-api"
    lambda_client.delete_function(FunctionName="behind-a-rest-api")


@pytest.fixture
def api(clients: Clients) -> Iterator[RestApi]:
    made = RestApi(clients("apigateway"))
    yield made
    made.delete()


@pytest.fixture
def url(node: Node, api: RestApi, function: str) -> ApiUrl:
    """`/pets/{id}` for all methods, `/pets` for one, and everything under `/files`."""
    uri = path_of(arn_of(function))
    api.method("ANY", "/pets/{id}", uri)
    api.method("POST", "/pets", uri)
    api.method("GET", "/files/{proxy+}", uri)
    api.deploy(variables={"color": "red"})
    return ApiUrl(node, host_of(node, api.id))


def told(url: ApiUrl, path: str, **options: Any) -> tuple[int, Any]:
    answer = url.ask(path, **options)
    assert answer.header("content-type") == "application/json"
    return answer.status, answer.value


def answer_to(url: ApiUrl, asked: Any) -> Any:
    return url.ask("/prod/pets", method="POST", body=json.dumps(asked))


def test_the_event_is_that_of_a_proxy_integration(url: ApiUrl, api: RestApi) -> None:
    answer = url.ask(
        "/prod/pets/7%20a/?x=1&x=2&y=",
        method="PUT",
        body="hello",
        headers=[("Content-Type", "text/plain"), ("User-Agent", "me"), ("X-Own", "1")],
    )
    assert answer.status == 200
    event = answer.value
    context = event.pop("requestContext")
    trace = event["headers"].pop("X-Amzn-Trace-Id")
    assert event["multiValueHeaders"].pop("X-Amzn-Trace-Id") == [trace]
    headers = {
        "Host": url.host,
        "Content-Type": "text/plain",
        "Content-Length": "5",
        "User-Agent": "me",
        "X-Own": "1",
        "X-Forwarded-For": "127.0.0.1",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Port": url.host.partition(":")[2],
    }
    assert event == {
        "resource": "/pets/{id}",
        "path": "/pets/7 a/",
        "httpMethod": "PUT",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {"x": "2", "y": ""},
        "multiValueQueryStringParameters": {"x": ["1", "2"], "y": [""]},
        "pathParameters": {"id": "7 a"},
        "stageVariables": {"color": "red"},
        "body": "hello",
        "isBase64Encoded": False,
    }
    identity = context.pop("identity")
    assert (identity["sourceIp"], identity["userAgent"]) == ("127.0.0.1", "me")
    assert len(identity) == 12
    assert isinstance(context.pop("requestTimeEpoch"), int)
    assert re.fullmatch(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("requestTime"))
    assert context.pop("requestId") == answer.header("x-amzn-requestid")
    assert re.fullmatch(r"[\w+/]{15}=", context.pop("extendedRequestId"))
    assert context.pop("deploymentId")
    assert context == {
        "accountId": ACCOUNT,
        "apiId": api.id,
        "domainName": f"{api.id}.execute-api.{REGION}.localhost",
        "domainPrefix": api.id,
        "httpMethod": "PUT",
        "path": "/prod/pets/7%20a/",
        "protocol": "HTTP/1.1",
        "resourceId": api.resource("/pets/{id}"),
        "resourcePath": "/pets/{id}",
        "stage": "prod",
    }


def test_the_tree_of_resources_leads_to_methods(url: ApiUrl) -> None:
    event = url.ask("/prod/files/a/b", by_path=True).value
    assert (event["resource"], event["pathParameters"]) == ("/files/{proxy+}", {"proxy": "a/b"})
    for path, method in (("/prod", "GET"), ("/prod/pets", "GET"), ("/prod/files", "GET")):
        assert told(url, path, method=method) == MISSING_TOKEN
    answer = url.ask("/prod/nothing")
    assert answer.header("x-amzn-errortype") == "MissingAuthenticationTokenException"


def test_a_stage_must_be_named(url: ApiUrl) -> None:
    assert told(url, "/test/pets/1") == (403, {"message": "Forbidden"})


def test_headers_of_many_values_are_sent_one_by_one(url: ApiUrl) -> None:
    result = {
        "statusCode": 201,
        "headers": {"X-One": "1"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
        "body": "made",
    }
    answer = answer_to(url, {"result": result})
    assert (answer.status, answer.body, answer.header("x-one")) == (201, b"made", "1")
    assert answer.all("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "asked",
    [{"raise": "no"}, {"result": {"more": 1}}, {"result": "text"}, {"result": {"body": {}}}],
)
def test_what_is_no_response_is_a_502(url: ApiUrl, asked: Any) -> None:
    answer = answer_to(url, asked)
    assert (answer.status, answer.value) == FAILED


def test_a_stages_variable_names_the_function_and_its_policy_decides(
    node: Node, api: RestApi, make_function: MakeFunction, lambda_client: Any
) -> None:
    name = make_function(PROXY)
    api.method("GET", "/", path_of(arn_of("${stageVariables.name}")))
    api.deploy(variables={"name": name})
    url = ApiUrl(node, host_of(node, api.id))
    assert told(url, "/prod") == (500, {"message": "Internal server error"})
    permit_apis(lambda_client, name, f"{api.id}/prod/GET/")
    assert url.ask("/prod").status == 200


def test_a_method_that_wants_a_key_is_refused(node: Node, api: RestApi, function: str) -> None:
    api.method("GET", "/", path_of(arn_of(function)), apiKeyRequired=True)
    api.deploy()
    status, body = told(ApiUrl(node, host_of(node, api.id)), "/prod")
    assert (status, list(body)) == (501, ["message"])


def test_methods_that_are_added_serve_at_once(url: ApiUrl, api: RestApi, function: str) -> None:
    assert told(url, "/prod/new") == MISSING_TOKEN
    api.method("GET", "/new", path_of(arn_of(function)))
    assert url.ask("/prod/new").status == 200
    api.client.delete_stage(restApiId=api.id, stageName="prod")
    assert told(url, "/prod/new") == (403, {"message": "Forbidden"})
