"""Function URLs as their users call them: by host name or by path, and nothing between."""

import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from support.http import address
from support.node import Node

ANSWER = """
import json
def handler(event, context):
    asked = json.loads(event["body"]) if event["rawPath"] == "/answer" else None
    if event["rawPath"] == "/raise":
        raise ValueError(asked)
    if event["rawPath"] == "/arn":
        return context.invoked_function_arn
    return event if asked is None else asked["result"]
"""
"""Answers its event; at /answer what is asked for, and at /raise nothing."""


@dataclass(frozen=True, slots=True)
class UrlAnswer:
    status: int
    headers: list[tuple[str, str]]
    """In the order and the case of the wire."""
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None

    @property
    def value(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Url:
    """A function's URL on a node."""

    node: Node
    address: str

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    @property
    def id(self) -> str:
        return self.host.partition(".")[0]

    def ask(
        self,
        path: str = "/",
        *,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: list[tuple[str, str | bytes]] | None = None,
        by_path: bool = False,
    ) -> UrlAnswer:
        """Send one request. The host name goes where resolving it would have led."""
        connection = http.client.HTTPConnection(*address(self.node), timeout=20)
        try:
            target = f"/_lambdabox/url/{self.id}{path}" if by_path else path
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            host = urlsplit(self.node.url).netloc if by_path else self.host
            connection.putheader("Host", host)
            for name, value in headers or ():
                connection.putheader(name, value)
            content = body.encode() if isinstance(body, str) else body
            if content is not None:
                connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            response = connection.getresponse()
            return UrlAnswer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def answer(self, result: Any, **options: Any) -> UrlAnswer:
        """Have `ANSWER` return `result`."""
        return self.ask(
            "/answer",
            method="POST",
            body=json.dumps({"result": result}),
            headers=[("Content-Type", "application/json"), *options.pop("headers", [])],
            **options,
        )


def allow_everybody(client: Any, function: str, **parameters: Any) -> None:
    """Add the two permissions that a URL without authentication needs."""
    client.add_permission(
        FunctionName=function,
        StatementId="url",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
        **parameters,
    )
    client.add_permission(
        FunctionName=function,
        StatementId="function",
        Action="lambda:InvokeFunction",
        Principal="*",
        InvokedViaFunctionUrl=True,
        **parameters,
    )


def public_url(node: Node, client: Any, function: str, **parameters: Any) -> Url:
    """Give the function a URL that everybody may use."""
    allow_everybody(client, function)
    created = client.create_function_url_config(
        FunctionName=function, AuthType="NONE", **parameters
    )
    return Url(node, created["FunctionUrl"])
