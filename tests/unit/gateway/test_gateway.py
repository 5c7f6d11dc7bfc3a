"""Whose request it is, who answers it, and how it is told where the node is."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

from lambdabox.api.request import ClientGone, Request
from lambdabox.api.serialize import WireResponse
from lambdabox.domain.arn import Scope
from lambdabox.gateway.app import Gateway
from lambdabox.gateway.url_requests import UrlCall

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class RecordingFrontEnd:
    """Answers every request with its name, and keeps it."""

    def __init__(self, name: str, status: int = 200) -> None:
        self._name = name
        self._status = status
        self.is_gone = False
        self.requests: list[Request] = []

    async def answer(self, request: Request) -> WireResponse:
        self.requests.append(request)
        if self.is_gone:
            raise ClientGone
        return WireResponse(self._status, [(b"x-front-end", b"yes")], self._name.encode())


class RecordingUrls:
    """Answers every request to a function URL, and keeps it."""

    def __init__(self) -> None:
        self.calls: list[UrlCall] = []

    async def answer(self, call: UrlCall) -> WireResponse:
        self.calls.append(call)
        return WireResponse(200, [], b"urls")


class Setting:
    def __init__(self, status: int = 200) -> None:
        self.functions = RecordingFrontEnd("functions", status)
        self.logs = RecordingFrontEnd("logs")
        self.platform = RecordingFrontEnd("platform")
        self.urls = RecordingUrls()
        self.sent: list[MutableMapping[str, Any]] = []
        self._gateway = Gateway(
            urls=self.urls,
            functions=self.functions,
            logs=self.logs,
            platform=self.platform,
            default_region="eu-central-1",
            default_address="127.0.0.1:9000",
        )

    async def ask(
        self,
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        path: bytes = b"/2015-03-31/functions",
        query: bytes = b"",
    ) -> str:
        """Return what was answered."""
        raw = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in (headers or {}).items()]
        scope = {
            "type": "http",
            "method": method,
            "raw_path": path,
            "query_string": query,
            "headers": raw,
        }
        await self._gateway(scope, self._receive, self._send)
        body: bytes = self.sent[-1]["body"] if self.sent else b""
        return body.decode()

    async def asked(self, headers: Mapping[str, str] | None = None, **options: Any) -> Request:
        """Return the request as the functions' front end saw it."""
        await self.ask(headers, **options)
        return self.functions.requests[-1]

    async def _receive(self) -> Mapping[str, Any]:
        return {"type": "http.request"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message)


def signed(access_key: str, region: str = "us-east-1", service: str = "lambda") -> dict[str, str]:
    credential = f"{access_key}/20261123/{region}/{service}/aws4_request"
    return {
        "authorization": f"AWS4-HMAC-SHA256 Credential={credential}, "
        "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64
    }


@pytest.mark.parametrize(
    ("headers", "scope"),
    [
        ({}, Scope("000000000000", "eu-central-1")),
        (signed("123456789012"), Scope("123456789012", "us-east-1")),
        (signed("AKIAIOSFODNN7EXAMPLE"), Scope("000000000000", "us-east-1")),
        (signed("test", "us-gov-west-1"), Scope("000000000000", "us-gov-west-1")),
        (signed("1234567890123"), Scope("000000000000", "us-east-1")),
        (signed("12345678901\u00b2"), Scope("000000000000", "us-east-1")),
        (signed("123456789012", "mars"), Scope("123456789012", "eu-central-1")),
        ({"authorization": "Bearer token"}, Scope("000000000000", "eu-central-1")),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=x"}, Scope("000000000000", "eu-central-1")),
    ],
)
async def test_credentials_name_account_and_region(headers: dict[str, str], scope: Scope) -> None:
    assert (await Setting().asked(headers)).scope == scope


async def test_a_presigned_request_names_them_in_its_query() -> None:
    credential = "123456789012%2F20261123%2Fus-west-2%2Flambda%2Faws4_request"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}".encode()
    assert (await Setting().asked(query=query)).scope == Scope("123456789012", "us-west-2")


async def test_digits_of_other_scripts_name_no_account() -> None:
    access_key = "%D9%A3" * 12  # ARABIC-INDIC DIGIT THREE
    credential = f"{access_key}%2F20261123%2Fus-west-2%2Flambda%2Faws4_request"
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}".encode()
    assert (await Setting().asked(query=query)).scope == Scope("000000000000", "us-west-2")


@pytest.mark.parametrize(
    ("headers", "path", "who"),
    [
        ({}, b"/2015-03-31/functions", "functions"),
        (signed("test"), b"/", "functions"),
        (signed("test", service="logs"), b"/", "logs"),
        ({"x-amz-target": "Logs_20140328.GetLogEvents"}, b"/", "logs"),
        ({"x-amz-target": "DynamoDB_20120810.GetItem"}, b"/", "functions"),
        (signed("test", service="logs"), b"/_lambdabox/health", "platform"),
        ({}, b"/_lambdabox", "functions"),
    ],
)
async def test_each_request_reaches_its_front_end(
    headers: dict[str, str], path: bytes, who: str
) -> None:
    assert await Setting().ask(headers, path=path) == who


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost:9000", "localhost:9000"),
        ("node.example.com", "node.example.com"),
        ("lambda_box:9000", "lambda_box:9000"),
        ("[::1]:9000", "[::1]:9000"),
        ("", "127.0.0.1:9000"),
        ("evil.example/path", "127.0.0.1:9000"),
        ("user@evil.example", "127.0.0.1:9000"),
        ("a b", "127.0.0.1:9000"),
        ('"><script>', "127.0.0.1:9000"),
        ("x" * 5_000, "127.0.0.1:9000"),
        ("host:port", "127.0.0.1:9000"),
        ("host:123456", "127.0.0.1:9000"),
        ("host\n", "127.0.0.1:9000"),
        ("\u00e9.example", "127.0.0.1:9000"),
    ],
)
async def test_an_absurd_host_does_not_get_into_links(host: str, address: str) -> None:
    assert (await Setting().asked({"host": host})).base_url == f"http://{address}"


async def test_every_request_has_an_id_that_its_answer_names() -> None:
    setting = Setting()
    first, second = await setting.asked(), await setting.asked()
    assert first.request_id != second.request_id
    assert (b"x-amzn-requestid", second.request_id.encode()) in setting.sent[-2]["headers"]


async def test_an_answer_states_its_length() -> None:
    setting = Setting()
    await setting.ask()
    assert (b"content-length", b"9") in setting.sent[0]["headers"]
    assert (b"x-front-end", b"yes") in setting.sent[0]["headers"]


async def test_an_answer_to_head_has_the_length_and_no_body() -> None:
    setting = Setting()
    assert await setting.ask(method="HEAD") == ""
    assert (b"content-length", b"9") in setting.sent[0]["headers"]


async def test_an_answer_without_content_states_no_length() -> None:
    setting = Setting(status=204)
    await setting.ask()
    assert b"content-length" not in dict(setting.sent[0]["headers"])


async def test_nothing_is_sent_to_a_client_that_is_gone() -> None:
    setting = Setting()
    setting.functions.is_gone = True
    await setting.ask()
    assert setting.sent == []
