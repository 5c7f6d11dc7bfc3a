"""A newcomer's way through the console, and the pictures of it that the documentation shows.

One tour for both, so that a picture is of something that works: the tests walk it, and
`make screenshots` walks it with a camera that keeps what it sees.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from support.console_pages import code_of, deploy, write
from support.functions import PYTHON

MOST_BYTES = 60_000
WIDTH = 1280
_GOOD_ENOUGH = 72

WORKING = 'event.get("name", "world")'
BROKEN = 'event["nmae"]'


@dataclass
class Camera:
    """Takes pictures, as large as a page of the documentation can use; keeps them if told where."""

    page: Page
    album: Path | None = None
    taken: list[str] = field(default_factory=list)

    def take(self, name: str, *, height: int = 800) -> None:
        self.taken.append(name)
        if self.album is None:
            return
        self.page.evaluate("() => document.querySelectorAll('.message').forEach((m) => m.remove())")
        self.page.set_viewport_size({"width": WIDTH, "height": height})
        seen = Image.open(io.BytesIO(self.page.screenshot(animations="disabled")))
        path = self.album / f"console-{name}.webp"
        seen.convert("RGB").save(path, "WEBP", quality=_GOOD_ENOUGH, method=6)
        self.page.set_viewport_size({"width": WIDTH, "height": 800})


def walk(page: Page, camera: Camera) -> None:
    """From an empty list to a function that was broken, found out, repaired, and paid for."""
    create(page, camera)
    break_and_find(page, camera)
    repair(page, camera)
    look_back(page, camera)
    connect(page, camera)


def create(page: Page, camera: Camera) -> None:
    page.goto("/console")
    expect(page.get_by_role("heading", name="No functions yet")).to_be_visible()
    page.get_by_role("link", name="Create function").first.click()
    page.get_by_label("Runtime").select_option(PYTHON)
    page.get_by_text("S3 thumbnail").click()
    page.get_by_label("Name", exact=True).fill("thumbnails")
    expect(page.locator("#plan")).to_contain_text("The bucket thumbnails-uploads")
    camera.take("create", height=1180)
    page.get_by_text("Hello", exact=True).click()
    page.get_by_label("Name", exact=True).fill("greeter")
    page.get_by_role("button", name="Create function").click()
    expect(page).to_have_url("/console/functions/greeter/code")
    expect(page.locator("#state")).to_have_text("Active")


def break_and_find(page: Page, camera: Camera) -> None:
    expect(page.locator("#editor")).to_contain_text("def handler(event, context)")
    write(page, code_of(page).replace(WORKING, BROKEN))
    deploy(page)
    run(page)
    result = page.locator("#result")
    expect(result).to_contain_text("KeyError")
    camera.take("error")
    result.get_by_role("link").last.click()
    expect(page.locator("#editor .cm-activeLine")).to_contain_text(BROKEN)


def repair(page: Page, camera: Camera) -> None:
    write(page, code_of(page).replace(BROKEN, WORKING))
    expect(page.locator("#unsaved")).to_be_visible()
    camera.take("code", height=700)
    deploy(page)
    run(page)
    expect(page.locator("#result")).to_contain_text('"greeting": "Hello, Ada!"')
    camera.take("test")


def run(page: Page) -> None:
    page.get_by_role("link", name="Test", exact=True).click()
    page.locator("#event-editor .cm-content").wait_for()
    page.get_by_role("button", name="Invoke").click()
    expect(page.locator("#result")).to_contain_text("End of the log")


def look_back(page: Page, camera: Camera) -> None:
    page.get_by_role("link", name="Monitor", exact=True).click()
    expect(page.locator("#latest tbody tr")).to_have_count(2)
    page.locator(".plot canvas").first.wait_for()
    camera.take("monitor")
    page.get_by_role("link", name="Follow the log").click()
    expect(page.locator("#log")).to_contain_text("greeting Ada")
    page.get_by_role("link", name="Costs", exact=True).click()
    expect(page.get_by_role("region", name="By function")).to_contain_text("greeter")
    page.get_by_role("link", name="Functions", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="greeter")).to_contain_text("1 failed")
    camera.take("functions", height=260)


def connect(page: Page, camera: Camera) -> None:
    """Have it invoked by a queue, and by whoever opens its URL."""
    page.get_by_role("link", name="greeter", exact=True).click()
    for kind in ("SQS queue", "Function URL"):
        page.get_by_role("link", name="Configuration", exact=True).click()
        page.get_by_role("link", name="Add a trigger", exact=True).click()
        page.get_by_role("link", name=kind).click()
        page.get_by_role("button", name="Add the trigger").click()
        expect(page.locator(".flow")).to_contain_text(kind.split()[-1].removesuffix("queue"))
    expect(page.locator(".flow")).to_contain_text("greeter-queue")
    page.mouse.wheel(0, -5_000)
    camera.take("triggers", height=560)
