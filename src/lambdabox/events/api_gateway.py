"""What passes through the node on its way to API Gateway: APIs that are made, and changed.

The service keeps the APIs; the node serves requests to them. So it learns here whose an API
is and when it has changed, tells clients an address that leads to the node, and does what
CreateApi promises of its `Target`, which moto leaves out.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.http_apis import DEFAULT, ApiKind, domain_name
from lambdabox.events.api_definitions import ApiDefinitions, Owner
from lambdabox.events.json_rpc import document_of
from lambdabox.events.relayed import Forward, Reads, ServiceAnswer, ServiceRequest

_APIS = {"/v2/apis": ApiKind.HTTP, "/restapis": ApiKind.REST}
_PATH = re.compile(r"(/v2/apis|/restapis)(?:/([^/]+))?(/.+)?/?")
_ENDPOINT = re.compile(rb"https://([\w-]+)\.execute-api\.([\w-]+)\.amazonaws\.com")
_PORT = re.compile(r".*:(\d{1,5})")
_FUNCTIONS = "arn:aws:lambda:"


class ApiEvents:
    """An Interceptor for API Gateway."""

    def __init__(self, definitions: ApiDefinitions, services: AwsServices) -> None:
        self._definitions = definitions
        self._services = services

    def reads(self, request: ServiceRequest) -> Reads:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return Reads.NOTHING
        return Reads.BODY if request.method == "POST" and not found[2] else Reads.ANSWER

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        answer = await forward(request)
        found = _PATH.fullmatch(request.path)
        if found is None or not answer.is_success:
            return answer
        root, api_id, below = found.groups()
        if api_id is not None or request.method in ("POST", "PUT"):
            made = document_of(answer.body) if api_id is None else {}
            api_id = api_id or str(made.get("apiId") or made.get("id") or "")
            is_gone = request.method == "DELETE" and not below
            if api_id:
                self._learn(request, api_id, _APIS[root], is_gone=is_gone)
            given = document_of(request.body)
            if made.get("apiId") and given.get("target"):
                await self._complete(request.scope, api_id, given)
        return _addressed(request, answer) if root == "/v2/apis" and not below else answer

    def _learn(self, request: ServiceRequest, api_id: str, kind: ApiKind, *, is_gone: bool) -> None:
        if not is_gone:
            self._definitions.learn(api_id, Owner(request.scope, kind))
        if request.method not in ("GET", "HEAD"):
            self._definitions.forget(api_id, is_gone=is_gone)

    async def _complete(self, scope: Scope, api_id: str, given: Mapping[str, Any]) -> None:
        """Make what CreateApi makes if it is given a target: a route to it, and a stage."""
        target, api = str(given["target"]), {"ApiId": api_id}
        is_function = target.startswith(_FUNCTIONS)
        integration: dict[str, Any] = {
            **api,
            "IntegrationType": "AWS_PROXY" if is_function else "HTTP_PROXY",
            "IntegrationUri": target,
            "PayloadFormatVersion": "2.0" if is_function else "1.0",
            **({} if is_function else {"IntegrationMethod": "ANY"}),
        }
        if credentials := given.get("credentialsArn"):
            integration["CredentialsArn"] = credentials
        try:
            made = await self._call("CreateIntegration", integration, scope)
            route = {
                **api,
                "RouteKey": given.get("routeKey") or DEFAULT,
                "Target": f"integrations/{made['IntegrationId']}",
            }
            await self._call("CreateRoute", route, scope)
            stage = {**api, "StageName": DEFAULT, "AutoDeploy": True}
            await self._call("CreateStage", stage, scope)
        except AwsCallError:
            await self._call("DeleteApi", api, scope)  # the client hears that nothing was made
            raise

    async def _call(
        self, operation: str, parameters: Mapping[str, Any], scope: Scope
    ) -> Mapping[str, Any]:
        return await self._services.call("apigatewayv2", operation, parameters, scope)


def _addressed(request: ServiceRequest, answer: ServiceAnswer) -> ServiceAnswer:
    """Return the answer with addresses that lead to the node, by the port that was asked."""
    port = _PORT.fullmatch(request.headers.get("host", ""))
    suffix = f":{port[1]}" if port else ""

    def address(found: re.Match[bytes]) -> bytes:
        name = domain_name(found[1].decode(), found[2].decode())
        return f"http://{name}{suffix}".encode()

    body = _ENDPOINT.sub(address, answer.body)
    if body == answer.body:
        return answer
    headers = [(name, value) for name, value in answer.headers if name != b"content-length"]
    headers.append((b"content-length", str(len(body)).encode()))
    return replace(answer, headers=headers, body=body)
