"""The console of a node that has not started, asked as a server asks an ASGI application."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from lambdabox.server.wiring import Parts


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    headers: Mapping[str, str]
    cookies: list[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf-token" content="([0-9a-f]+)"', self.text)
        assert found is not None
        return found.group(1)


@dataclass(slots=True)
class Browser:
    """Keeps cookies, as a browser does, and sends what else it is told."""

    parts: Parts
    host: str = "localhost:4566"
    client: str = "127.0.0.1"
    cookies: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Page:
        return await self.ask("GET", path, b"", headers or {})

    async def post(
        self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Page:
        form = {"content-type": "application/x-www-form-urlencoded"}
        return await self.ask("POST", path, body, {**form, **(headers or {})})

    async def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Page:
        sent = {"host": self.host, "content-length": str(len(body)), **headers}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": query.encode(), "scheme": "http", "http_version": "1.1",
            "root_path": "", "client": (self.client, 50_000), "server": ("127.0.0.1", 4566),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        }  # fmt: skip
        told: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            told.append(message)

        await self.parts.gateway(scope, receive, send)
        found = [(name.decode(), value.decode()) for name, value in told[0]["headers"]]
        cookies = [value for name, value in found if name == "set-cookie"]
        for cookie in cookies:
            for name, morsel in SimpleCookie(cookie).items():
                self.cookies[name] = morsel.value
        content = b"".join(message.get("body", b"") for message in told[1:])
        return Page(told[0]["status"], dict(found), cookies, content)


MakeBrowser = Callable[..., Browser]
