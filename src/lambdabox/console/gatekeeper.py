"""Stands before every page: who asks, may they, and what browsers may do with the answer.

An ASGI application around the pages' own. What it decides by is in `access` and `sessions`.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from lambdabox.console.access import AccessRules, Verdict, Visitor
from lambdabox.console.sessions import LIFETIME_SECONDS, Session, Sessions
from lambdabox.console.visit import KEY, Visit
from lambdabox.domain.arn import Scope

ROOT = "/console"
LOGIN = f"{ROOT}/login"
STATIC = f"{ROOT}/static/"

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
_SCOPE = re.compile(r"(\d{12})/([a-z]{2}(?:-[a-z]+)+-\d)")

NOT_SET_UP = (
    "The console is open without a token only on the machine that it runs on. To reach it from "
    "elsewhere, set LAMBDABOX_CONSOLE_TOKEN (console_token in the settings file) and start the "
    "node again.\n"
)
WRONG_HOST = (
    "The console does not answer under the name {host!r}. Use localhost or an IP address, or add "
    "the name to LAMBDABOX_CONSOLE_HOSTS (console_hosts in the settings file).\n"
)


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    app: ASGIApp
    rules: AccessRules
    sessions: Sessions
    default_scope: Scope

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        prefix = cookie_prefix(headers.get("host", ""))
        cookies = read_cookies(headers.get("cookie", ""))
        session = self.sessions.read(cookies.get(f"{prefix}_session", ""))
        nonce = secrets.token_urlsafe(16)
        is_new = session is None
        current = session or self.sessions.begin()
        renewed = current if is_new else self.sessions.renewed(current)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                protect(sent, nonce)
                if renewed is not None and not scope["path"].startswith(STATIC):
                    cookie = session_cookie(prefix, self.sessions.write(renewed), scope["scheme"])
                    # One that a page has set, by logging in or out, is newer.
                    if not any(f"{prefix}_session=" in c for c in sent.getlist("set-cookie")):
                        sent.append("set-cookie", cookie)
            await send(message)

        verdict = self.rules.judge(visitor(scope, headers, session))
        scope = {
            **scope,
            KEY: Visit(
                session=current,
                csrf_token=self.sessions.csrf_token(current),
                nonce=nonce,
                scope=chosen_scope(cookies.get(f"{prefix}_scope", "")) or self.default_scope,
                base_url=f"{scope['scheme']}://{headers.get('host', '')}",
                can_log_out=current.has_logged_in,
                cookie_prefix=prefix,
            ),
        }
        await self._answerer(verdict, scope, headers)(scope, receive, guarded)

    def _answerer(self, verdict: Verdict, scope: AsgiScope, headers: Headers) -> ASGIApp:
        path: str = scope["path"]
        if verdict is Verdict.WRONG_HOST:
            told = WRONG_HOST.format(host=headers.get("host", "")[:200])
            return PlainTextResponse(told, 403)
        if verdict is Verdict.NOT_SET_UP:
            return PlainTextResponse(NOT_SET_UP, 403)
        if verdict is Verdict.NEEDS_LOGIN and path != LOGIN and not path.startswith(STATIC):
            if headers.get("hx-request") == "true":
                return PlainTextResponse("", 401, {"HX-Redirect": LOGIN})
            if scope["method"] not in ("GET", "HEAD"):
                return PlainTextResponse("Log in first.\n", 401)
            return RedirectResponse(LOGIN, 303)
        return self.app


def visitor(scope: Mapping[str, object], headers: Headers, session: Session | None) -> Visitor:
    client = scope.get("client")
    return Visitor(
        host=headers.get("host", ""),
        client=str(client[0]) if isinstance(client, tuple | list) else "",
        is_forwarded=any(name in headers for name in _FORWARDED),
        has_logged_in=session is not None and session.has_logged_in,
    )


def protect(headers: MutableHeaders, nonce: str) -> None:
    """Say what browsers may do with the answer: show it, with what the node itself serves."""
    headers["content-security-policy"] = (
        "default-src 'none'; script-src 'self'; "
        f"style-src 'self' 'nonce-{nonce}'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    headers["x-content-type-options"] = "nosniff"
    headers["x-frame-options"] = "DENY"
    headers["referrer-policy"] = "same-origin"
    headers["cross-origin-opener-policy"] = "same-origin"
    headers["cross-origin-resource-policy"] = "same-origin"
    headers.setdefault("cache-control", "no-store")


def cookie_prefix(host: str) -> str:
    port = host.rpartition(":")[2]
    return f"lambdabox_{port}" if port.isdigit() else "lambdabox"


def session_cookie(prefix: str, value: str, scheme: str) -> str:
    return cookie(f"{prefix}_session", value, LIFETIME_SECONDS, scheme)


def cookie(name: str, value: str, seconds: int, scheme: str) -> str:
    """Return a Set-Cookie header's value that neither scripts nor other sites see."""
    secure = "; Secure" if scheme == "https" else ""
    return f"{name}={value}; Path={ROOT}; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def read_cookies(header: str) -> Mapping[str, str]:
    """Read what is there, whatever other programs on this machine have put beside it."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return {name: value for name, equals, value in pairs if equals}


def chosen_scope(text: str) -> Scope | None:
    """Return the account and region that a cookie, or a form, names."""
    found = _SCOPE.fullmatch(text)
    return Scope(found.group(1), found.group(2)) if found else None
