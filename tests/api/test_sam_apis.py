"""APIs as SAM's templates make them: of functions' events, and of OpenAPI documents."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.functions import PYTHON, Clients
from support.node import Node
from support.stacks import create, delete, outputs, update
from support.urls import Url, UrlAnswer

ACCOUNT = "363636363636"

HEAD = f"""
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {{Runtime: {PYTHON}, Handler: index.handler}}
Resources:
"""
CODE = """
      InlineCode: |
        import json
        def handler(event, context):
            found = [event.get(name) for name in ("routeKey", "resource", "pathParameters")]
            return {"statusCode": 200, "body": json.dumps(found)}
"""


@pytest.fixture
def client(clients: Clients) -> Iterator[Any]:
    client = clients("cloudformation", ACCOUNT)
    yield client
    for stack in client.describe_stacks()["Stacks"]:
        with suppress(ClientError):
            delete(client, stack["StackName"])
    assert clients("apigatewayv2", ACCOUNT).get_apis()["Items"] == []
    assert clients("apigateway", ACCOUNT).get_rest_apis()["items"] == []


def _ask(node: Node, api: str, path: str, method: str = "GET", **options: Any) -> UrlAnswer:
    return Url(node, node.url).ask(f"/_lambdabox/api/{api}{path}", method=method, **options)


HTTP = (
    HEAD
    + """
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        One: {Type: HttpApi, Properties: {Path: '/items/{id}', Method: get}}
        %s
"""
    + CODE
    + """
Outputs:
  Api: {Value: !Ref ServerlessHttpApi}
  Endpoint: {Value: !GetAtt ServerlessHttpApi.ApiEndpoint}
"""
)


def test_a_function_s_http_events_are_served_and_changed_in_place(client: Any, node: Node) -> None:
    told = outputs(create(client, "http", HTTP % "Rest: {Type: HttpApi}"))
    api = told["Api"]
    assert told["Endpoint"].startswith(f"http://{api}.execute-api.us-east-1.localhost:")
    one = _ask(node, api, "/items/7")
    assert (one.status, one.value) == (200, ["GET /items/{id}", None, {"id": "7"}])
    assert _ask(node, api, "/else", "POST").value == ["$default", None, None]

    other = "Put: {Type: HttpApi, Properties: {Path: '/items/{id}', Method: put}}"
    assert outputs(update(client, "http", HTTP % other)) == told
    assert _ask(node, api, "/items/7", "PUT").value[0] == "PUT /items/{id}"
    assert _ask(node, api, "/items/7").value[0] == "GET /items/{id}"
    assert _ask(node, api, "/else", "POST").status == 404


AUTHORIZED = (
    HEAD
    + """
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: {AllowOrigins: ['https://app'], AllowMethods: [GET]}
      Auth:
        DefaultAuthorizer: Tokens
        Authorizers:
          Tokens:
            IdentitySource: $request.header.Authorization
            AuthorizationScopes: [read]
            JwtConfiguration: {issuer: 'https://issuer', audience: [app]}
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        One: {Type: HttpApi, Properties: {ApiId: !Ref Api, Path: /closed, Method: get}}
"""
    + CODE
    + """
Outputs:
  Api: {Value: !Ref Api}
"""
)


def test_an_authorizer_closes_its_routes(client: Any, node: Node, clients: Clients) -> None:
    api = outputs(create(client, "closed", AUTHORIZED))["Api"]
    gateway = clients("apigatewayv2", ACCOUNT)
    [route] = gateway.get_routes(ApiId=api)["Items"]
    assert (route["RouteKey"], route["AuthorizationType"]) == ("GET /closed", "JWT")
    assert route["AuthorizationScopes"] == ["read"]
    made = gateway.get_authorizer(ApiId=api, AuthorizerId=route["AuthorizerId"])
    assert made["JwtConfiguration"] == {"Issuer": "https://issuer", "Audience": ["app"]}
    assert made["IdentitySource"] == ["$request.header.Authorization"]
    assert gateway.get_api(ApiId=api)["CorsConfiguration"]["AllowOrigins"] == ["https://app"]
    assert _ask(node, api, "/closed").status == 401


REST = (
    HEAD
    + """
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      BinaryMediaTypes: [image/png]
      Variables: {Word: %s}
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        One: {Type: Api, Properties: {RestApiId: !Ref Api, Path: '/a/{b}', Method: %s}}
        Locked:
          Type: Api
          Properties: {RestApiId: !Ref Api, Path: /x, Method: get, Auth: {Authorizer: AWS_IAM}}
"""
    + CODE
    + """
Outputs:
  Api: {Value: !Ref Api}
"""
)


def test_a_rest_api_is_served_and_changed_in_place(
    client: Any, node: Node, clients: Clients
) -> None:
    told = outputs(create(client, "rest", REST % ("one", "get")))
    api = told["Api"]
    gateway = clients("apigateway", ACCOUNT)
    assert gateway.get_rest_api(restApiId=api)["binaryMediaTypes"] == ["image/png"]
    asked = _ask(node, api, "/live/a/9")
    assert (asked.status, asked.value) == (200, [None, "/a/{b}", {"b": "9"}])
    assert _ask(node, api, "/live/x").status == 501

    assert outputs(update(client, "rest", REST % ("two", "put"))) == told
    assert _ask(node, api, "/live/a/9", "PUT").value[1] == "/a/{b}"
    assert _ask(node, api, "/live/a/9").status == 403
    assert gateway.get_stage(restApiId=api, stageName="live")["variables"] == {"Word": "two"}
    paths = {each["path"] for each in gateway.get_resources(restApiId=api)["items"]}
    assert paths == {"/", "/a", "/a/{b}", "/x"}


def test_a_document_in_a_bucket_declares_an_api(client: Any, clients: Clients) -> None:
    s3 = clients("s3", ACCOUNT)
    s3.create_bucket(Bucket="api-documents")
    document = "openapi: 3.0.1\ninfo: {title: Shop, version: '2'}\npaths: {/a: {get: {}}}\n"
    s3.put_object(Bucket="api-documents", Key="api.yaml", Body=document)
    where = {"Bucket": "api-documents", "Key": "api.yaml"}
    api = {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"BodyS3Location": where}}
    body = {"Resources": {"Api": api}, "Outputs": {"Id": {"Value": {"Ref": "Api"}}}}
    id = outputs(create(client, "document", json.dumps(body)))["Id"]
    made = clients("apigatewayv2", ACCOUNT).get_api(ApiId=id)
    assert (made["Name"], made["Version"]) == ("Shop", "2")
    [route] = clients("apigatewayv2", ACCOUNT).get_routes(ApiId=id)["Items"]
    assert route["RouteKey"] == "GET /a"


def test_what_a_rest_api_has_beside_its_resources(client: Any, clients: Clients) -> None:
    rest = {"RestApiId": {"Ref": "Api"}}
    body = {
        "Resources": {
            "Api": {"Type": "AWS::ApiGateway::RestApi", "Properties": {"Name": "shop"}},
            "Model": {
                "Type": "AWS::ApiGateway::Model",
                "Properties": {**rest, "Schema": {"type": "object"}},
            },
            "Check": {
                "Type": "AWS::ApiGateway::RequestValidator",
                "Properties": {**rest, "ValidateRequestBody": True},
            },
            "Refusal": {
                "Type": "AWS::ApiGateway::GatewayResponse",
                "Properties": {**rest, "ResponseType": "DEFAULT_4XX"},
            },
            "Guard": {
                "Type": "AWS::ApiGateway::Authorizer",
                "Properties": {
                    **rest,
                    "Name": "guard",
                    "Type": "TOKEN",
                    "AuthorizerUri": "arn:aws:lambda:us-east-1:363636363636:function:guard",
                    "IdentitySource": "method.request.header.Authorization",
                },
            },
            "Key": {"Type": "AWS::ApiGateway::ApiKey", "Properties": {"Enabled": True}},
            "Plan": {"Type": "AWS::ApiGateway::UsagePlan"},
            "PlanKey": {
                "Type": "AWS::ApiGateway::UsagePlanKey",
                "Properties": {
                    "KeyId": {"Ref": "Key"},
                    "KeyType": "API_KEY",
                    "UsagePlanId": {"Ref": "Plan"},
                },
            },
        }
    }
    stack = create(client, "parts", body)
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    gateway = clients("apigateway", ACCOUNT)
    assert len(gateway.get_usage_plans()["items"]) == 1
    assert delete(client, "parts")["StackStatus"] == "DELETE_COMPLETE"
    assert gateway.get_usage_plans()["items"] == gateway.get_api_keys()["items"] == []
