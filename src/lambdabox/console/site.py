"""Put the console together: its pages, what they share, and who stands before them."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from lambdabox.console.assets import Assets
from lambdabox.console.gatekeeper import Gatekeeper
from lambdabox.console.pages.code import CodePage
from lambdabox.console.pages.configuration import ConfigurationPage
from lambdabox.console.pages.costs import CostsPage
from lambdabox.console.pages.create import CreatePage
from lambdabox.console.pages.functions import FunctionsPage
from lambdabox.console.pages.invocation import InvocationPage
from lambdabox.console.pages.layers import LayersPage
from lambdabox.console.pages.login import LoginPage
from lambdabox.console.pages.logs import LogsPage
from lambdabox.console.pages.monitor import MonitorPage
from lambdabox.console.pages.scope import ScopePage
from lambdabox.console.pages.sources import SourcesPage
from lambdabox.console.pages.test import TestPage
from lambdabox.console.pages.triggers import TriggersPage
from lambdabox.console.rendering import View
from lambdabox.console.routing import Page, routes, told
from lambdabox.console.services import ConsoleServices
from lambdabox.console.sessions import LoginLimit, Sessions
from lambdabox.console.settings import Application, ConsoleSettings


def build_site(settings: ConsoleSettings, services: ConsoleServices) -> Application:
    """Return the console. Reads its files, so it belongs on a thread."""
    now = services.clock.now
    sessions = Sessions(secret=settings.secret, token=settings.rules.token, now=now)
    assets = Assets()
    view = View(assets)
    pages: list[Page] = [
        FunctionsPage(services, view),
        CreatePage(services, view),
        CodePage(services, view),
        TestPage(services, view),
        MonitorPage(services, view),
        InvocationPage(services, view),
        LogsPage(services, view),
        ConfigurationPage(services, view),
        TriggersPage(services, view),
        SourcesPage(services, view),
        LayersPage(services, view),
        CostsPage(services, view),
        ScopePage(settings.default_scope),
        LoginPage(view, sessions, LoginLimit(now)),
    ]

    async def missing(request: Request, _exc: Exception) -> Response:
        return told(request, view, 404, "There is no such page.")

    async def wrong_method(request: Request, _exc: Exception) -> Response:
        return told(request, view, 405, f"{request.method} is not possible here.")

    async def failed(request: Request, _exc: Exception) -> Response:
        # Whoever raised is in the node's log, where Starlette lets the exception go on to.
        return told(request, view, 500, "The node failed to answer; its log says why.")

    app = Starlette(
        routes=[
            Route("/console", home, methods=["GET"]),
            Route("/console/", home, methods=["GET"]),
            Route("/console/static/{version}/{name:path}", assets.answer, methods=["GET"]),
            *routes(pages, view, sessions),
        ],
        exception_handlers={404: missing, 405: wrong_method, Exception: failed},
    )
    return Gatekeeper(app, settings.rules, sessions, settings.default_scope)


async def home(_request: Request) -> Response:
    return RedirectResponse("/console/functions", 303)
