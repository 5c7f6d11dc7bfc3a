"""HTTP APIs of API Gateway let in whom a function, or a token, lets in."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from support.apis import AUTHORIZER, PROXY, ApiUrl, HttpApi, arn_of, path_of, permit_apis, policy
from support.functions import ACCOUNT, REGION, Clients, await_active, create
from support.node import Node
from support.tokens import Signer

Open = Callable[..., ApiUrl]
UNAUTHORIZED = (401, {"message": "Unauthorized"})
FORBIDDEN = (403, {"message": "Forbidden"})
FAILED = (500, {"message": "Internal Server Error"})
NAMES = ("behind-a-guarded-http-api", "guards-an-http-api")
SOURCES = ["$request.header.X-Asked", "$request.querystring.who"]


@pytest.fixture(scope="module", autouse=True)
def functions(lambda_client: Any) -> Iterator[None]:
    for name, code in zip(NAMES, (PROXY, AUTHORIZER), strict=True):
        create(lambda_client, name, code)
    for name in NAMES:
        await_active(lambda_client, name)
        permit_apis(lambda_client, name)
    yield
    for name in NAMES:
        lambda_client.delete_function(FunctionName=name)


@pytest.fixture
def api(clients: Clients) -> Iterator[HttpApi]:
    made = HttpApi(clients("apigatewayv2"))
    made.stage("$default")
    yield made
    made.delete()


@pytest.fixture
def guarded(node: Node, api: HttpApi) -> Open:
    """Makes the routes `/a` and `/b` behind an authorizer with these settings."""

    def make(payload: str = "2.0", *, format: str = "2.0", **settings: Any) -> ApiUrl:
        authorizer = api.authorizer(
            AuthorizerUri=path_of(arn_of(NAMES[1])),
            AuthorizerPayloadFormatVersion=format,
            **{"IdentitySource": SOURCES, "AuthorizerResultTtlInSeconds": 0, **settings},
        )
        for key in ("GET /a/{id}", "GET /b"):
            route = api.route(key, NAMES[0], PayloadFormatVersion=payload)
            api.guard(route, authorizer)
        return ApiUrl(node, api.endpoint)

    return make


def ask(url: ApiUrl, path: str, result: Any) -> Any:
    return url.ask(path, headers=[("X-Asked", json.dumps({"result": result}))])


def told(answer: Any) -> tuple[int, Any]:
    assert answer.header("content-type") == "application/json"
    return answer.status, answer.value


def test_a_simple_answer_lets_in_or_not(api: HttpApi, guarded: Open) -> None:
    url = guarded(EnableSimpleResponses=True)
    answer = ask(url, "/a/7?who=me", {"isAuthorized": True})
    assert answer.status == 200
    known = answer.value["requestContext"]["authorizer"]
    assert known.keys() == {"lambda"}
    event = json.loads(known["lambda"]["event"])
    assert event.keys() == {
        "version", "type", "routeArn", "identitySource", "routeKey", "rawPath", "rawQueryString",
        "headers", "queryStringParameters", "requestContext", "pathParameters",
    }  # fmt: skip
    assert (event["version"], event["type"]) == ("2.0", "REQUEST")
    assert event["routeArn"] == (
        f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.id}/$default/GET/a/7"
    )
    asked = json.dumps({"result": {"isAuthorized": True}})
    assert event["identitySource"] == [asked, "me"]
    assert event["routeKey"] == "GET /a/{id}"
    assert "authorizer" not in event["requestContext"]
    assert told(ask(url, "/a/7?who=me", {"isAuthorized": False})) == FORBIDDEN
    assert told(ask(url, "/a/7?who=me", policy("Allow"))) == FAILED


def test_a_context_is_handed_on_as_it_is(guarded: Open) -> None:
    url = guarded(EnableSimpleResponses=True)
    context = {"number": 1, "list": ["a"], "map": {"a": None}}
    answer = ask(url, "/b?who=me", {"isAuthorized": True, "context": context})
    assert answer.value["requestContext"]["authorizer"] == {"lambda": context}


def test_a_policy_may_be_the_answer_and_payload_1_0_both_ways(api: HttpApi, guarded: Open) -> None:
    url = guarded("1.0", format="1.0")
    answer = ask(url, "/a/7?who=me", policy("Allow"))
    assert answer.status == 200
    known = answer.value["requestContext"]["authorizer"]
    assert known.keys() == {"principalId", "event", "call", "integrationLatency"}
    event = json.loads(known["event"])
    assert event.keys() == {
        "version", "type", "methodArn", "identitySource", "authorizationToken", "resource", "path",
        "httpMethod", "headers", "queryStringParameters", "pathParameters", "stageVariables",
        "requestContext",
    }  # fmt: skip
    assert event["version"] == "1.0"
    assert event["methodArn"].endswith(f":{api.id}/$default/GET/a/7")
    assert event["identitySource"] == event["authorizationToken"]
    assert event["identitySource"].endswith(",me")
    for result in (policy("Deny"), policy("Allow", "arn:aws:execute-api:*:*:*/x/*")):
        assert told(ask(url, "/b?who=me", result)) == FORBIDDEN


def test_without_an_identity_nobody_is_asked(guarded: Open) -> None:
    url = guarded(EnableSimpleResponses=True)
    assert told(ask(url, "/b", {"isAuthorized": True})) == UNAUTHORIZED
    assert told(url.ask("/b?who=me")) == UNAUTHORIZED


def test_failures_are_internal_but_for_one(guarded: Open) -> None:
    url = guarded(EnableSimpleResponses=True)
    for message, expected in (("Unauthorized", UNAUTHORIZED), ("other", FAILED)):
        answer = url.ask("/b?who=me", headers=[("X-Asked", json.dumps({"raise": message}))])
        assert told(answer) == expected


def call_of(answer: Any) -> str:
    return str(answer.value["requestContext"]["authorizer"]["lambda"]["call"])


@pytest.mark.parametrize(
    ("sources", "is_shared"), [(SOURCES, True), ([*SOURCES, "$context.routeKey"], False)]
)
def test_an_answer_is_remembered_for_all_routes_or_for_each(
    guarded: Open, sources: list[str], is_shared: bool
) -> None:
    url = guarded(
        EnableSimpleResponses=True, AuthorizerResultTtlInSeconds=60, IdentitySource=sources
    )
    calls = [
        call_of(ask(url, path, {"isAuthorized": True}))
        for path in ("/b?who=me", "/b?who=me", "/a/7?who=me", "/b?who=you")
    ]
    assert calls[0] == calls[1] != calls[3]
    assert (calls[0] == calls[2]) is is_shared


class Pages(http.server.BaseHTTPRequestHandler):
    """An issuer's."""

    signers: ClassVar[list[Signer]] = []

    def do_GET(self) -> None:
        pages: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "jwks_uri": f"http://{self.headers['Host']}/keys"
            },
            "/keys": {"keys": [signer.key for signer in self.signers]},
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(pages[self.path]).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    Pages.signers = [Signer.rsa("k1"), Signer.ec("k2")]
    server = http.server.HTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def token_url(node: Node, api: HttpApi, issuer: str) -> ApiUrl:
    """`/a` for everybody who has a token, `/b` for those with a scope."""
    authorizer = api.authorizer(
        "JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": issuer, "Audience": ["shop"]},
    )
    api.guard(api.route("GET /a", NAMES[0]), authorizer, "JWT")
    scoped = api.route("GET /b", NAMES[0])
    api.guard(scoped, authorizer, "JWT", AuthorizationScopes=["read", "write"])
    return ApiUrl(node, api.endpoint)


def bearing(url: ApiUrl, path: str, claims: dict[str, Any], signer: Signer) -> Any:
    return url.ask(path, headers=[("Authorization", f"Bearer {signer.token(claims)}")])


@pytest.fixture
def claims(issuer: str) -> dict[str, Any]:
    return {"iss": issuer, "aud": "shop", "sub": "me", "exp": int(time.time()) + 600}


@pytest.mark.parametrize("index", [0, 1], ids=["RSA", "ECDSA"])
def test_a_token_of_the_issuers_is_let_in(
    token_url: ApiUrl, claims: dict[str, Any], index: int
) -> None:
    answer = bearing(token_url, "/a", {**claims, "groups": ["x", "y"]}, Pages.signers[index])
    assert answer.status == 200
    shown = {**claims, "exp": str(claims["exp"]), "groups": "[x y]"}
    assert answer.value["requestContext"]["authorizer"] == {
        "jwt": {"claims": shown, "scopes": None}
    }


def challenge(answer: Any) -> str:
    return str(answer.header("www-authenticate"))


def test_others_are_challenged(token_url: ApiUrl, claims: dict[str, Any]) -> None:
    signer = Pages.signers[0]
    missing = token_url.ask("/a")
    assert (told(missing), challenge(missing)) == (UNAUTHORIZED, "Bearer")
    refused = {
        "the token has expired": bearing(token_url, "/a", {**claims, "exp": 1}, signer),
        "the token does not have a valid audience": bearing(
            token_url, "/a", {**claims, "aud": "x"}, signer
        ),
        "the token's signature is invalid": bearing(token_url, "/a", claims, Signer.rsa("k1")),
        "the token's kid is none of the issuer's keys": bearing(
            token_url, "/a", claims, Signer.rsa("k9")
        ),
        "token contains an invalid number of segments": token_url.ask(
            "/a", headers=[("Authorization", "Basic abc")]
        ),
    }
    for reason, answer in refused.items():
        assert told(answer) == UNAUTHORIZED
        assert challenge(answer) == (
            f'Bearer scope="" error="invalid_token" error_description="{reason}"'
        )


def test_a_route_may_want_a_scope(token_url: ApiUrl, claims: dict[str, Any]) -> None:
    signer = Pages.signers[0]
    answer = bearing(token_url, "/b", {**claims, "scope": "read other"}, signer)
    assert answer.status == 200
    assert answer.value["requestContext"]["authorizer"]["jwt"]["scopes"] == ["read"]
    answer = bearing(token_url, "/b", {**claims, "scope": "other"}, signer)
    assert told(answer) == FORBIDDEN
    assert challenge(answer).startswith('Bearer scope="read write" error="insufficient_scope"')


def test_an_issuer_that_is_not_there_lets_nobody_in(
    node: Node, api: HttpApi, claims: dict[str, Any]
) -> None:
    authorizer = api.authorizer(
        "JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": "http://127.0.0.1:1", "Audience": ["shop"]},
    )
    api.guard(api.route("GET /a", NAMES[0]), authorizer, "JWT")
    url = ApiUrl(node, api.endpoint)
    answer = bearing(url, "/a", {**claims, "iss": "http://127.0.0.1:1"}, Pages.signers[0])
    assert told(answer) == UNAUTHORIZED
    assert "OIDC discovery endpoint communication error" in challenge(answer)


def test_a_template_guards_its_routes(node: Node, clients: Clients, name: str) -> None:
    guard = {
        "Type": "AWS::ApiGatewayV2::Authorizer",
        "Properties": {
            "ApiId": {"Ref": "Api"}, "Name": "guard", "AuthorizerType": "REQUEST",
            "AuthorizerUri": path_of(arn_of(NAMES[1])), "AuthorizerPayloadFormatVersion": "2.0",
            "EnableSimpleResponses": True, "IdentitySource": SOURCES,
        },
    }  # fmt: skip
    integration = {
        "ApiId": {"Ref": "Api"}, "IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0",
        "IntegrationUri": arn_of(NAMES[0]),
    }  # fmt: skip
    route = {
        "ApiId": {"Ref": "Api"}, "RouteKey": "GET /b", "AuthorizationType": "CUSTOM",
        "AuthorizerId": {"Ref": "Guard"}, "Target": {"Fn::Sub": "integrations/${Behind}"},
    }  # fmt: skip
    stage = {"ApiId": {"Ref": "Api"}, "StageName": "$default", "AutoDeploy": True}
    template = {
        "Resources": {
            "Api": {
                "Type": "AWS::ApiGatewayV2::Api",
                "Properties": {"Name": "guarded", "ProtocolType": "HTTP"},
            },
            "Guard": guard,
            "Behind": {"Type": "AWS::ApiGatewayV2::Integration", "Properties": integration},
            "Route": {"Type": "AWS::ApiGatewayV2::Route", "Properties": route},
            "Stage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": stage},
        },
        "Outputs": {"Address": {"Value": {"Fn::GetAtt": ["Api", "ApiEndpoint"]}}},
    }
    stacks = clients("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    [stack] = stacks.describe_stacks(StackName=name)["Stacks"]
    url = ApiUrl(node, stack["Outputs"][0]["OutputValue"])
    assert told(url.ask("/b")) == UNAUTHORIZED
    assert ask(url, "/b?who=me", {"isAuthorized": True}).status == 200
    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(
        StackName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
