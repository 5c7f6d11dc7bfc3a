"""Pages from templates: what all of them show, and messages that outlive a redirect."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lambdabox import __version__
from lambdabox.console import formatting
from lambdabox.console.assets import Assets
from lambdabox.console.gatekeeper import cookie, read_cookies
from lambdabox.console.navigation import FUNCTION_TABS, NAVIGATION
from lambdabox.console.visit import Visit, visit_of

TEMPLATES = Path(__file__).with_name("templates")

Kind = Literal["good", "bad", "note"]

_MESSAGE_SECONDS = 60
_MESSAGE_CHARS = 1_000


class View:
    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            asset=assets.url,
            navigation=NAVIGATION,
            function_tabs=FUNCTION_TABS,
            version=__version__,
        )
        self._environment.filters.update(
            size=formatting.size,
            duration=formatting.duration,
            ago=formatting.ago,
            count=formatting.count,
            usd=formatting.usd,
            moment=formatting.moment,
        )

    def page(
        self, request: Request, template: str, *, status: int = 200, **context: Any
    ) -> Response:
        """A whole page, with the message that a page before left for it."""
        visit = visit_of(request)
        message = _left_message(request, visit)
        response = self.fragment(request, template, status=status, message=message, **context)
        if message is not None:
            response.headers.append("set-cookie", _message_cookie(request, visit, "", 0))
        return response

    def fragment(
        self, request: Request, template: str, *, status: int = 200, **context: Any
    ) -> Response:
        """A part of a page, which htmx or a script asked for."""
        visit = visit_of(request)
        text = self._environment.get_template(template).render(
            request_path=request.url.path, visit=visit, **context
        )
        return HTMLResponse(text, status, {"vary": "HX-Request"})


def redirect(request: Request, url: str, *, kind: Kind = "good", message: str = "") -> Response:
    """Send the browser to another page, which then shows the message."""
    response: Response = RedirectResponse(url, 303)
    if request.headers.get("hx-request") == "true":
        response = Response(status_code=204, headers={"HX-Redirect": url})
    if message:
        told = orjson.dumps({"kind": kind, "text": message[:_MESSAGE_CHARS]})
        value = base64.urlsafe_b64encode(told).decode()
        visit = visit_of(request)
        header = _message_cookie(request, visit, value, _MESSAGE_SECONDS)
        response.headers.append("set-cookie", header)
    return response


def _message_cookie(request: Request, visit: Visit, value: str, seconds: int) -> str:
    return cookie(f"{visit.cookie_prefix}_message", value, seconds, request.url.scheme)


def _left_message(request: Request, visit: Visit) -> Mapping[str, str] | None:
    cookies = read_cookies(request.headers.get("cookie", ""))
    value = cookies.get(f"{visit.cookie_prefix}_message", "")
    if not value:
        return None
    try:
        told = orjson.loads(base64.urlsafe_b64decode(value))
        return {"kind": str(told["kind"]), "text": str(told["text"])}
    except (binascii.Error, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
