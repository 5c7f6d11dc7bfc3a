"""Choosing the account and the region that the console shows."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from lambdabox.console.forms import read_form
from lambdabox.console.gatekeeper import ROOT, chosen_scope, cookie
from lambdabox.console.rendering import redirect
from lambdabox.console.routing import Answer
from lambdabox.console.visit import visit_of
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import InvalidParameterValueException

_YEAR_SECONDS = 365 * 86_400


class ScopePage:
    def __init__(self, default: Scope) -> None:
        self._default = default

    def answers(self) -> Sequence[Answer]:
        return [Answer("POST", "/scope", self.choose)]

    async def choose(self, request: Request) -> Response:
        form = await read_form(request)
        account = form.text("account") or self._default.account
        region = form.text("region") or self._default.region
        scope = chosen_scope(f"{account}/{region}")
        if scope is None:
            raise InvalidParameterValueException(
                "An account has 12 digits, and a region looks like us-east-1."
            )
        response = redirect(request, ROOT)
        name = f"{visit_of(request).cookie_prefix}_scope"
        value = f"{scope.account}/{scope.region}"
        header = cookie(name, value, _YEAR_SECONDS, request.url.scheme)
        response.headers.append("set-cookie", header)
        return response
