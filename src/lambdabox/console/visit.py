"""What every page knows of the request that it answers."""

from dataclasses import dataclass

from starlette.requests import Request

from lambdabox.console.sessions import Session
from lambdabox.domain.arn import Scope

KEY = "lambdabox.visit"


@dataclass(frozen=True, slots=True)
class Visit:
    session: Session
    csrf_token: str
    nonce: str
    """What the page's own style element, the editor's, is marked with."""
    scope: Scope
    """The account and region that are shown."""
    base_url: str
    """How this visitor reaches the node: scheme, host and port."""
    can_log_out: bool
    cookie_prefix: str
    """Nodes on other ports of this machine get the same cookies, so theirs have other names."""


def visit_of(request: Request) -> Visit:
    visit: Visit = request.scope[KEY]
    return visit


def is_fragment(request: Request) -> bool:
    """Whether htmx asks, for a part of a page."""
    return request.headers.get("hx-request") == "true" and (
        request.headers.get("hx-boosted") != "true"
    )


def wants_json(request: Request) -> bool:
    return request.headers.get("accept", "").startswith("application/json")
