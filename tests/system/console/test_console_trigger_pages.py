"""What invokes a function, made and taken away in the browser, and whether it then does."""

import io
import json
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Locator, Page, expect
from support.console_pages import violations
from support.functions import ECHO, PYTHON, MakeFunction, await_active
from support.heard import LISTENER, hears
from support.node import Node
from support.sources import await_state

from lambdabox.console.trigger_kinds.kinds import KINDS

PHONE = (375, 740)


def configuration(page: Page, name: str) -> Locator:
    page.goto(f"/console/functions/{name}/configuration")
    return page.locator(".flow")


def add(page: Page, name: str, kind: str) -> None:
    page.goto(f"/console/functions/{name}/triggers/new?kind={kind}")
    page.get_by_role("button", name="Add the trigger").click()
    expect(page).to_have_url(f"/console/functions/{name}/configuration#triggers")


def remove(page: Page, source: Locator) -> None:
    source.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes, remove it").click()
    expect(page.locator("#messages")).not_to_be_empty()


def test_every_kind_of_trigger_is_made_and_taken_away(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(ECHO)
    for kind in KINDS:
        add(page, name, kind)
    flow = page.locator(".flow > ul").first
    expect(flow.locator("li")).to_have_count(len(KINDS))
    policy = json.loads(lambda_client.get_policy(FunctionName=name)["Policy"])
    # S3, SNS, rule, logs and API; and the URL's two.
    assert len(policy["Statement"]) == 7
    expect(page.locator("#permissions")).to_contain_text("sns.amazonaws.com")

    # The URL has a button of its own; mappings are gone a moment later.
    others = [kind for kind in KINDS if kind not in ("url", "sqs", "dynamodb", "kinesis")]
    for left in range(len(others), 0, -1):
        sources = flow.locator("li").filter(has=page.get_by_role("button", name="Remove"))
        remove(page, sources.filter(has_not=page.get_by_role("link", name="Settings")).first)
        expect(flow.locator("li")).to_have_count(len(KINDS) - len(others) + left - 1)
    policy = json.loads(lambda_client.get_policy(FunctionName=name)["Policy"])
    assert len(policy["Statement"]) == 2
    page.get_by_role("button", name="Delete the URL").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes, remove it").click()
    expect(flow).not_to_contain_text("URL")
    for mapping in lambda_client.list_event_source_mappings(FunctionName=name)[
        "EventSourceMappings"
    ]:
        lambda_client.delete_event_source_mapping(UUID=mapping["UUID"])


def test_a_queue_that_exists_is_chosen_and_its_mapping_changed(
    page: Page, function: MakeFunction, lambda_client: Any, node: Node
) -> None:
    name = function(LISTENER)
    sqs = node.client("sqs")
    url = sqs.create_queue(QueueName="chosen", Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    page.goto(f"/console/functions/{name}/triggers/new?kind=sqs")
    page.get_by_label("One that exists").check()
    page.get_by_label("Which queue").select_option("chosen")
    page.get_by_label("Filter").fill('{"body": {"kind": ["paid"')
    page.get_by_role("button", name="Add the trigger").click()
    expect(page.get_by_role("alert")).to_contain_text("The filter is not JSON")
    page.get_by_label("Which queue").select_option("chosen")
    page.get_by_label("Filter").fill('{"body": {"kind": ["paid"]}}')
    page.get_by_role("button", name="Add the trigger").click()
    expect(page.locator("#messages")).to_contain_text("gives what comes to the function")
    sqs.send_message(QueueUrl=url, MessageBody='{"kind": "paid"}')
    [event] = hears(node.client("logs"), name, 1)
    assert event["Records"][0]["body"] == '{"kind": "paid"}'

    page.reload()
    page.get_by_role("link", name="Settings", exact=True).first.click()
    expect(page.get_by_label("Filter")).to_have_value('{"body": {"kind": ["paid"]}}')
    page.get_by_label("Batch size").fill("100")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Maximum batch window in seconds must be")
    page.get_by_label("Batch size").fill("5")
    page.get_by_label("Maximum concurrency").fill("2")
    page.get_by_label("The function reports which records failed").check()
    page.get_by_label("Switched on").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#messages")).to_contain_text("The mapping is changed.")
    [found] = lambda_client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    assert (found["BatchSize"], found["ScalingConfig"]) == (5, {"MaximumConcurrency": 2})
    assert found["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    await_state(lambda_client, found["UUID"], "Disabled")
    lambda_client.delete_event_source_mapping(UUID=found["UUID"])


def test_a_schedule_is_switched_off_and_on(page: Page, function: MakeFunction, node: Node) -> None:
    name = function(ECHO)
    add(page, name, "schedule")
    scheduler = node.client("scheduler")
    for button, state in (("Switch off", "DISABLED"), ("Switch on", "ENABLED")):
        page.get_by_role("button", name=button).click()
        expect(page.locator(".flow .pill")).to_have_text(state.capitalize())
        found = scheduler.get_schedule(Name=f"{name[:55]}-schedule")
        assert (found["State"], found["ScheduleExpression"]) == (state, "rate(5 minutes)")
    remove(page, page.locator(".flow"))


def create(page: Page, blueprint: str, name: str) -> None:
    page.goto("/console/create")
    page.locator(f".blueprint:has(input[value={blueprint}])").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Runtime").select_option(PYTHON)
    expect(page.locator("#plan")).to_contain_text(f"/aws/lambda/{name}")
    expect(page.locator("#plan")).to_contain_text(
        {"s3-thumbnail": f"The bucket {name}-uploads", "dynamodb-audit": f"The table {name}-table",
         "cost-keeper": "rate(1 hour)"}[blueprint]
    )  # fmt: skip
    page.get_by_role("button", name="Create function").click()
    expect(page).to_have_url(f"/console/functions/{name}/code")
    expect(page.get_by_text("Active", exact=True)).to_be_visible()


def test_blueprints_work_as_soon_as_they_are_made(
    page: Page, lambda_client: Any, node: Node
) -> None:
    create(page, "s3-thumbnail", "made-small")
    create(page, "dynamodb-audit", "made-audit")
    create(page, "cost-keeper", "made-keeper")
    content = io.BytesIO()
    Image.new("RGB", (320, 200), "navy").save(content, "PNG")
    s3, dynamodb = node.client("s3"), node.client("dynamodb")
    s3.put_object(Bucket="made-small-uploads", Key="a.png", Body=content.getvalue())
    dynamodb.put_item(TableName="made-audit-table", Item={"id": {"S": "1"}, "n": {"N": "2"}})
    waiter = s3.get_waiter("object_exists")
    waiter.wait(Bucket="made-small-uploads", Key="thumbnails/a.png", WaiterConfig={"Delay": 1})
    small = s3.get_object(Bucket="made-small-uploads", Key="thumbnails/a.png")["Body"].read()
    assert Image.open(io.BytesIO(small)).size == (160, 100)
    page.goto("/console/functions/made-audit/logs")
    expect(page.locator("#log")).to_contain_text('"action": "INSERT"')
    keeper = lambda_client.invoke(FunctionName="made-keeper")
    assert "FunctionError" not in keeper
    for name in ("made-small", "made-audit", "made-keeper"):
        lambda_client.delete_function(FunctionName=name)


def test_a_url_is_opened_changed_and_a_statement_added(
    page: Page, function: MakeFunction, lambda_client: Any, node: Node
) -> None:
    name = function(ECHO)
    configuration(page, name)
    form = page.get_by_role("region", name="Function URL")
    form.get_by_label("Pages of other sites may call it").check()
    form.get_by_label("Origins").fill("https://a.example, https://b.example")
    form.get_by_role("button", name="Create the URL").click()
    expect(page.locator("#messages")).to_contain_text("Two statements in its policy")
    found = lambda_client.get_function_url_config(FunctionName=name)
    assert found["Cors"]["AllowOrigins"] == ["https://a.example", "https://b.example"]
    host = str(urlsplit(form.get_by_role("link").inner_text()).hostname)
    request = urllib.request.Request(node.url, headers={"Host": host})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["requestContext"]["http"]["method"] == "GET"

    page.get_by_text("Add a statement").click()
    permissions = page.get_by_role("region", name="Who may invoke it")
    permissions.get_by_label("Who", exact=True).fill("sns.amazonaws.com")
    permissions.get_by_label("Only for the source").fill("arn:aws:sns:us-east-1:000000000000:t")
    permissions.get_by_label("Name of the statement").fill("public-url-1")
    permissions.get_by_role("button", name="Add", exact=True).click()
    # What was typed stays beside the refusal.
    expect(page.get_by_role("alert")).to_contain_text("already exists")
    expect(permissions.get_by_label("Who", exact=True)).to_have_value("sns.amazonaws.com")
    permissions.get_by_label("Name of the statement").fill("from-topic")
    permissions.get_by_role("button", name="Add", exact=True).click()
    expect(permissions.get_by_role("row").filter(has_text="from-topic")).to_be_visible()
    permissions.get_by_role("button", name="Remove the statement from-topic").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes, remove it").click()
    expect(permissions.get_by_role("row").filter(has_text="from-topic")).to_have_count(0)


def test_environments_are_kept_ready_and_what_is_given_up_is_sent_on(
    page: Page, function: MakeFunction, lambda_client: Any, node: Node
) -> None:
    name = function(ECHO)
    lambda_client.publish_version(FunctionName=name)
    lambda_client.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")
    node.client("sqs").create_queue(QueueName="given-up")
    configuration(page, name)
    page.get_by_role("button", name="Provision").click()
    expect(page.locator("#provisioned")).to_contain_text("1 of 1 ready")
    expect(page.locator("#provisioned .pill")).to_have_text("Ready")
    page.get_by_role("button", name="Remove what is provisioned for 1").click()
    expect(page.locator("#provisioned")).to_contain_text("Nothing is provisioned")

    form = page.get_by_role("region", name="Asynchronous invocation")
    form.get_by_label("On failure, send to").focus()
    option = page.locator("#known-targets option[value$=given-up]")
    option.wait_for(state="attached")
    arn = str(option.get_attribute("value"))
    form.get_by_label("On failure, send to").fill(arn)
    form.get_by_label("Dead-letter queue").fill(arn)
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".flow")).to_contain_text("Dead letters")
    await_active(lambda_client, name)
    found = lambda_client.get_function_configuration(FunctionName=name)
    assert found["DeadLetterConfig"] == {"TargetArn": arn}


def test_pages_of_triggers_are_for_everybody(page: Page, function: MakeFunction) -> None:
    name = function(ECHO)
    add(page, name, "sqs")
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.get_by_role("link", name="Settings", exact=True).first.click()
    page.get_by_label("Batch size").wait_for()
    base = f"/console/functions/{name}"
    for path, scheme in (
        (page.url, "light"),
        (f"{base}/triggers/new", "dark"),
        *((f"{base}/triggers/new?kind={kind}", "light") for kind in ("s3", "url", "schedule")),
        (f"{base}/configuration", "dark"),
        ("/console/create", "light"),
    ):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert violations(page) == [], path
        assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE[0], path


def test_a_mapping_of_a_broker_is_changed_and_removed_like_others(
    page: Page, function: MakeFunction, lambda_client: Any
) -> None:
    name = function(ECHO)
    id = lambda_client.create_event_source_mapping(
        FunctionName=name,
        SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["localhost:1"]}},
        Topics=["jobs"],
        StartingPosition="LATEST",
        Enabled=False,
    )["UUID"]
    await_state(lambda_client, id, "Disabled")
    flow = configuration(page, name)
    expect(flow).to_contain_text("Kafka")
    expect(flow.get_by_role("button", name="Switch on jobs")).to_be_visible()
    flow.get_by_role("link", name="Settings").click()
    page.get_by_label("Batch size").fill("7")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#messages")).to_contain_text("The mapping is changed.")
    assert await_state(lambda_client, id, "Disabled")["BatchSize"] == 7
    remove(page, page.locator(".flow"))
    expect(page.locator("#messages")).to_contain_text("The mapping is deleted")
