"""Who may call a method is read from OpenAPI documents, by moto as it is repaired here."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.apigateway import models as rest
from moto.apigatewayv2 import models as http

from lambdabox.backends import moto_repairs

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"
PATH = f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{FUNCTION}/invocations"
INTEGRATION = {"type": "aws_proxy", "httpMethod": "POST", "uri": PATH}


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Set to what they are, so that they are so again when the test is over.
    for owner, name in (
        (rest.RestAPI, "create_authorizer"),
        (rest.APIGatewayBackend, "put_rest_api"),
        (http.Api, "import_api"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    moto_repairs.repair("apigateway")
    moto_repairs.repair("apigatewayv2")
    with mock_aws():
        yield


def client(service: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client(service, region_name="us-east-1", **keys)


def operation(**more: Any) -> dict[str, Any]:
    return {"responses": {}, "x-amazon-apigateway-integration": INTEGRATION, **more}


def document(schemes: dict[str, Any], operations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "openapi": "3.0.1",
        "info": {"title": "t", "description": "d", "version": "1"},
        "paths": {"/a": operations},
        "components": {"securitySchemes": schemes},
        **more,
    }


def test_methods_of_a_rest_api_want_their_authorizers() -> None:
    gateway = client("apigateway")
    schemes = {
        "token": {
            "type": "apiKey", "name": "X-Token", "in": "header",
            "x-amazon-apigateway-authtype": "custom",
            "x-amazon-apigateway-authorizer": {
                "type": "token", "authorizerUri": PATH, "identityValidationExpression": "^a$",
                "authorizerResultTtlInSeconds": 0,
            },
        },
        "pool": {
            "type": "apiKey", "name": "Authorization", "in": "header",
            "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools"},
        },
        "iam": {"type": "apiKey", "x-amazon-apigateway-authtype": "awsSigv4"},
        "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
        "unknown": {"type": "http"},
    }  # fmt: skip
    operations = {
        "get": operation(),
        "put": operation(security=[{"pool": []}]),
        "post": operation(security=[{"iam": []}]),
        "patch": operation(security=[{"token": [], "key": []}]),
        "delete": operation(security=[]),
        "head": operation(security=[{"unknown": []}]),
    }
    body = json.dumps(document(schemes, operations, security=[{"token": []}])).encode()
    made = gateway.import_rest_api(body=body)
    gateway.put_rest_api(restApiId=made["id"], mode="overwrite", body=body)
    assert len(gateway.get_authorizers(restApiId=made["id"])["items"]) == 2
    authorizers = {
        each["name"]: each for each in gateway.get_authorizers(restApiId=made["id"])["items"]
    }
    token = authorizers["token"]
    assert token["type"] == "TOKEN"
    assert token["authorizerUri"] == PATH
    assert token["identitySource"] == "method.request.header.X-Token"
    assert token["identityValidationExpression"] == "^a$"
    assert token["authorizerResultTtlInSeconds"] == 0
    resources = gateway.get_resources(restApiId=made["id"], embed=["methods"])["items"]
    [methods] = [each["resourceMethods"] for each in resources if each["path"] == "/a"]
    wanted = {
        name: (each.get("authorizationType"), each.get("authorizerId"), each["apiKeyRequired"])
        for name, each in methods.items()
    }
    assert wanted == {
        "GET": ("CUSTOM", token["id"], False),
        "PUT": ("COGNITO_USER_POOLS", authorizers["pool"]["id"], False),
        "POST": ("AWS_IAM", None, False),
        "PATCH": ("CUSTOM", token["id"], True),
        "DELETE": (None, None, False),
        "HEAD": (None, None, False),
    }


def test_what_tokens_look_like_is_kept() -> None:
    gateway = client("apigateway")
    api = gateway.create_rest_api(name="t")["id"]
    given = {"identityValidationExpression": "^a$", "identitySource": "method.request.header.A"}
    made = gateway.create_authorizer(
        restApiId=api, name="z", type="TOKEN", authorizerUri=PATH, **given
    )
    shown = gateway.get_authorizer(restApiId=api, authorizerId=made["id"])
    assert {name: shown[name] for name in given} == given


def test_routes_of_an_http_api_want_their_authorizers() -> None:
    gateway = client("apigatewayv2")
    schemes = {
        "jwt": {
            "type": "oauth2",
            "x-amazon-apigateway-authorizer": {
                "type": "jwt",
                "jwtConfiguration": {"issuer": "https://i", "audience": ["a"]},
                "identitySource": "$request.header.Authorization",
            },
        },
        "function": {
            "type": "apiKey", "name": "X-A", "in": "header",
            "x-amazon-apigateway-authorizer": {
                "type": "request",
                "authorizerUri": PATH,
                "authorizerPayloadFormatVersion": "2.0",
                "enableSimpleResponses": True,
                "identitySource": "$request.header.X-A, $request.querystring.b",
            },
        },
    }  # fmt: skip
    operations = {
        "get": operation(security=[{"jwt": ["read"]}]),
        "post": operation(),
        "put": operation(security=[]),
    }
    body = document(schemes, operations, security=[{"function": []}])
    made = gateway.import_api(Body=json.dumps(body))
    assert (made["Name"], made["ProtocolType"]) == ("t", "HTTP")
    api = made["ApiId"]
    routes = {each["RouteKey"]: each for each in gateway.get_routes(ApiId=api)["Items"]}
    get, post = routes["GET /a"], routes["POST /a"]
    assert (get["AuthorizationType"], get["AuthorizationScopes"]) == ("JWT", ["read"])
    token = gateway.get_authorizer(ApiId=api, AuthorizerId=get["AuthorizerId"])
    assert token["JwtConfiguration"] == {"Issuer": "https://i", "Audience": ["a"]}
    assert token["IdentitySource"] == ["$request.header.Authorization"]
    assert post["AuthorizationType"] == "CUSTOM"
    function = gateway.get_authorizer(ApiId=api, AuthorizerId=post["AuthorizerId"])
    assert function["IdentitySource"] == ["$request.header.X-A", "$request.querystring.b"]
    assert function["EnableSimpleResponses"] is True
    assert function["AuthorizerUri"] == PATH
    assert "AuthorizerId" not in routes["PUT /a"]
