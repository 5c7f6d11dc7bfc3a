"""Logging in with the console's token, and out."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.forms import read_form
from lambdabox.console.gatekeeper import ROOT, cookie, session_cookie
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.sessions import LoginLimit, Sessions
from lambdabox.console.visit import visit_of


class LoginPage:
    def __init__(self, view: View, sessions: Sessions, limit: LoginLimit) -> None:
        self._view = view
        self._sessions = sessions
        self._limit = limit

    def answers(self) -> Sequence[Answer]:
        return [
            Answer("GET", "/login", self.show),
            Answer("POST", "/login", self.log_in),
            Answer("POST", "/logout", self.log_out),
        ]

    async def show(self, request: Request) -> Response:
        if visit_of(request).can_log_out:
            return redirect(request, ROOT)
        return self._view.page(request, "login.html", problem=None)

    async def log_in(self, request: Request) -> Response:
        if self._limit.is_reached:
            problem = "Too many wrong tokens. Wait a minute and try again."
            return self._view.page(request, "login.html", status=429, problem=problem)
        if not self._sessions.is_token((await read_form(request)).text("token")):
            self._limit.count()
            problem = "This is not the token of this node (setting console_token)."
            return self._view.page(request, "login.html", status=403, problem=problem)
        # A session of its own, so that one that was known before is worth nothing after.
        value = self._sessions.write(self._sessions.begin(has_logged_in=True))
        response = redirect(request, ROOT)
        prefix, scheme = visit_of(request).cookie_prefix, request.url.scheme
        response.headers.append("set-cookie", session_cookie(prefix, value, scheme))
        return response

    async def log_out(self, request: Request) -> Response:
        response = redirect(request, ROOT)
        name = f"{visit_of(request).cookie_prefix}_session"
        response.headers.append("set-cookie", cookie(name, "", 0, request.url.scheme))
        return response
