"""How pages declare what they answer, and what every answer has in common.

Whatever is not a GET must carry the CSRF token of its session: as a header, which scripts
send, or as a field of its form. What the services refuse is told where it was asked: in the
page, in a message over it, or as JSON.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lambdabox.console.forms import read_form
from lambdabox.console.rendering import View
from lambdabox.console.sessions import Sessions
from lambdabox.console.visit import is_fragment, visit_of, wants_json
from lambdabox.domain.errors import ApiError

Endpoint = Callable[[Request], Awaitable[Response]]

CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"


@dataclass(frozen=True, slots=True)
class Answer:
    """An address below `/console` and what answers it."""

    method: Literal["GET", "POST"]
    path: str
    endpoint: Endpoint


class Page(Protocol):
    def answers(self) -> Sequence[Answer]: ...


def routes(pages: Sequence[Page], view: View, sessions: Sessions) -> list[Route]:
    return [
        Route(
            f"/console{answer.path}",
            _guarded(answer.endpoint, view, sessions, is_post=answer.method == "POST"),
            methods=[answer.method],
        )
        for page in pages
        for answer in page.answers()
    ]


def _guarded(endpoint: Endpoint, view: View, sessions: Sessions, *, is_post: bool) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            if is_post:
                await _check_csrf(request, sessions)
            return await endpoint(request)
        except ApiError as exc:
            return told(request, view, exc.status, exc.message)
        except HTTPException as exc:
            return told(request, view, exc.status_code, exc.detail)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads

    return answer


async def _check_csrf(request: Request, sessions: Sessions) -> None:
    given = request.headers.get(CSRF_HEADER) or (await read_form(request)).get(CSRF_FIELD, "")
    if not sessions.has_csrf_token(visit_of(request).session, given):
        raise HTTPException(
            403, "This page was opened in another session. Reload it and try again."
        )


def told(request: Request, view: View, status: int, message: str) -> Response:
    """Tell what went wrong, in the form that whoever asked can show."""
    if wants_json(request):
        return JSONResponse({"message": message}, status)
    if is_fragment(request):
        response = view.fragment(request, "_message.html", status=status, kind="bad", text=message)
        response.headers["HX-Retarget"] = "#messages"
        response.headers["HX-Reswap"] = "beforeend"
        return response
    return view.page(request, "error.html", status=status, code=status, text=message)
