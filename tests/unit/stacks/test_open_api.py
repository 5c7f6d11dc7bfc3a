"""OpenAPI documents, as SAM and people write them, read for API Gateway."""

from typing import Any

import pytest

from lambdabox.stacks.resources.kinds import ResourceError
from lambdabox.stacks.resources.open_api import read_document

PROXY = {"type": "aws_proxy", "httpMethod": "POST", "uri": "arn:function"}


def test_an_http_api_of_a_function_s_events() -> None:
    found = read_document(
        {
            "openapi": "3.0.1",
            "info": {"title": "app", "version": 1.0},
            "paths": {
                "/items/{id}": {
                    "get": {"x-amazon-apigateway-integration": PROXY, "operationId": "one"},
                    "x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": PROXY},
                    "parameters": [{"name": "id", "in": "path"}],
                },
            },
            "x-amazon-apigateway-cors": {"allowOrigins": ["*"]},
        }
    )
    assert [(each.method, each.path, each.name) for each in found.operations] == [
        ("GET", "/items/{id}", "one"),
        ("ANY", "/items/{id}", None),
    ]
    assert found.operations[0].integration == PROXY
    assert found.operations[0].scheme is None
    assert (found.title, found.version, found.cors) == ("app", "1.0", {"allowOrigins": ["*"]})


def _secured(security: Any, schemes: dict[str, Any], **given: Any) -> Any:
    return read_document(
        {
            "openapi": "3.0.1",
            "paths": {"/": {"get": {"security": security, **given}}},
            "components": {"securitySchemes": schemes},
        }
    ).operations[0]


JWT = {
    "type": "oauth2",
    "x-amazon-apigateway-authorizer": {
        "type": "jwt",
        "identitySource": "$request.header.Authorization",
        "jwtConfiguration": {"issuer": "https://issuer", "audience": ["app"]},
    },
}
IAM = {"type": "apiKey", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"}
KEY = {"type": "apiKey", "in": "header", "name": "x-api-key"}


def test_who_may_call_is_not_lost() -> None:
    jwt = _secured([{"Mine": ["read"]}], {"Mine": JWT})
    assert (jwt.scheme.name, jwt.scheme.kind, jwt.scopes) == ("Mine", "jwt", ("read",))
    assert _secured([{"IAM": []}], {"IAM": IAM}).scheme.kind == "awsSigv4"
    assert _secured([], {}, **{"x-amazon-apigateway-auth": {"type": "AWS_IAM"}}).scheme.kind == (
        "awsSigv4"
    )
    keyed = _secured([{"api_key": [], "IAM": []}], {"api_key": KEY, "IAM": IAM})
    assert (keyed.needs_key, keyed.scheme.name) == (True, "IAM")


def test_what_api_gateway_has_no_part_in_closes_nothing() -> None:
    plain = _secured([{"Bearer": []}], {"Bearer": {"type": "http", "scheme": "bearer"}})
    assert (plain.scheme, plain.needs_key) == (None, False)


def test_what_is_said_of_all_operations_holds_where_one_says_nothing() -> None:
    found = read_document(
        {
            "swagger": "2.0",
            "security": [{"IAM": []}],
            "paths": {"/closed": {"get": {}}, "/open": {"get": {"security": []}}},
            "securityDefinitions": {"IAM": IAM},
        }
    )
    assert [each.scheme is not None for each in found.operations] == [True, False]


def test_an_integration_may_stand_elsewhere_in_the_document() -> None:
    found = read_document(
        {
            "paths": {
                "/": {"get": {"x-amazon-apigateway-integration": {"$ref": "#/x-parts/proxy"}}}
            },
            "x-parts": {"proxy": PROXY},
        }
    )
    assert found.operations[0].integration == PROXY


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (["text"], "it is no OpenAPI document"),
        ({"paths": "text"}, "it is no OpenAPI document"),
        ({"paths": {"/": {"get": {"security": [{"Gone": []}]}}}}, "/ asks for Gone"),
        (
            {"paths": {"/": {"get": {"x-amazon-apigateway-integration": {"$ref": "#/gone/it"}}}}},
            "there is nothing at #/gone/it",
        ),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(body: Any, told: str) -> None:
    with pytest.raises(ResourceError, match=told):
        read_document(body)
