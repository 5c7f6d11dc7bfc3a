"""What stands before every page: hosts, logins, tokens of sessions, and what browsers are told."""

import re
from pathlib import Path
from typing import Any

import pytest
from support.console import Browser, MakeBrowser

from lambdabox.console.sessions import MAX_FAILURES
from lambdabox.server.config import Settings
from lambdabox.server.wiring import build

TOKEN = "a-long-enough-token"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def browser(tmp_path: Path) -> MakeBrowser:
    """Make a browser of a node with these settings."""

    def make(host: str = "localhost:4566", client: str = "127.0.0.1", **settings: Any) -> Browser:
        parts = build(Settings(data_dir=tmp_path, **settings), address="127.0.0.1:4566")
        return Browser(parts, host, client)

    return make


def answers(browser: Browser, method: str) -> list[str]:
    """The paths of the site's own routes that take a method."""
    console: Any = browser.parts.gateway._console
    return [route.path for route in console._app.app.routes if method in route.methods]


async def test_on_the_machine_itself_the_console_is_open(browser: MakeBrowser) -> None:
    visitor = browser()
    page = await visitor.get("/console")
    assert (page.status, page.headers["location"]) == (303, "/console/functions")


async def test_browsers_are_told_to_load_nothing_from_elsewhere(browser: MakeBrowser) -> None:
    page = await browser().get("/console/create")
    assert page.status == 200
    policy = dict(
        part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";")
    )
    nonce = policy.pop("style-src").removeprefix("'self' 'nonce-").removesuffix("'")
    assert len(nonce) >= 16
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert not re.findall(r'(?:src|href|action)="(?!/console|#)[^"]*"', page.text)
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=", page.text)


async def test_cookies_are_for_the_console_alone(browser: MakeBrowser) -> None:
    [cookie] = (await browser().get("/console/create")).cookies
    name, _, attributes = cookie.partition("; ")
    assert name.startswith("lambdabox_4566_session=")
    assert attributes == "Path=/console; Max-Age=604800; HttpOnly; SameSite=Strict"


async def test_a_session_goes_on_and_is_not_made_again(browser: MakeBrowser) -> None:
    visitor = browser()
    first = await visitor.get("/console/create")
    second = await visitor.get("/console/create")
    assert second.cookies == []
    assert second.csrf == first.csrf


async def test_whatever_changes_something_needs_the_sessions_token(browser: MakeBrowser) -> None:
    visitor = browser()
    other = (await browser().get("/console/create")).csrf
    own = (await visitor.get("/console/create")).csrf
    paths = [path.replace("{name}", "x") for path in answers(visitor, "POST")]
    assert len(paths) >= 10
    for path in paths:
        for given in ("", own[:-1], other):
            page = await visitor.post(path, headers={"x-csrf-token": given})
            assert page.status == 403, path
            assert "another session" in page.text
        page = await visitor.post(path, f"csrf={other}".encode())
        assert page.status == 403, path
    page = await visitor.post("/console/scope", f"csrf={own}&region=eu-west-1".encode())
    assert page.status == 303


async def test_only_posts_change_something(browser: MakeBrowser) -> None:
    visitor = browser()
    await visitor.get("/console")
    console: Any = visitor.parts.gateway._console
    assert {m for route in console._app.app.routes for m in route.methods} == {
        "GET", "HEAD", "POST",
    }  # fmt: skip
    assert (await visitor.get("/console/scope")).status == 405


async def test_a_strange_host_is_refused(browser: MakeBrowser) -> None:
    page = await browser(host="evil.example.com").get("/console/functions")
    assert page.status == 403
    assert page.text.startswith("The console does not answer under the name 'evil.example.com'.")
    assert "LAMBDABOX_CONSOLE_HOSTS" in page.text
    known = browser(host="box.example.com", console_hosts=("box.example.com",), console_token=TOKEN)
    assert (await known.get("/console/login")).status == 200


@pytest.mark.parametrize(
    ("settings", "client", "headers"),
    [
        ({"host": "0.0.0.0"}, "127.0.0.1", {}),
        ({"host": "10.0.0.1"}, "10.0.0.9", {}),
        ({}, "198.18.0.2", {}),
        ({}, "127.0.0.1", {"x-forwarded-for": "203.0.113.9"}),
        ({}, "127.0.0.1", {"forwarded": "for=203.0.113.9"}),
    ],
)
async def test_without_a_token_others_are_told_what_to_set(
    browser: MakeBrowser, settings: dict[str, Any], client: str, headers: dict[str, str]
) -> None:
    visitor = browser(client=client, **settings)
    for path in ("/console", "/console/functions", "/console/login", "/console/static/x/y.js"):
        page = await visitor.get(path, headers)
        assert page.status == 403
        assert "LAMBDABOX_CONSOLE_TOKEN" in page.text


async def test_a_visitor_logs_in_with_the_token_and_out(browser: MakeBrowser) -> None:
    visitor = browser(host="10.0.0.1:4566", client="10.0.0.9", console_token=TOKEN)
    page = await visitor.get("/console/create")
    assert (page.status, page.headers["location"]) == (303, "/console/login")
    csrf = (await visitor.get("/console/login")).csrf
    before = dict(visitor.cookies)
    assert (await visitor.post("/console/create", f"csrf={csrf}".encode())).status == 401
    wrong = await visitor.post("/console/login", f"csrf={csrf}&token=wrong".encode())
    assert (wrong.status, "not the token" in wrong.text) == (403, True)
    page = await visitor.post("/console/login", f"csrf={csrf}&token={TOKEN}".encode())
    assert (page.status, page.headers["location"]) == (303, "/console")
    assert visitor.cookies != before  # a session known before is worth nothing after
    inside = await visitor.get("/console/create")
    assert inside.status == 200
    assert "Log out" in inside.text
    page = await visitor.post("/console/logout", f"csrf={inside.csrf}".encode())
    assert (await visitor.get("/console/create")).status == 303


async def test_tokens_cannot_be_tried_one_after_another(browser: MakeBrowser) -> None:
    visitor = browser(console_token=TOKEN)
    csrf = (await visitor.get("/console/login")).csrf
    for _ in range(MAX_FAILURES):
        page = await visitor.post("/console/login", f"csrf={csrf}&token=wrong".encode())
        assert page.status == 403
    page = await visitor.post("/console/login", f"csrf={csrf}&token={TOKEN}".encode())
    assert (page.status, "Wait a minute" in page.text) == (429, True)


async def test_parts_of_pages_and_scripts_are_told_to_log_in(browser: MakeBrowser) -> None:
    visitor = browser(console_token=TOKEN)
    page = await visitor.get("/console/functions", {"hx-request": "true"})
    assert (page.status, page.headers["hx-redirect"]) == (401, "/console/login")


async def test_clients_of_a_bucket_named_console_are_not_disturbed(browser: MakeBrowser) -> None:
    signed = "AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/logs/aws4_request, Signature=0"
    page = await browser().get("/console/photo.png", {"authorization": signed})
    assert "content-security-policy" not in page.headers
    for path in ("/consoles", "/console.png"):
        page = await browser().get(path)
        assert "content-security-policy" not in page.headers


async def test_the_styles_and_scripts_are_kept_for_ever(browser: MakeBrowser) -> None:
    visitor = browser()
    text = (await visitor.get("/console/create")).text
    urls = set(re.findall(r'"(/console/static/[^"]+)"', text))
    assert len(urls) >= 4
    for url in urls:
        asset = await visitor.get(url, {"accept-encoding": "gzip, br"})
        assert asset.status == 200
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["content-encoding"] == "gzip"
        assert asset.cookies == []
    name = next(url for url in urls if url.endswith("console.css"))
    plain = await visitor.get(name)
    assert plain.text.startswith("/*")
    older = await visitor.get(re.sub(r"static/\w+/", "static/older/", name))
    assert older.headers["cache-control"] == "no-cache"
    missing = "/console/static/x/../../../console/site.py"
    assert (await visitor.get(missing)).status == 404


@pytest.mark.parametrize("value", ["", "a/b", "000000000000", "000000000000/us-east-1/x", "é"])
async def test_a_strange_choice_of_account_and_region_is_the_default(
    browser: MakeBrowser, value: str
) -> None:
    visitor = browser()
    visitor.cookies["lambdabox_4566_scope"] = value
    assert "us-east-1" in (await visitor.get("/console/create")).text


async def test_the_account_and_region_are_chosen(browser: MakeBrowser) -> None:
    visitor = browser()
    csrf = (await visitor.get("/console/create")).csrf
    body = f"csrf={csrf}&account=111122223333&region=eu-west-1".encode()
    assert (await visitor.post("/console/scope", body)).status == 303
    text = (await visitor.get("/console/create")).text
    assert "arn:aws:iam::111122223333:role" in text
    body = f"csrf={csrf}&account=12&region=eu-west-1".encode()
    page = await visitor.post("/console/scope", body)
    assert (page.status, "An account has 12 digits" in page.text) == (400, True)


async def test_cookies_of_other_programs_on_the_machine_do_no_harm(browser: MakeBrowser) -> None:
    visitor = browser()
    visitor.cookies['{"a":[1]}'] = '"x, y'
    first = await visitor.get("/console/create")
    second = await visitor.get("/console/create")
    assert second.csrf == first.csrf


@pytest.mark.parametrize("value", ["%%%", "bm90IGpzb24", "e30=", "W10=", "MQ=="])
async def test_a_broken_message_is_not_shown(browser: MakeBrowser, value: str) -> None:
    visitor = browser()
    visitor.cookies["lambdabox_4566_message"] = value
    page = await visitor.get("/console/create")
    assert page.status == 200
    assert '<div class="message' not in page.text


async def test_a_form_that_cannot_be_read_is_refused(browser: MakeBrowser) -> None:
    visitor = browser()
    assert (await visitor.post("/console/scope", b"csrf=%ff%fe" + b"\xff")).status == 400
    many = b"&".join(b"a=1" for _ in range(1_001))
    assert (await visitor.post("/console/scope", many)).status == 400
    assert (await visitor.post("/console/scope", b"a=" + b"x" * 8_388_608)).status == 413
