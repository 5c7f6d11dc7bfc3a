"""HTTP APIs of API Gateway invoke functions."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.apis import PROXY, ApiUrl, HttpApi, arn_of, host_of, path_of, permit_apis
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, await_active, create
from support.gate import Gate
from support.node import Node

Open = Callable[..., HttpApi]

NOT_FOUND = (404, {"message": "Not Found"})
FAILED = (500, {"message": "Internal Server Error"})


@pytest.fixture(scope="module")
def function(lambda_client: Any) -> Iterator[str]:
    create(lambda_client, "behind-an-http-api", PROXY)
    await_active(lambda_client, "behind-an-http-api")
    permit_apis(lambda_client, "behind-an-http-api")
    yield "behind-an-http-api"
    lambda_client.delete_function(FunctionName="behind-an-http-api")


@pytest.fixture
def open_api(clients: Clients) -> Iterator[Open]:
    made: list[HttpApi] = []

    def make(**settings: Any) -> HttpApi:
        made.append(HttpApi(clients("apigatewayv2"), **settings))
        return made[-1]

    yield make
    for api in made:
        api.delete()


@pytest.fixture
def quick(node: Node, open_api: Open, function: str) -> ApiUrl:
    """An API of one call: everything leads to the function."""
    return ApiUrl(node, open_api(Target=arn_of(function)).endpoint)


def told(url: ApiUrl, path: str = "/", **options: Any) -> tuple[int, Any]:
    answer = url.ask(path, **options)
    assert answer.header("content-type") == "application/json"
    return answer.status, answer.value


def answer_to(url: ApiUrl, asked: Any, **options: Any) -> Any:
    headers = [("Content-Type", "application/json"), *options.pop("headers", [])]
    return url.ask("/", method="POST", body=json.dumps(asked), headers=headers, **options)


def test_the_event_is_payload_2_0(node: Node, open_api: Open, function: str) -> None:
    api = open_api()
    api.route("POST /pets/{id}/{rest+}", function)
    api.stage("dev", StageVariables={"color": "red"})
    url = ApiUrl(node, api.endpoint)
    answer = url.ask(
        "/dev/pets/7%20a/x/y?a=1&a=2",
        method="POST",
        body="hello",
        headers=[("Cookie", "c1=v1; c2=v2"), ("Content-Type", "text/plain"), ("User-Agent", "me")],
    )
    assert answer.status == 200
    event = answer.value
    context = event.pop("requestContext")
    assert event.pop("headers").keys() == {
        "host", "content-type", "content-length", "user-agent", "x-forwarded-for",
        "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id",
    }  # fmt: skip
    assert event == {
        "version": "2.0",
        "routeKey": "POST /pets/{id}/{rest+}",
        "rawPath": "/dev/pets/7%20a/x/y",
        "rawQueryString": "a=1&a=2",
        "cookies": ["c1=v1", "c2=v2"],
        "queryStringParameters": {"a": "1,2"},
        "body": "hello",
        "pathParameters": {"id": "7 a", "rest": "x/y"},
        "isBase64Encoded": False,
        "stageVariables": {"color": "red"},
    }
    assert isinstance(context.pop("timeEpoch"), int)
    assert re.fullmatch(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000", context.pop("time"))
    assert context.pop("requestId") == answer.header("x-amzn-requestid")
    assert context == {
        "accountId": ACCOUNT,
        "apiId": api.id,
        "domainName": f"{api.id}.execute-api.{REGION}.localhost",
        "domainPrefix": api.id,
        "http": {
            "method": "POST",
            "path": "/dev/pets/7%20a/x/y",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "me",
        },
        "routeKey": "POST /pets/{id}/{rest+}",
        "stage": "dev",
    }


def test_an_integration_may_want_payload_1_0(node: Node, open_api: Open, function: str) -> None:
    api = open_api()
    api.route("GET /a", function, PayloadFormatVersion="1.0")
    api.stage()
    event = ApiUrl(node, api.endpoint).ask("/a?x=1&x=2").value
    context = event.pop("requestContext")
    assert event.pop("headers").keys() == event.pop("multiValueHeaders").keys()
    assert event == {
        "version": "1.0",
        "resource": "/a",
        "path": "/a",
        "httpMethod": "GET",
        "queryStringParameters": {"x": "2"},
        "multiValueQueryStringParameters": {"x": ["1", "2"]},
        "pathParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }
    assert context.keys() == {
        "accountId", "apiId", "authorizer", "domainName", "domainPrefix", "extendedRequestId",
        "httpMethod", "identity", "path", "protocol", "requestId", "requestTime",
        "requestTimeEpoch", "resourceId", "resourcePath", "stage",
    }  # fmt: skip
    assert context["authorizer"] == {"claims": None, "scopes": None}
    assert (context["resourceId"], context["stage"]) == ("GET /a", "$default")


def test_one_call_makes_an_api_that_serves(clients: Clients, quick: ApiUrl, node: Node) -> None:
    assert quick.address == host_of(node, quick.id)
    assert quick.ask("/any/path", method="DELETE").value["routeKey"] == "$default"
    gateway = clients("apigatewayv2")
    shown = gateway.get_api(ApiId=quick.id)["ApiEndpoint"]
    listed = [api["ApiEndpoint"] for api in gateway.get_apis()["Items"]]
    assert shown == quick.address
    assert shown in listed


def test_by_path_it_is_the_same_api_in_a_sandbox(quick: ApiUrl) -> None:
    answer = quick.ask("/a/b?x=1", by_path=True)
    event = answer.value
    assert (event["rawPath"], event["rawQueryString"]) == ("/a/b", "x=1")
    assert event["requestContext"]["apiId"] == quick.id
    assert (answer.header("content-security-policy") or "").startswith("sandbox ")
    assert quick.ask("/a").header("content-security-policy") is None


def test_a_path_of_the_platform_is_the_apis_own(quick: ApiUrl) -> None:
    assert quick.ask("/_lambdabox/health").value["rawPath"] == "/_lambdabox/health"
    path = "/2015-03-31/functions/behind-an-http-api/invocations"
    assert quick.ask(path, method="POST", body=b"{}").value["rawPath"] == path


def test_what_is_changed_serves_at_once(node: Node, open_api: Open, function: str) -> None:
    api = open_api()
    url = ApiUrl(node, api.endpoint)
    assert told(url, "/a") == NOT_FOUND
    route = api.route("GET /a", function)
    assert told(url, "/a") == NOT_FOUND  # there is no stage yet
    api.stage()
    assert url.ask("/a").status == 200
    api.client.update_route(ApiId=api.id, RouteId=route, RouteKey="GET /b")
    assert told(url, "/a") == NOT_FOUND
    assert url.ask("/b").value["routeKey"] == "GET /b"
    api.client.update_api(ApiId=api.id, DisableExecuteApiEndpoint=True)
    assert told(url, "/b") == NOT_FOUND


def test_an_api_may_come_from_an_openapi_document(
    node: Node, open_api: Open, function: str
) -> None:
    behind = {
        "x-amazon-apigateway-integration": {
            "type": "aws_proxy",
            "httpMethod": "POST",
            "uri": path_of(arn_of(function)),
            "payloadFormatVersion": "2.0",
        }
    }
    any_method = "x-amazon-apigateway-any-method"
    paths = {"/b": {any_method: behind}, "/$default": {any_method: behind}}
    document = {"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": paths}
    api = open_api()
    api.client.reimport_api(ApiId=api.id, Body=json.dumps(document))
    api.stage()
    url = ApiUrl(node, api.endpoint)
    assert url.ask("/b", method="PUT").value["routeKey"] == "ANY /b"
    assert url.ask("/c").value["routeKey"] == "$default"


def test_an_api_is_gone_when_it_is_deleted(node: Node, clients: Clients, function: str) -> None:
    api = HttpApi(clients("apigatewayv2"), Target=arn_of(function))
    url = ApiUrl(node, api.endpoint)
    assert url.ask().status == 200
    api.delete()
    assert told(url) == NOT_FOUND
    assert told(url, by_path=True) == NOT_FOUND


@pytest.mark.parametrize(
    ("result", "status", "content_type", "body"),
    [
        ({"hello": "world"}, 200, "application/json", b'{"hello":"world"}'),
        ("text", 200, "application/json", b"text"),
        ({"statusCode": 201, "body": "b"}, 201, "application/json", b"b"),
        (
            {"statusCode": 200, "headers": {"Content-Type": "image/png"}, "body": "aGk=",
             "isBase64Encoded": True},
            200, "image/png", b"hi",
        ),
        ({"statusCode": 99}, 500, "application/json", b'{"message":"Internal Server Error"}'),
    ],
)  # fmt: skip
def test_what_the_function_returns_is_the_response(
    quick: ApiUrl, result: Any, status: int, content_type: str, body: bytes
) -> None:
    answer = answer_to(quick, {"result": result})
    assert (answer.status, answer.header("content-type"), answer.body) == (
        status, content_type, body,
    )  # fmt: skip


def test_cookies_are_set_one_by_one(quick: ApiUrl) -> None:
    result = {"statusCode": 200, "cookies": ["a=1", "b=2; HttpOnly"], "headers": {"X-Own": "1"}}
    answer = answer_to(quick, {"result": result})
    assert answer.all("set-cookie") == ["a=1", "b=2; HttpOnly"]
    assert answer.header("x-own") == "1"


def test_a_function_that_fails_is_a_500(quick: ApiUrl) -> None:
    answer = answer_to(quick, {"raise": "no"})
    assert (answer.status, answer.value) == FAILED


def test_a_request_that_is_too_long_is_refused(quick: ApiUrl) -> None:
    assert told(quick, method="POST", body=bytes(6 * 1024 * 1024 + 1)) == (
        413,
        {"message": "Request Entity Too Large"},
    )


def test_the_functions_policy_decides(
    node: Node, open_api: Open, make_function: MakeFunction, lambda_client: Any
) -> None:
    name = make_function(PROXY)
    api = open_api(Target=arn_of(name))
    api.route("GET /open/{id}", name)
    url = ApiUrl(node, api.endpoint)
    assert told(url, "/open/1") == FAILED
    permit_apis(lambda_client, name, f"{api.id}/*/GET/open/*")
    assert url.ask("/open/1").status == 200
    assert told(url, "/other") == FAILED
    permit_apis(lambda_client, name, f"{api.id}/*/$default")
    assert url.ask("/other").status == 200


def test_a_role_needs_no_permission(
    node: Node, open_api: Open, make_function: MakeFunction
) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/role"
    api = open_api(Target=arn_of(make_function(PROXY)), CredentialsArn=role)
    assert ApiUrl(node, api.endpoint).ask().status == 200


def test_a_function_that_is_not_there_is_a_500(node: Node, open_api: Open) -> None:
    api = open_api(Target=arn_of("nobody"))
    assert told(ApiUrl(node, api.endpoint)) == FAILED


def test_a_function_that_is_slow_is_not_waited_for_and_runs_on(
    node: Node, open_api: Open, make_function: MakeFunction, lambda_client: Any, gate: Gate
) -> None:
    source = (
        f"import urllib.request\ndef handler(e, c):\n    urllib.request.urlopen('{gate.url}')\n"
    )
    name = make_function(source + "    return 'late'\n", Timeout=20)
    permit_apis(lambda_client, name)
    api = open_api()
    api.route("GET /", name, TimeoutInMillis=50)
    api.stage()
    assert told(ApiUrl(node, api.endpoint)) == (503, {"message": "Service Unavailable"})
    gate.await_callers(1)


def test_a_throttled_function_is_a_503(
    node: Node, open_api: Open, make_function: MakeFunction, lambda_client: Any
) -> None:
    name = make_function(PROXY)
    permit_apis(lambda_client, name)
    lambda_client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    api = open_api(Target=arn_of(name))
    assert told(ApiUrl(node, api.endpoint)) == (503, {"message": "Service Unavailable"})


def test_what_would_need_a_check_that_is_not_made_is_refused(
    node: Node, open_api: Open, function: str
) -> None:
    api = open_api(Target=arn_of(function))
    api.client.create_route(ApiId=api.id, RouteKey="GET /secret", AuthorizationType="AWS_IAM")
    status, body = told(ApiUrl(node, api.endpoint), "/secret")
    assert status == 501
    assert body == {
        "message": "Route 'GET /secret' wants AWS_IAM authorization, which lambdabox does not do."
    }


CORS = {
    "AllowOrigins": ["https://*"],
    "AllowMethods": ["GET"],
    "AllowHeaders": ["x-own"],
    "ExposeHeaders": ["x-shown"],
    "MaxAge": 60,
}


def test_preflight_requests_are_answered_without_the_function(
    node: Node, open_api: Open, function: str
) -> None:
    url = ApiUrl(node, open_api(Target=arn_of(function), CorsConfiguration=CORS).endpoint)
    headers: list[tuple[str, str | bytes]] = [
        ("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET"),
    ]  # fmt: skip
    answer = url.ask("/a", method="OPTIONS", headers=headers)
    assert (answer.status, answer.body) == (204, b"")
    shown = {name: value for name, value in answer.headers if name.startswith("access-control-")}
    assert shown == {
        "access-control-allow-origin": "https://a.example",
        "access-control-allow-methods": "GET",
        "access-control-allow-headers": "x-own",
        "access-control-max-age": "60",
    }
    headers[0] = ("Origin", "http://a.example")
    answer = url.ask("/a", method="OPTIONS", headers=headers)
    assert answer.status == 204
    assert not [name for name, _ in answer.headers if name.startswith("access-control-")]


def test_the_settings_replace_what_a_function_says_of_origins(
    node: Node, open_api: Open, function: str
) -> None:
    url = ApiUrl(node, open_api(Target=arn_of(function), CorsConfiguration=CORS).endpoint)
    result = {"statusCode": 200, "headers": {"Access-Control-Allow-Origin": "https://evil"}}
    headers = [("Origin", "https://a.example")]
    answer = answer_to(url, {"result": result}, headers=headers)
    assert answer.all("access-control-allow-origin") == ["https://a.example"]
    assert answer.all("access-control-expose-headers") == ["x-shown"]
    assert not answer_to(url, {"result": result}).all("access-control-allow-origin")


def test_accounts_have_apis_of_their_own(
    node: Node, clients: Clients, make_function: MakeFunction
) -> None:
    account = "222222222222"
    owner = clients("lambda", account=account)
    name = make_function(PROXY, client=owner)
    arn = f"arn:aws:lambda:{REGION}:{account}:function:{name}"
    owner.add_permission(
        FunctionName=name, StatementId="s", Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com", SourceAccount=account,
    )  # fmt: skip
    api = HttpApi(clients("apigatewayv2", account=account), Target=arn)
    event = ApiUrl(node, api.endpoint).ask().value
    assert event["requestContext"]["accountId"] == account
    api.delete()
