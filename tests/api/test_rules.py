"""Rules and schedules of EventBridge invoke functions."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, eventually
from support.heard import LISTENER, heard, hears, permit

PATTERN = {"source": ["my.app"], "detail": {"state": ["done", {"prefix": "half-"}]}}


@pytest.fixture
def events(clients: Clients) -> Any:
    return clients("events")


@pytest.fixture
def scheduler(clients: Clients) -> Any:
    client = clients("scheduler")
    client.list_schedules()  # the service is there, and answers at once
    return client


@pytest.fixture
def rule(events: Any, name: str) -> str:
    """The ARN of a rule for PATTERN."""
    arn: str = events.put_rule(Name=name[:64], EventPattern=json.dumps(PATTERN))["RuleArn"]
    return arn


@pytest.fixture
def function(clients: Clients, make_function: MakeFunction, rule: str) -> str:
    """The ARN of a function that lets the rule in."""
    name = make_function(LISTENER)
    return permit(clients("lambda"), name, "events.amazonaws.com", SourceArn=rule)


def put(events: Any, detail: Any, **entry: Any) -> str:
    entry = {"Source": "my.app", "DetailType": "Order", "Detail": json.dumps(detail), **entry}
    answer = events.put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0, answer
    id: str = answer["Entries"][0]["EventId"]
    return id


def target(events: Any, rule: str, function: str, **settings: Any) -> None:
    wanted = {"Id": "function", "Arn": function, **settings}
    answer = events.put_targets(Rule=rule.rpartition("/")[2], Targets=[wanted])
    assert answer["FailedEntryCount"] == 0


def heard_by(clients: Clients, function: str, count: int = 1) -> list[Any]:
    return hears(clients("logs"), function.rpartition(":")[2], count)


def test_the_event_has_the_shape_of_eventbridge(
    clients: Clients, events: Any, rule: str, function: str
) -> None:
    target(events, rule, function)
    id = put(
        events, {"state": "done", "n": 1}, Resources=["arn:aws:s3:::b"],
        Time=datetime(2026, 11, 23, 6, 0, 7, tzinfo=UTC),
    )  # fmt: skip
    assert heard_by(clients, function) == [
        {
            "version": "0",
            "id": id,
            "detail-type": "Order",
            "source": "my.app",
            "account": ACCOUNT,
            "time": "2026-11-23T06:00:07Z",
            "region": REGION,
            "resources": ["arn:aws:s3:::b"],
            "detail": {"state": "done", "n": 1},
        }
    ]


def test_only_events_of_the_pattern_are_heard(
    clients: Clients, events: Any, rule: str, function: str
) -> None:
    target(events, rule, function, InputPath="$.detail.state")
    put(events, {"state": "failed"})
    put(events, {"state": "done"}, Source="your.app")
    put(events, {})
    events.disable_rule(Name=rule.rpartition("/")[2])
    put(events, {"state": "done"})
    events.enable_rule(Name=rule.rpartition("/")[2])
    put(events, {"state": "half-done"})
    assert heard_by(clients, function) == ["half-done"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Input": '{"constant": true}'}, {"constant": True}),
        ({"InputPath": "$.detail"}, {"state": "done", "n": 1}),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"n": "$.detail.n", "state": "$.detail.state"},
                    "InputTemplate": '{"n": <n>, "text": "<state> by <aws.events.rule-name>"}',
                }
            },
            {"n": 1, "text": "done by {rule}"},
        ),
    ],
)
def test_a_target_has_the_input_that_it_asks_for(
    clients: Clients, events: Any, rule: str, function: str, given: Any, expected: Any
) -> None:
    target(events, rule, function, **given)
    put(events, {"state": "done", "n": 1})
    text = json.dumps(expected).replace("{rule}", rule.rpartition("/")[2])
    assert heard_by(clients, function) == [json.loads(text)]


def test_targets_are_taken_away_and_shown(
    clients: Clients, events: Any, rule: str, function: str
) -> None:
    name = rule.rpartition("/")[2]
    target(events, rule, function, InputPath="$.detail.state")
    assert [each["Arn"] for each in events.list_targets_by_rule(Rule=name)["Targets"]] == [function]
    events.remove_targets(Rule=name, Ids=["function"])
    put(events, {"state": "done"})
    target(events, rule, function, InputPath="$.detail.state")
    put(events, {"state": "half-done"})
    assert heard_by(clients, function) == ["half-done"]
    events.remove_targets(Rule=name, Ids=["function"])
    events.delete_rule(Name=name)
    assert events.list_rules(NamePrefix=name)["Rules"] == []


def test_a_bus_of_its_own_has_events_of_its_own(
    clients: Clients, make_function: MakeFunction, events: Any, name: str
) -> None:
    bus = events.create_event_bus(Name=name[:60])["EventBusArn"]
    rule = events.put_rule(
        Name="all", EventBusName=name[:60], EventPattern='{"source": ["my.app"]}'
    )
    assert rule["RuleArn"].endswith(f":rule/{name[:60]}/all")
    function = make_function(LISTENER)
    arn = permit(clients("lambda"), function, "events.amazonaws.com", SourceArn=rule["RuleArn"])
    wanted = [{"Id": "f", "Arn": arn, "InputPath": "$.detail"}]
    events.put_targets(Rule="all", EventBusName=name[:60], Targets=wanted)
    put(events, {"on": "default"})
    put(events, {"on": "name"}, EventBusName=name[:60])
    put(events, {"on": "arn"}, EventBusName=bus)
    found = hears(clients("logs"), function, 2)
    assert sorted(each["on"] for each in found) == ["arn", "name"]


def test_a_rule_that_is_not_let_in_is_not_heard(
    clients: Clients, make_function: MakeFunction, events: Any, rule: str, function: str
) -> None:
    closed = make_function(LISTENER)
    targets = [
        {"Id": "closed", "Arn": f"{function.rpartition(':')[0]}:{closed}"},
        {"Id": "open", "Arn": function},
    ]
    events.put_targets(Rule=rule.rpartition("/")[2], Targets=targets)
    put(events, {"state": "done"})
    assert len(heard_by(clients, function)) == 1
    assert heard(clients("logs"), closed) == []


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"EventPattern": "{"}, "InvalidEventPatternException"),
        ({"EventPattern": '{"source": "my.app"}'}, "InvalidEventPatternException"),
        ({"EventPattern": '{"source": [{"suffixes": 1}]}'}, "InvalidEventPatternException"),
        ({"ScheduleExpression": "rate(1 minutes)"}, "ValidationException"),
        ({"ScheduleExpression": "cron(* * * * * *)"}, "ValidationException"),
        ({"ScheduleExpression": "at(2030-01-01T00:00:00)"}, "ValidationException"),
        ({"ScheduleExpression": "rate(1 day)", "EventBusName": "own"}, "ValidationException"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(events: Any, asked: Any, code: str) -> None:
    with pytest.raises(ClientError) as caught:
        events.put_rule(Name="refused", **asked)
    assert caught.value.response["Error"]["Code"] == code


def test_a_target_input_that_is_no_json_is_refused(events: Any, rule: str, function: str) -> None:
    with pytest.raises(ClientError) as caught:
        target(events, rule, function, Input="{")
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def soon(zone: str = "UTC") -> str:
    """An expression for a whole second that comes soon, but not before a request is answered."""
    moment = datetime.now(ZoneInfo(zone)) + timedelta(seconds=3)
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


def schedule(scheduler: Any, name: str, function: str, expression: str, **settings: Any) -> str:
    wanted = settings.pop("Target", {})
    arn: str = scheduler.create_schedule(
        Name=name[:64],
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": function, "RoleArn": "arn:aws:iam::000000000000:role/r", **wanted},
        **settings,
    )["ScheduleArn"]
    return arn


@pytest.fixture
def scheduled(make_function: MakeFunction) -> str:
    """The ARN of a function. A schedule acts in its role, and needs no permission of it."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{make_function(LISTENER)}"


def test_a_schedule_fires_once_at_its_time(
    clients: Clients, scheduler: Any, scheduled: str, name: str
) -> None:
    arn = schedule(
        scheduler, name, scheduled, soon(zone="Asia/Kathmandu"),
        ScheduleExpressionTimezone="Asia/Kathmandu",
    )  # fmt: skip
    [event] = heard_by(clients, scheduled)
    assert re.fullmatch(r"[0-9a-f-]{36}", event.pop("id"))
    assert datetime.fromisoformat(event.pop("time")) <= datetime.now(UTC)
    assert event == {
        "version": "0",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "region": REGION,
        "resources": [arn],
        "detail": "{}",
    }
    assert scheduler.get_schedule(Name=name[:64])["Target"]["Arn"] == scheduled


def test_a_schedule_knows_what_it_fires(
    clients: Clients, scheduler: Any, scheduled: str, name: str
) -> None:
    text = '{"arn": "<aws.scheduler.schedule-arn>", "due": "<aws.scheduler.scheduled-time>"}'
    expression = soon()
    arn = schedule(scheduler, name, scheduled, expression, Target={"Input": text})
    [event] = heard_by(clients, scheduled)
    assert event == {"arn": arn, "due": f"{expression[3:-1]}Z"}


def test_a_rate_begins_at_once(clients: Clients, scheduler: Any, scheduled: str, name: str) -> None:
    schedule(scheduler, name, scheduled, "rate(1 hour)", Target={"Input": '"now"'})
    assert heard_by(clients, scheduled) == ["now"]


def test_a_schedule_may_end_itself(
    clients: Clients, scheduler: Any, scheduled: str, name: str
) -> None:
    schedule(scheduler, name, scheduled, soon(), ActionAfterCompletion="DELETE")
    heard_by(clients, scheduled)
    eventually(lambda: name[:64] not in _names(scheduler))


def _names(scheduler: Any) -> list[str]:
    return [each["Name"] for each in scheduler.list_schedules()["Schedules"]]


def test_what_is_disabled_deleted_or_changed_does_not_fire(
    clients: Clients, scheduler: Any, scheduled: str, name: str
) -> None:
    at = soon()
    for state in ("deleted", "disabled", "changed", "fired"):
        wanted = {"Input": json.dumps(state)}
        disabled = {"State": "DISABLED"} if state == "disabled" else {}
        schedule(scheduler, f"{state}-{name}", scheduled, at, Target=wanted, **disabled)
    scheduler.delete_schedule(Name=f"deleted-{name}"[:64])
    scheduler.update_schedule(
        Name=f"changed-{name}"[:64],
        ScheduleExpression="at(2100-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": scheduled, "RoleArn": "arn:aws:iam::000000000000:role/r"},
    )
    assert heard_by(clients, scheduled) == ["fired"]


@pytest.mark.parametrize("expression", ["rate(0 days)", "at(soon)", "cron(61 * * * ? *)", "daily"])
def test_a_schedule_that_cannot_be_is_refused(
    scheduler: Any, scheduled: str, name: str, expression: str
) -> None:
    with pytest.raises(ClientError) as caught:
        schedule(scheduler, name, scheduled, expression)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith(f"Invalid Schedule Expression {expression}")


def test_a_schedule_sends_to_queues(clients: Clients, scheduler: Any, name: str) -> None:
    sqs, at, group = clients("sqs"), soon(), {"MessageGroupId": "g"}
    urls: list[str] = []
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    for suffix, attributes, settings in (("", {}, {}), (".fifo", fifo, {"SqsParameters": group})):
        queue = f"{name[:60]}{suffix}"
        url = sqs.create_queue(QueueName=queue, Attributes=attributes)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"
        schedule(scheduler, queue, arn, at, Target={"Input": '"now"', **settings})
        urls.append(url)
    for url in urls:
        received = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=15)
        assert [message["Body"] for message in received["Messages"]] == ['"now"']


def test_what_targets_do_not_take_is_in_their_dead_letter_queue(
    clients: Clients, make_function: MakeFunction, events: Any, scheduler: Any, rule: str,
    name: str,
) -> None:  # fmt: skip
    sqs, queue = clients("sqs"), f"{name[:60]}-letters"
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    letters = {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}"}
    closed = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{make_function(LISTENER)}"
    target(events, rule, closed, DeadLetterConfig=letters, Input='"not this"')
    put(events, {"state": "done"})
    gone = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone"
    wanted = {"Input": '"this"', "DeadLetterConfig": letters}
    schedule(scheduler, name, gone, "rate(1 hour)", Target=wanted)
    found: dict[str, tuple[Any, dict[str, str]]] = {}

    def receive() -> bool:
        received = sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=2, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        for message in received.get("Messages", ()):
            about = {key: each["StringValue"] for key, each in message["MessageAttributes"].items()}
            found[about["TARGET_ARN"]] = json.loads(message["Body"]), about
        return len(found) == 2

    eventually(receive)
    event, about = found[closed]
    assert event["detail"] == {"state": "done"}
    assert about["ERROR_MESSAGE"].startswith(f"{closed} does not let events.amazonaws.com")
    assert (about["RULE_ARN"], about["ERROR_CODE"]) == (rule, "NO_PERMISSIONS")
    body, about = found[gone]
    assert body == "this"
    assert "NonExistentQueue" in about["ERROR_CODE"]
    assert about.keys() == {
        "SCHEDULE_ARN", "SCHEDULED_TIME", "EXECUTION_ID", "IS_PAYLOAD_TRUNCATED", "TARGET_ARN",
        "ERROR_CODE", "ERROR_MESSAGE", "RETRY_ATTEMPTS",
    }  # fmt: skip
