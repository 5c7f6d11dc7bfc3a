"""Tuning in a browser: measured beside the page, shown as it goes, applied with a click."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.console_pages import violations
from support.functions import ECHO, MakeFunction, eventually, log_messages
from support.node import Node

PHONE = (390, 844)
IGNORED = {"ResponseMetadata": None}

FAILS_WHEN_SMALL = """
import os

def handler(event, context):
    if os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128":
        raise ValueError("too small for " + event["who"])
    return event
"""

WAITS = """
import time

def handler(event, context):
    print("waiting")
    time.sleep(60)
"""


def memory_of(client: Any, name: str) -> int:
    size: int = client.get_function_configuration(FunctionName=name)["MemorySize"]
    return size


def start(page: Page, name: str, *sizes: int, invocations: int = 2) -> None:
    page.goto(f"/console/functions/{name}/tuning")
    for box in page.locator("input[name=size]").all():
        box.set_checked(int(box.get_attribute("value") or 0) in sizes)
    page.get_by_label("Warm invocations").fill(str(invocations))
    page.get_by_role("button", name="Start").click()


def test_a_function_is_measured_and_given_another_memory(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(ECHO, MemorySize=192)
    start(page, name, 128, 256)
    expect(page.get_by_role("heading", name="Best: ")).to_be_visible()
    assert memory_of(lambda_client, name) == 192
    rows = page.locator("#tuning tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("128 MB")
    expect(rows.first).to_contain_text(re.compile(r"\$0\.2\d"))
    expect(page.locator("#tuning .pill.good.plain")).to_have_text("best")
    expect(page.locator("#tuning-chart canvas")).to_be_visible()
    page.get_by_role("button", name="Apply 256 MB").click()
    expect(page.locator("#messages")).to_contain_text(f"{name} has 256 MB now.")
    expect(rows.last).to_contain_text("what it has now")
    assert memory_of(lambda_client, name) == 256


def test_what_fails_at_a_size_is_told_beside_what_works(page: Page, function: MakeFunction) -> None:
    name = function(FAILS_WHEN_SMALL)
    page.goto(f"/console/functions/{name}/tuning")
    page.get_by_label("Event", exact=True).fill('{"who": "Ada"}')
    for box in page.locator("input[name=size]").all():
        box.set_checked(box.get_attribute("value") == "128")
    page.get_by_label("Others").fill("320")
    page.get_by_label("Warm invocations").fill("1")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Best: 320 MB")).to_be_visible()
    failed = page.get_by_role("row").filter(has_text="128 MB")
    expect(failed).to_contain_text("ValueError: too small for Ada")
    # What was asked for is still there, to be changed and run again.
    expect(page.get_by_label("Others")).to_have_value("320")
    expect(page.get_by_label("Event", exact=True)).to_have_value('{"who": "Ada"}')


def test_it_goes_on_without_its_page_and_is_cancelled_on_another(
    page: Page, function: MakeFunction, node: Node, lambda_client: Any
) -> None:
    name = function(WAITS, Timeout=90, MemorySize=192)
    before = lambda_client.get_function_configuration(FunctionName=name) | IGNORED
    start(page, name, 128)
    logs = node.client("logs")
    eventually(lambda: "waiting\n" in log_messages(logs, f"/aws/lambda/{name}") or None)
    logs.close()
    page.goto("/console/functions")
    page.goto(f"/console/functions/{name}/tuning")
    expect(page.get_by_role("heading", name="Running with 128 MB")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    # Nothing is stored that would have to be put back, should the node end now.
    assert lambda_client.get_function_configuration(FunctionName=name) | IGNORED == before
    assert violations(page) == []
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#messages")).to_contain_text("The tuning is cancelled.")
    expect(page.get_by_role("heading", name="No size was measured")).to_be_visible()
    expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert memory_of(lambda_client, name) == 192


def test_what_cannot_be_run_is_told_and_the_form_stays(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/tuning")
    page.get_by_label("Others").fill("64")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#messages")).to_contain_text("give sizes from 128 to 10240 MiB")
    page.get_by_label("Others").fill("")
    page.get_by_label("Event", exact=True).fill("{nope")
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#messages")).to_contain_text("The event is not JSON")
    expect(page.get_by_label("Event", exact=True)).to_have_value("{nope")


def test_an_event_comes_from_a_template(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/tuning")
    page.get_by_label("Templates").select_option(label="S3: an object created")
    expect(page.get_by_label("Event", exact=True)).to_have_value(re.compile("ObjectCreated:Put"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_everybody_on_every_screen(
    page: Page, function: MakeFunction, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    name = function(FAILS_WHEN_SMALL)
    start(page, name, 128, 256, invocations=1)
    expect(page.get_by_role("heading", name="Best: 256 MB")).to_be_visible()
    expect(page.locator("#tuning-chart canvas")).to_be_visible()
    assert violations(page) == []
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.reload()
    expect(page.locator("#tuning-chart canvas")).to_be_visible()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE[0]
    assert violations(page) == []


def test_a_function_that_goes_is_told_once(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(WAITS, Timeout=90)
    start(page, name, 128)
    expect(page.get_by_role("heading", name="Running with 128 MB")).to_be_visible()
    lambda_client.delete_function(FunctionName=name)
    expect(page.locator("#messages .bad")).to_contain_text(f"There is no function {name}")
    expect(page.locator("#tuning[hx-trigger]")).to_have_count(0)
    expect(page.locator("#messages .bad")).to_have_count(1)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("main")).to_contain_text(f"There is no function {name}")
