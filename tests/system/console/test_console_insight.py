"""What a function did and is set to: charts, invocations, the log, settings, costs."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from support.console_pages import violations
from support.functions import ACCOUNT, ECHO, REGION, MakeFunction, await_active, create
from support.node import Node

PHONE = (375, 740)
TABS = ["monitor", "logs", "configuration", "invocation", "/console/costs"]

FAILING = """\
def handler(event, context):
    print("the event:", event)
    if event.get("fail"):
        raise ValueError("no use")
"""


@pytest.fixture(scope="module")
def watched(node: Node, lambda_client: Any) -> Iterator[tuple[str, str]]:
    """A function that has run, well and not, with all that its tabs show; and a request's id."""
    name = "watched"
    variables = {"Variables": {"TOKEN": "the-secret", "EMPTY": ""}}
    create(lambda_client, name, FAILING, Environment=variables, Tags={"team": "one"})
    await_active(lambda_client, name)
    lambda_client.invoke(FunctionName=name, Payload=b'{"n": 1}')
    failed = lambda_client.invoke(FunctionName=name, Payload=b'{"fail": true}')
    version = lambda_client.publish_version(FunctionName=name)["Version"]
    lambda_client.create_alias(FunctionName=name, Name="shown", FunctionVersion=version)
    lambda_client.create_function_url_config(FunctionName=name, AuthType="NONE")
    queues = node.client("sqs")
    queue = queues.create_queue(QueueName="orders", Attributes={"VisibilityTimeout": "60"})
    lambda_client.create_event_source_mapping(
        FunctionName=f"{name}:shown",
        EventSourceArn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders",
        Enabled=False,
    )
    yield name, failed["ResponseMetadata"]["RequestId"]
    queues.delete_queue(QueueUrl=queue["QueueUrl"])
    queues.close()
    for mapping in lambda_client.list_event_source_mappings()["EventSourceMappings"]:
        lambda_client.delete_event_source_mapping(UUID=mapping["UUID"])
    lambda_client.delete_function(FunctionName=name)


def address(tab: str, watched: tuple[str, str]) -> str:
    name, request_id = watched
    if tab.startswith("/"):
        return tab
    return f"/console/functions/{name}/" + (
        f"invocations/{request_id}" if tab == "invocation" else tab
    )


def visit(page: Page, tab: str, watched: tuple[str, str]) -> None:
    response = page.goto(address(tab, watched))
    assert response is not None
    assert response.status == 200
    if tab == "monitor":
        expect(page.locator(".chart canvas")).to_have_count(6)


def colours_of(canvas: Locator) -> set[Any]:
    """The strong colours in a picture of a chart: lines and points have them, axes are grey."""
    image = Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")
    found = image.getcolors(image.width * image.height) or []
    return {
        pixel for _, pixel in found if isinstance(pixel, tuple) and max(pixel) - min(pixel) > 90
    }


@pytest.mark.parametrize("path", TABS)
def test_tabs_are_for_everybody(page: Page, watched: tuple[str, str], path: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        visit(page, path, watched)
        assert violations(page) == []


@pytest.mark.parametrize("path", TABS)
def test_tabs_fit_a_small_screen(page: Page, watched: tuple[str, str], path: str) -> None:
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    visit(page, path, watched)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE[0]


def test_one_step_is_drawn_in_every_chart(page: Page, watched: tuple[str, str]) -> None:
    visit(page, "monitor", watched)
    canvases = page.locator(".chart canvas")
    expect(canvases).to_have_count(6)
    for at in range(6):
        assert colours_of(canvases.nth(at)), page.locator("figcaption").nth(at).inner_text()
    sums = page.locator(".sums")
    expect(sums).to_contain_text("Invocations")
    expect(sums.locator(".pill.bad")).to_have_text("1")
    page.get_by_role("link", name="6 hours").click()
    expect(page.get_by_role("link", name="6 hours")).to_have_attribute("aria-current", "true")
    expect(page.locator(".chart canvas")).to_have_count(6)


def test_an_invocation_is_reached_from_the_list(page: Page, watched: tuple[str, str]) -> None:
    name, request_id = watched
    visit(page, "monitor", watched)
    page.get_by_role("link", name="Failed", exact=True).click()
    rows = page.locator("#latest tbody tr")
    expect(rows).to_have_count(1)
    rows.get_by_role("link").click()
    expect(page).to_have_url(f"/console/functions/{name}/invocations/{request_id}")
    attempt = page.get_by_role("region", name="Attempt 1")
    expect(attempt).to_contain_text("ValueError")
    expect(attempt.locator("pre")).to_contain_text("the event: {'fail': True}")
    expect(attempt.locator("rect.failed")).to_have_count(1)
    expect(attempt.locator("pre")).not_to_contain_text("'n': 1")


def test_an_invocation_that_is_not_there_is_told(page: Page, watched: tuple[str, str]) -> None:
    page.goto(f"/console/functions/{watched[0]}/invocations/no-such-request")
    expect(page.locator("main")).to_contain_text("has no finished invocation no-such-request")


def test_lines_appear_in_the_log_as_they_are_written(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(FAILING)
    page.goto(f"/console/functions/{name}/logs")
    log = page.locator("#log")
    expect(page.locator("#log-state")).to_contain_text("nothing has been written yet")
    lambda_client.invoke(FunctionName=name, Payload=b'{"word": "apple"}')
    expect(log).to_contain_text("apple")
    expect(log).to_contain_text("REPORT RequestId")
    page.get_by_label("Lines", exact=True).select_option("own")
    expect(log).not_to_contain_text("REPORT RequestId")
    page.get_by_label("Containing").fill("APPLE")
    lambda_client.invoke(FunctionName=name, Payload=b'{"word": "pear"}')
    lambda_client.invoke(FunctionName=name, Payload=b'{"word": "apple", "again": 1}')
    expect(log).to_contain_text("again")
    expect(log).not_to_contain_text("pear")


def test_settings_are_changed_and_refused_in_the_apis_words(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/configuration")
    page.get_by_label("Memory, MB").fill("256")
    general = page.get_by_role("region", name="General")
    general.get_by_role("button", name="Save").click()
    expect(page.locator("#messages")).to_contain_text("The settings are changed.")
    expect(page.get_by_label("Memory, MB")).to_have_value("256")
    found = lambda_client.get_function_configuration(FunctionName=name)
    assert (found["MemorySize"], found["Timeout"], found["Handler"]) == (256, 3, "app.handler")
    page.get_by_label("Execution role").fill("nobody")
    general.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("failed to satisfy constraint")


def test_values_are_masked_until_they_are_asked_for(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    values = {"TOKEN": "the-secret", "OTHER": "also-secret"}
    name = function(ECHO, Environment={"Variables": values})
    page.goto(f"/console/functions/{name}/configuration")
    assert "-secret" not in page.content()
    with page.expect_response("**/environment/value?*") as shown:
        page.get_by_role("button", name="Show the value of TOKEN").click()
    assert shown.value.headers["cache-control"] == "no-store"
    expect(page.get_by_label("Value of TOKEN", exact=True)).to_have_value("the-secret")
    assert "also-secret" not in page.content()

    form = page.get_by_role("region", name="Environment variables")
    form.get_by_label("Name", exact=True).first.fill("RENAMED")
    form.get_by_role("button", name="Add a variable").click()
    page.keyboard.type("MORE")
    form.get_by_label("Value", exact=True).fill("new")
    form.get_by_role("button", name="Save").click()
    expect(page.locator("#messages")).to_contain_text("The environment variables are changed.")
    found = lambda_client.get_function_configuration(FunctionName=name)["Environment"]
    assert found == {"Variables": {"TOKEN": "the-secret", "RENAMED": "also-secret", "MORE": "new"}}


def test_an_alias_is_made_and_weighted(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(ECHO)
    page.goto(f"/console/functions/{name}/configuration")
    page.get_by_role("button", name="Publish a version").click()
    expect(page.locator("#messages")).to_contain_text("is version 1.")
    lambda_client.update_function_configuration(FunctionName=name, MemorySize=256)
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=name)
    page.get_by_role("button", name="Publish a version").click()
    expect(page.locator("#messages")).to_contain_text("is version 2.")
    expect(page.get_by_role("row").filter(has_text="memory")).to_contain_text("1")
    page.get_by_label("New alias").fill("live")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator("#messages")).to_contain_text("live leads to version 2 now.")
    page.get_by_label("and version").select_option("1")
    page.get_by_role("slider").fill("30")
    expect(page.locator("#aliases output")).to_have_text("30")
    page.locator("#aliases").get_by_role("button", name="Save").click()
    expect(page.locator("#messages")).to_contain_text("30% of the invocations to 1.")
    alias = lambda_client.get_alias(FunctionName=name, Name="live")
    assert alias["FunctionVersion"] == "2"
    assert alias["RoutingConfig"] == {"AdditionalVersionWeights": {"1": 0.3}}
    page.locator("#aliases").get_by_role("button", name="Delete").click()
    expect(page.locator("#messages")).to_contain_text("live is deleted.")


def test_what_leads_to_a_function_is_drawn(
    page: Page, watched: tuple[str, str], node: Node
) -> None:
    visit(page, "configuration", watched)
    flow = page.locator(".flow")
    expect(flow).to_contain_text(f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders")
    expect(flow).to_contain_text("for shown")
    link = page.get_by_role("region", name="Function URL").get_by_role("link")
    expect(link).to_contain_text(f":{node.url.rpartition(':')[2]}/")


def test_costs_are_shown_by_function_and_day(page: Page, watched: tuple[str, str]) -> None:
    page.goto("/console/costs")
    row = (
        page.get_by_role("region", name="By function")
        .get_by_role("row")
        .filter(has_text=watched[0])
    )
    expect(row).to_contain_text("< $0.0001")
    expect(page.get_by_role("region", name="By day").locator("tbody tr")).not_to_have_count(0)
    expect(page.get_by_role("region", name="What could be saved")).to_contain_text("of 128 MB")
    page.get_by_role("link", name="7 days").click()
    expect(page.locator(".sums")).to_contain_text("Last 7 days")
