"""What leads to a function, and how it is taken away, from services that know it and not."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from support.clock import ManualClock

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.bucket_notifications import BucketNotifications, FunctionNotification
from lambdabox.domain.event_input import TargetInput
from lambdabox.domain.function_sources import FunctionSource
from lambdabox.domain.rules import Rule, Target
from lambdabox.domain.topics import Subscription
from lambdabox.events.delivery import FunctionDelivery
from lambdabox.events.function_sources import FunctionSources
from lambdabox.events.log_subscriptions import GroupSubscriptions, LogSubscriptions
from lambdabox.events.log_subscriptions import Subscription as Filter
from lambdabox.events.rules import RuleEvents
from lambdabox.events.s3 import BucketEvents
from lambdabox.events.schedules import Schedule, ScheduleEvents
from lambdabox.events.sns import TopicEvents
from lambdabox.events.target_deliveries import TargetDeliveries
from lambdabox.events.timers import Timers, Timing
from lambdabox.repositories import tables
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.log_groups import GroupKey

pytestmark = pytest.mark.anyio

KEY = FunctionKey("111111111111", "eu-central-1", "f")
SCOPE = Scope(KEY.account, KEY.region)
LIVE = f"{KEY.arn}:live"
OTHER = f"{KEY.arn}-other"
TOPIC = "arn:aws:sns:eu-central-1:111111111111:orders"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeServices:
    """Answers what it is given by operation, refuses with a code, and keeps what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        assert (scope, seconds) == (SCOPE, 30.0)
        self.asked.append((operation, parameters))
        answer = self.answers.get(operation, {})
        if isinstance(answer, str):
            raise AwsCallError(service, operation, answer, "refused")
        return cast(Mapping[str, Any], answer)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    async with SqliteDatabase(tmp_path / "state.db", "state", (tables.metadata,)) as database:
        yield database


@pytest.fixture
def services() -> FakeServices:
    return FakeServices()


@pytest.fixture
async def sources(state: SqliteDatabase, services: FakeServices) -> FunctionSources:
    """What a node knows that finds one source of each kind in its store, and one for another."""
    await keep(state, "s3-notifications", "photos", BucketNotifications((
        FunctionNotification("mine", KEY.arn, ("s3:ObjectCreated:*",), suffix=".png"),
        FunctionNotification("theirs", OTHER, ("s3:ObjectRemoved:*",)),
    )))  # fmt: skip
    await keep(state, "sns-subscriptions", "1", Subscription(f"{TOPIC}:1", TOPIC, LIVE, "{}"))
    rule = Rule("paid", "shop", '{"a":[1]}', is_enabled=False)
    target = Target("t", KEY.arn, TargetInput())
    await keep(state, "event-rules", "1", replace(rule, targets=(target,)))
    nightly = Schedule("nightly", "default", Timing("rate(1 hour)", "Europe/Berlin"), KEY.arn)
    await keep(state, "schedules", digest(nightly.arn(SCOPE)), nightly)
    filter = Filter("errors", "ERROR", KEY.arn, 0, 0)
    await keep(state, "log-subscriptions", digest("/shop"), GroupSubscriptions("/shop", (filter,)))
    return await node(state, services)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


async def keep(state: SqliteDatabase, kind: str, id: str, record: Any) -> None:
    await AccountRecords(state, kind, type(record)).change(SCOPE, id, lambda _before: record)


async def node(state: SqliteDatabase, services: FakeServices) -> FunctionSources:
    clock, delivery = ManualClock(start=1_800_000_000.0), cast(FunctionDelivery, None)
    timers, deliveries = Timers(state, clock), cast(TargetDeliveries, None)
    buckets = BucketEvents(state, delivery, services, clock)
    topics = TopicEvents(state, delivery, clock)
    rules = RuleEvents(state, deliveries, timers, clock, fires_all=True)
    schedules = ScheduleEvents(state, deliveries, timers, services, clock, fires_all=True)
    for part in (buckets, topics, rules, schedules):
        await part.serve()
    groups = LogSubscriptions(state, state, delivery, clock)
    for held in await AccountRecords(state, "log-subscriptions", GroupSubscriptions).all():
        key = GroupKey(SCOPE.account, SCOPE.region, held.record.group)
        for each in held.record.filters:
            await groups.put(key, each)
    return FunctionSources(buckets, topics, rules, schedules, groups, services)


def named(sources: FunctionSources, service: str) -> FunctionSource:
    [found] = [each for each in sources.of(KEY) if each.service == service]
    return found


async def test_all_that_leads_to_a_function_and_nothing_else_is_known(
    sources: FunctionSources,
) -> None:
    found = [(each.service, each.name, each.what, each.is_enabled) for each in sources.of(KEY)]
    assert found == [
        ("s3", "photos", "s3:ObjectCreated:* of *.png", True),
        ("sns", "orders", "{}", True),
        ("events", "paid", '{"a":[1]}', False),
        ("scheduler", "nightly", "rate(1 hour), Europe/Berlin", False),
        ("logs", "/shop", "ERROR", True),
    ]
    assert named(sources, "sns").function_arn == LIVE
    assert named(sources, "events").group == "shop"


async def test_a_notification_goes_and_others_of_the_bucket_stay(
    sources: FunctionSources, services: FakeServices
) -> None:
    mine, theirs = {"Id": "mine"}, {"Id": "theirs"}
    services.answers["GetBucketNotificationConfiguration"] = {
        "LambdaFunctionConfigurations": [mine, theirs],
        "ResponseMetadata": {},
    }
    await sources.remove(named(sources, "s3"))
    operation, parameters = services.asked[-1]
    assert operation == "PutBucketNotificationConfiguration"
    assert parameters["NotificationConfiguration"] == {"LambdaFunctionConfigurations": [theirs]}


async def test_what_a_service_has_forgotten_is_forgotten_here_and_after_a_restart(
    sources: FunctionSources, services: FakeServices, state: SqliteDatabase
) -> None:
    services.answers = {
        "GetBucketNotificationConfiguration": "NoSuchBucket",
        "DeleteSchedule": "ResourceNotFoundException",
    }
    for service in ("s3", "scheduler", "logs"):
        await sources.remove(named(sources, service))
    left = ["sns", "events"]
    assert [each.service for each in sources.of(KEY)] == left
    again = await node(state, services)
    assert [each.service for each in again.of(KEY)] == left
    other = FunctionKey(KEY.account, KEY.region, "f-other")
    assert [each.id for each in again.of(other)] == ["theirs"]


async def test_what_is_refused_for_another_reason_stays(
    sources: FunctionSources, services: FakeServices
) -> None:
    services.answers = {"DeleteSchedule": "Unreachable", "RemoveTargets": "AccessDenied"}
    for service in ("scheduler", "events"):
        with pytest.raises(AwsCallError):
            await sources.remove(named(sources, service))
    assert len(sources.of(KEY)) == 5


@pytest.mark.parametrize(
    ("left", "last"), [([], "DeleteRule"), ([{"Id": "queue"}], "ListTargetsByRule")]
)
async def test_a_rule_goes_with_its_last_target(
    sources: FunctionSources, services: FakeServices, left: list[Any], last: str
) -> None:
    services.answers["ListTargetsByRule"] = {"Targets": left}
    await sources.remove(named(sources, "events"))
    assert services.asked[0] == (
        "RemoveTargets", {"Rule": "paid", "EventBusName": "shop", "Ids": ["t"]},
    )  # fmt: skip
    assert services.asked[-1][0] == last


async def test_a_schedule_is_switched_on_as_it_was(
    sources: FunctionSources, services: FakeServices
) -> None:
    services.answers["GetSchedule"] = {
        "Name": "nightly", "ScheduleExpression": "rate(1 hour)", "Target": {"Arn": KEY.arn},
        "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "DISABLED", "CreationDate": "x",
    }  # fmt: skip
    await sources.enable(named(sources, "scheduler"), is_enabled=True)
    assert services.asked[-1] == ("UpdateSchedule", {
        "Name": "nightly", "ScheduleExpression": "rate(1 hour)", "Target": {"Arn": KEY.arn},
        "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "ENABLED",
    })  # fmt: skip
