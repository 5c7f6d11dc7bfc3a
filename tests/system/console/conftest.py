"""A node, and a real browser that looks at its console.

A page that loads anything from elsewhere, or that complains in the browser's console, fails
its test whatever else it does.
"""

import shutil
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from support.functions import PYTHON, MakeFunction, await_active, create
from support.node import Node, running
from support.programs import needed

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

TIMEOUT_MS = 20_000

_PROVOKED = (
    # A refusal that a test asks for is told by the browser, and by htmx.
    "Failed to load resource",
    "Response Status Error Code 4",
    # Chromium's own editing marks up what is typed over a selection, and is not let.
    "Applying inline style violates",
)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings = {"interpreters": f"{PYTHON}={sys.executable}"}
    with running(tmp_path_factory.mktemp("console") / "node", settings=settings) as node:
        yield node


@pytest.fixture(scope="session")
def lambda_client(node: Node) -> Iterator[Any]:
    client = node.client()
    yield client
    client.close()


# Not for the session: an event loop runs for as long as Playwright does, and no test after it
# could run one of its own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium-headless-shell") or needed("chromium")
    # A service that is asked for the first time is started first, on a machine that may be busy.
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, node: Node) -> Iterator[Page]:
    context = chromium.new_context(base_url=node.url, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    complaints: list[str] = []

    def note_request(request: Request) -> None:
        if not request.url.startswith((node.url, "data:")):
            complaints.append(f"asked elsewhere: {request.url}")

    def note_message(message: ConsoleMessage) -> None:
        is_provoked = any(words in message.text for words in _PROVOKED)
        if message.type == "error" and not is_provoked:
            complaints.append(message.text)

    page.on("request", note_request)
    page.on("console", note_message)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def function(lambda_client: Any, request: pytest.FixtureRequest) -> Iterator[MakeFunction]:
    """Make a function that is ready, named after the test; it goes when the test ends."""
    made: list[str] = []

    def make(files: Any, **settings: Any) -> str:
        name = f"{request.node.name[5:50].replace('[', '-').replace(']', '')}-{len(made)}"
        create(lambda_client, name, files, **settings)
        made.append(name)
        await_active(lambda_client, name)
        return name

    yield make
    for name in made:
        try:
            lambda_client.delete_function(FunctionName=name)
        except lambda_client.exceptions.ResourceNotFoundException:
            continue
