"""The console for everybody: events, keyboards, small screens, dark rooms, screen readers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.console_pages import code_of, violations, write
from support.functions import ECHO, PYTHON, MakeFunction, await_active, create
from support.packages import zipped

FAILING = "def handler(event, context):\n    raise ValueError('no use')\n"

PHONE = (375, 740)

PAGES = ["/console/functions", "/console/create", "/console/layers", "code", "test"]


@pytest.fixture(scope="module")
def ready(lambda_client: Any) -> Iterator[str]:
    """A function for tests that only look; it has run, well and not."""
    name = "looked-at"
    create(lambda_client, name, FAILING, Description="It fails, so that there is much to see.")
    await_active(lambda_client, name)
    lambda_client.invoke(FunctionName=name)
    lambda_client.publish_layer_version(
        LayerName="looked-at", Description="a layer", Content={"ZipFile": zipped({"a.txt": "x"})}
    )
    yield name
    lambda_client.delete_function(FunctionName=name)


def address(path: str, name: str) -> str:
    return path if path.startswith("/") else f"/console/functions/{name}/{path}"


def test_events_are_kept_and_templates_are_there(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/test")
    page.get_by_label("Templates", exact=True).select_option("s3-put")
    expect(page.locator("#event-editor")).to_contain_text("ObjectCreated:Put")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("dialog").get_by_label("Name").fill("upload")
    page.keyboard.press("Enter")
    expect(page.locator("#messages")).to_contain_text("Saved as upload.")
    page.get_by_role("button", name="Invoke").click()
    expect(page.locator("#result pre").first).to_contain_text("ObjectCreated:Put")

    page.reload()
    expect(page.get_by_label("Saved events")).to_have_value("upload")
    expect(page.locator("#event-editor")).to_contain_text("ObjectCreated:Put")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#messages")).to_contain_text("upload is deleted.")
    page.reload()
    expect(page.locator("#event-editor")).to_contain_text("Ada")


def test_an_event_that_is_no_json_is_told(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/test")
    write(page, '{"a": ', "#event-editor")
    page.get_by_role("button", name="Invoke").click()
    expect(page.get_by_role("alert")).to_contain_text("The event is not JSON")
    expect(page.locator("#result")).to_contain_text("Nothing has run yet")
    expect(page.get_by_role("button", name="Invoke")).to_be_enabled()


def test_an_event_is_queued(page: Page, function: MakeFunction, lambda_client: Any) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/test")
    page.get_by_label("Queue it").check()
    page.get_by_role("button", name="Invoke").click()
    expect(page.locator("#result")).to_contain_text("The event is stored")


def test_what_a_function_returns_is_shown_and_never_obeyed(
    page: Page, function: MakeFunction
) -> None:
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}"
    code = f"def handler(event, context):\n    print({hostile!r})\n    return {hostile!r}\n"
    name = function(code, Description=hostile)
    page.goto(f"/console/functions/{name}/test")
    page.get_by_role("button", name="Invoke").click()
    expect(page.locator("#result pre").first).to_have_text(json.dumps(hostile))
    expect(page.locator("#result pre").last).to_contain_text(hostile)
    expect(page.locator("#description")).to_have_text(hostile)
    page.goto("/console/functions")
    expect(page.locator("#functions")).to_contain_text("<img src=x")
    expect(page.locator("main img")).to_have_count(0)


def test_functions_are_found_by_name(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    page.goto("/console/functions")
    expect(page.get_by_role("row").filter(has_text=name)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("NO%SUCH_name")
    expect(page.locator("#functions")).to_contain_text("No function has")
    page.get_by_role("searchbox").fill(name.upper())
    expect(page.get_by_role("row").filter(has_text=name)).to_be_visible()
    expect(page).to_have_url(f"/console/functions?search={name.upper()}")


def test_a_function_is_made_and_run_with_the_keyboard_alone(page: Page, lambda_client: Any) -> None:
    page.goto("/console/functions")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("by-keyboard")
    page.keyboard.press("Tab")
    page.keyboard.type(PYTHON)
    page.keyboard.press("Enter")
    expect(page).to_have_url("/console/create")
    expect(page.get_by_label("Runtime")).to_have_value(PYTHON)
    page.get_by_label("Description").focus()
    page.keyboard.press("Enter")

    expect(page).to_have_url("/console/functions/by-keyboard/code")
    expect(page.get_by_text("Active", exact=True)).to_be_visible()
    page.locator("#deploy").focus()
    page.locator("#editor .cm-content").focus()
    before = code_of(page)
    page.keyboard.press("Tab")
    assert code_of(page) != before  # it indents
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(page.locator("#editor .cm-content")).not_to_be_focused()
    page.keyboard.press("ControlOrMeta+s")
    expect(page.locator("#progress.good")).to_be_visible()
    lambda_client.delete_function(FunctionName="by-keyboard")


def test_a_menu_closes_with_escape_and_gives_the_focus_back(page: Page, ready: str) -> None:
    page.goto(address("test", ready))
    more = page.get_by_label("More actions")
    more.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Download the code")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Download the code")).to_be_hidden()
    expect(more).to_be_focused()


def test_the_theme_is_switched_and_remembered(page: Page) -> None:
    page.goto("/console/functions")
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_label("Switch between light and dark").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_a_small_screen(page: Page, ready: str, path: str) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.goto(address(path, ready))
    page.wait_for_load_state("networkidle")
    if path == "test":
        page.get_by_role("button", name="Invoke").click()
        expect(page.locator("#result")).to_contain_text("Failed")
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= PHONE[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_pages_are_for_everybody(page: Page, ready: str, path: str, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(address(path, ready))
    page.wait_for_load_state("networkidle")
    if path == "test":
        page.get_by_role("button", name="Invoke").click()
        expect(page.locator("#result")).to_contain_text("Failed")
    assert violations(page) == []


def test_dialogs_and_menus_are_for_everybody(page: Page, ready: str) -> None:
    page.goto(address("code", ready))
    page.locator("#editor .cm-content").wait_for()
    page.locator("summary", has_text="us-east-1").click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_text("Replace the code").click()
    page.get_by_role("button", name="Upload a zip").click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Delete the function").click()
    assert violations(page) == []
