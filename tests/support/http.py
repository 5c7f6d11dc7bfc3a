"""Speak HTTP to a node byte by byte, as no client library would."""

import contextlib
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from support.node import Node


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return self.headers.get("x-amzn-errortype", "")


def address(node: Node) -> tuple[str, int]:
    host, _, port = node.url.removeprefix("http://").partition(":")
    return host, int(port)


def raw(node: Node, data: bytes, *, then_close: bool = False) -> Answer | None:
    """Send bytes as they are; return the answer, or None if the node closed the connection."""
    with socket.create_connection(address(node), timeout=20) as connection:
        # Refused before all was sent, the answer is there already.
        with contextlib.suppress(OSError):
            connection.sendall(data)
        if then_close:
            return None
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            body = response.read()
        except (http.client.HTTPException, ConnectionError):
            return None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, body)


def send(
    node: Node,
    method: str,
    path: str,
    body: bytes | str = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    connection = http.client.HTTPConnection(*address(node), timeout=20)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()
