"""APIs of API Gateway as their users call them: by host name or by path."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from support.functions import ACCOUNT, REGION
from support.node import Node
from support.urls import Url, UrlAnswer

PROXY = """
import json

def handler(event, context):
    body = event.get("body") or ""
    if event.get("isBase64Encoded") or not body.startswith("{"):
        text = json.dumps(event)
    else:
        asked = json.loads(body)
        if "raise" in asked:
            raise ValueError(asked["raise"])
        return asked["result"]
    return event if event.get("version") == "2.0" else {"statusCode": 200, "body": text}
"""
"""Answers its event; to a body `{"result": ...}` that, and to `{"raise": ...}` nothing."""

AUTHORIZER = """
import json
import uuid

def handler(event, context):
    headers = {name.lower(): value for name, value in event.get("headers", {}).items()}
    asked = json.loads(headers.get("x-asked") or event["authorizationToken"])
    if "raise" in asked:
        raise ValueError(asked["raise"])
    result = asked["result"]
    if isinstance(result, dict) and "context" not in result:
        result["context"] = {"event": json.dumps(event), "call": str(uuid.uuid4())}
    return result
"""
"""Answers what its token, or the header `X-Asked`, wants, and tells what it was asked."""


def policy(effect: str, resource: str = "*") -> dict[str, Any]:
    """What an authorizer answers of somebody."""
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    return {
        "principalId": "me",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }


@dataclass(frozen=True, slots=True)
class ApiUrl(Url):
    """An API on a node."""

    def ask(self, path: str = "/", *, by_path: bool = False, **options: Any) -> UrlAnswer:
        if not by_path:
            return Url.ask(self, path, **options)
        target = f"/_lambdabox/api/{self.id}{path}"
        return Url.ask(Url(self.node, self.node.url), target, **options)


def permit_apis(client: Any, function: str, source: str = "*", **parameters: Any) -> None:
    """Let APIs invoke the function: all of the account, or those of a source ARN's end."""
    client.add_permission(
        FunctionName=function,
        StatementId=f"apis{abs(hash(source))}",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn=f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{source}",
        **parameters,
    )


def arn_of(function: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"


def path_of(function_arn: str) -> str:
    """A function as integrations of REST APIs name it."""
    where = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions"
    return f"{where}/{function_arn}/invocations"


def host_of(node: Node, api_id: str) -> str:
    return f"http://{api_id}.execute-api.{REGION}.localhost:{urlsplit(node.url).port}"


class HttpApi:
    """An HTTP API under construction."""

    def __init__(self, client: Any, **settings: Any) -> None:
        self.client = client
        made = client.create_api(Name="api", ProtocolType="HTTP", **settings)
        self.id: str = made["ApiId"]
        self.endpoint: str = made["ApiEndpoint"]

    def route(self, key: str, function: str, **settings: Any) -> str:
        """Lead a route to a function; return the id of the route."""
        given = {"IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0", **settings}
        integration = self.client.create_integration(
            ApiId=self.id, IntegrationUri=arn_of(function), **given
        )
        route: str = self.client.create_route(
            ApiId=self.id, RouteKey=key, Target=f"integrations/{integration['IntegrationId']}"
        )["RouteId"]
        return route

    def authorizer(self, kind: str = "REQUEST", **settings: Any) -> str:
        made: str = self.client.create_authorizer(
            ApiId=self.id, Name="authorizer", AuthorizerType=kind, **settings
        )["AuthorizerId"]
        return made

    def guard(self, route: str, authorizer: str, kind: str = "CUSTOM", **settings: Any) -> None:
        self.client.update_route(
            ApiId=self.id,
            RouteId=route,
            AuthorizationType=kind,
            AuthorizerId=authorizer,
            **settings,
        )

    def stage(self, name: str = "$default", **settings: Any) -> None:
        self.client.create_stage(ApiId=self.id, StageName=name, AutoDeploy=True, **settings)

    def delete(self) -> None:
        self.client.delete_api(ApiId=self.id)


class RestApi:
    """A REST API under construction."""

    def __init__(self, client: Any, **settings: Any) -> None:
        self.client = client
        self.id: str = client.create_rest_api(name="api", **settings)["id"]
        self._resources = {"": client.get_resources(restApiId=self.id)["items"][0]["id"]}

    def resource(self, path: str) -> str:
        path = path.rstrip("/")
        if path not in self._resources:
            above, _, part = path.rpartition("/")
            made = self.client.create_resource(
                restApiId=self.id, parentId=self.resource(above), pathPart=part
            )
            self._resources[path] = made["id"]
        return str(self._resources[path])

    def method(self, method: str, path: str, uri: str | None = None, **settings: Any) -> None:
        where = {
            "restApiId": self.id,
            "resourceId": self.resource(path),
            "httpMethod": method,
        }
        self.client.put_method(**where, **{"authorizationType": "NONE", **settings})
        if uri is not None:
            self.client.put_integration(
                **where, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri
            )

    def authorizer(self, kind: str, **settings: Any) -> str:
        made: str = self.client.create_authorizer(
            restApiId=self.id, name="authorizer", type=kind, **settings
        )["id"]
        return made

    def deploy(self, stage: str = "prod", **settings: Any) -> str:
        deployment: str = self.client.create_deployment(
            restApiId=self.id, stageName=stage, **settings
        )["id"]
        return deployment

    def delete(self) -> None:
        self.client.delete_rest_api(restApiId=self.id)
