"""What each kind of trigger makes: of something new, of what exists, and when it is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest

from lambdabox.api.calls import ApiCalls
from lambdabox.aws_ports import AwsCallError
from lambdabox.console.forms import Form
from lambdabox.console.function_calls import FunctionCalls
from lambdabox.console.mapping_forms import family_of, mapping_settings, patterns_of
from lambdabox.console.trigger_kinds.addressed import remove_api
from lambdabox.console.trigger_kinds.kinds import KINDS
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.errors import InvalidParameterValueException, ResourceNotFoundException

pytestmark = pytest.mark.anyio

KEY = FunctionKey("000000000000", "eu-west-1", "f")
ROLE = "arn:aws:iam::000000000000:role/r"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class FakeApi:
    """Keeps a policy as AddPermission makes it, and what else is asked for."""

    statements: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def call(
        self, operation: str, scope: Scope, parameters: Mapping[str, Any], *, base_url: str = ""
    ) -> Mapping[str, Any]:
        assert (scope, base_url) == (Scope(KEY.account, KEY.region), "")
        self.asked.append((operation, parameters))
        match operation:
            case "GetPolicy" if not self.statements:
                raise ResourceNotFoundException("none")
            case "GetPolicy":
                return {"Policy": orjson.dumps({"Statement": self.statements}).decode()}
            case "AddPermission":
                source = parameters.get("SourceArn", "")
                self.statements.append({
                    "Sid": parameters["StatementId"],
                    "Effect": "Allow",
                    "Action": parameters["Action"],
                    "Principal": {"Service": parameters["Principal"]},
                    "Condition": {"ArnLike": {"AWS:SourceArn": source}},
                })  # fmt: skip
            case "GetFunctionConfiguration":
                return {"Timeout": 20, "Role": ROLE}
            case "CreateFunctionUrlConfig":
                return {"FunctionUrl": "http://u/", "AuthType": parameters["AuthType"]}
        return {}

    def changes(self) -> list[str]:
        return [operation for operation, _ in self.asked if not operation.startswith("Get")]

    def last(self, operation: str) -> Mapping[str, Any]:
        return next(given for name, given in reversed(self.asked) if name == operation)


@dataclass
class FakeServices:
    answers: Mapping[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        assert scope == Scope(KEY.account, KEY.region)
        assert seconds
        name = f"{service}.{operation}"
        self.asked.append((name, parameters))
        answer = self.answers.get(name, {})
        if isinstance(answer, list):  # one for each time
            answer = answer.pop(0)
        if isinstance(answer, str):
            raise AwsCallError(service, operation, answer, "refused")
        return cast(Mapping[str, Any], answer)

    def last(self, name: str) -> Mapping[str, Any]:
        return next(given for asked, given in reversed(self.asked) if asked == name)

    def names(self) -> list[str]:
        return [name for name, _ in self.asked]


@dataclass
class Bench:
    api: FakeApi
    services: FakeServices
    bench: Workbench

    async def add(self, kind: str, **fields: str | list[str]) -> None:
        lists = {k: [v] if isinstance(v, str) else v for k, v in fields.items()}
        await KINDS[kind].add(self.bench, Form(lists))


def bench(answers: Mapping[str, Any] | None = None, qualifier: str = "") -> Bench:
    api, services = FakeApi(), FakeServices(answers or {})
    calls = FunctionCalls(cast(ApiCalls, api), KEY)
    return Bench(api, services, Workbench(calls, services, qualifier))


async def test_a_new_queue_is_invisible_for_long_enough() -> None:
    it = bench()
    await it.add("sqs", new_name="jobs", batch="5", window="0")
    made = it.services.last("sqs.CreateQueue")
    assert made == {"QueueName": "jobs", "Attributes": {"VisibilityTimeout": "120"}}
    assert it.api.last("CreateEventSourceMapping") == {
        "FunctionName": KEY.arn, "BatchSize": 5, "MaximumBatchingWindowInSeconds": 0,
        "EventSourceArn": "arn:aws:sqs:eu-west-1:000000000000:jobs",
    }  # fmt: skip
    assert it.bench.done[0] == "The queue jobs is made."


async def test_a_new_fifo_queue_is_one() -> None:
    it = bench()
    await it.add("sqs", new_name="jobs.fifo")
    assert it.services.last("sqs.CreateQueue")["Attributes"]["FifoQueue"] == "true"


async def test_an_existing_queue_is_not_made_again_and_an_alias_is_invoked() -> None:
    it = bench(qualifier="live")
    await it.add("sqs", use="existing", existing="arn:aws:sqs:eu-west-1:000000000000:q")
    assert it.services.asked == []
    assert it.api.last("CreateEventSourceMapping")["FunctionName"] == f"{KEY.arn}:live"


async def test_nothing_chosen_and_nothing_named_are_told() -> None:
    with pytest.raises(InvalidParameterValueException, match="or make a new queue"):
        await bench().add("sqs", use="existing")
    with pytest.raises(InvalidParameterValueException, match="The new bucket needs a name"):
        await bench().add("s3", use="new", new_name=" ", events=["s3:ObjectCreated:*"])


@pytest.mark.parametrize(
    ("kind", "fields"), [("s3", {}), ("sqs", {"batch": "x"}), ("dynamodb", {"filters": "{"})]
)
async def test_nothing_is_made_for_a_form_that_is_wrong(kind: str, fields: dict[str, str]) -> None:
    it = bench()
    with pytest.raises(InvalidParameterValueException):
        await it.add(kind, new_name="n", **fields)
    assert it.services.asked == []


async def test_the_stream_of_a_table_is_turned_on_if_it_is_off() -> None:
    it = bench({
        "dynamodb.DescribeTable": {"Table": {"TableName": "t"}},
        "dynamodb.UpdateTable": {"TableDescription": {"LatestStreamArn": "arn:stream"}},
    })  # fmt: skip
    await it.add("dynamodb", use="existing", existing="t", position="TRIM_HORIZON")
    made = it.api.last("CreateEventSourceMapping")
    assert (made["EventSourceArn"], made["StartingPosition"]) == ("arn:stream", "TRIM_HORIZON")
    assert it.bench.done[0] == "The stream of t is turned on, with items before and after."


async def test_a_stream_that_is_on_stays_as_it_is() -> None:
    table = {"LatestStreamArn": "arn:s", "StreamSpecification": {"StreamEnabled": True}}
    it = bench({"dynamodb.DescribeTable": {"Table": table}})
    await it.add("dynamodb", use="existing", existing="t")
    assert it.services.names() == ["dynamodb.DescribeTable"]
    assert it.api.last("CreateEventSourceMapping")["StartingPosition"] == "LATEST"


async def test_a_bucket_keeps_what_it_told_before() -> None:
    before = {"LambdaFunctionArn": "arn:other", "Events": ["s3:ObjectRemoved:*"]}
    queue = {"QueueArn": "arn:q", "Events": ["s3:ObjectTagging:*"]}
    found = {"LambdaFunctionConfigurations": [before], "QueueConfigurations": [queue]}
    it = bench({"s3.GetBucketNotificationConfiguration": {**found, "ResponseMetadata": {}}})
    await it.add("s3", new_name="b", events=["s3:ObjectCreated:*"], prefix="in/", suffix="")
    assert it.services.last("s3.CreateBucket") == {
        "Bucket": "b", "CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"},
    }  # fmt: skip
    put = it.services.last("s3.PutBucketNotificationConfiguration")["NotificationConfiguration"]
    assert put == {
        "QueueConfigurations": [queue],
        "LambdaFunctionConfigurations": [
            before,
            {"LambdaFunctionArn": KEY.arn, "Events": ["s3:ObjectCreated:*"],
             "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": "in/"}]}}},
        ],
    }  # fmt: skip
    # S3 asks the policy before it takes the configuration.
    assert it.bench.done[1].startswith(
        "s3.amazonaws.com may invoke the function for arn:aws:s3:::b"
    )


async def test_what_is_allowed_already_is_not_allowed_twice() -> None:
    it = bench()
    for prefix in ("a/", "b/"):
        await it.add(
            "s3", use="existing", existing="b", events=["s3:ObjectCreated:*"], prefix=prefix
        )
    assert it.api.changes() == ["AddPermission"]
    assert it.api.last("AddPermission")["SourceAccount"] == KEY.account


async def test_a_statement_that_denies_or_is_for_something_else_allows_nothing() -> None:
    it = bench()
    told = {"Principal": {"Service": "sns.amazonaws.com"}, "Condition": {}}
    for effect, action in (("Deny", "lambda:InvokeFunction"), ("Allow", "lambda:GetFunction")):
        source = {"ArnLike": {"AWS:SourceArn": "arn:t"}}
        it.api.statements.append({**told, "Effect": effect, "Action": action, "Condition": source})
    await it.add("sns", use="existing", existing="arn:t")
    assert it.api.changes() == ["AddPermission"]


async def test_an_alias_is_a_target_beside_the_function() -> None:
    ids = set()
    for qualifier in ("", "live"):
        it = bench({"events.DescribeRule": {"Arn": "arn:rule"}}, qualifier)
        await it.add("events", use="existing", existing="r")
        ids.add(it.services.last("events.PutTargets")["Targets"][0]["Id"])
    assert len(ids) == 2


async def test_what_was_made_before_a_refusal_is_known() -> None:
    it = bench({"s3.PutBucketNotificationConfiguration": "InvalidArgument"})
    with pytest.raises(AwsCallError):
        await it.add("s3", new_name="b", events=["s3:ObjectCreated:*"])
    assert it.bench.done[0] == "The bucket b is made."


async def test_a_topic_has_the_function_subscribed_with_its_filter() -> None:
    it = bench({"sns.CreateTopic": {"TopicArn": "arn:t"}})
    await it.add("sns", new_name="t", filter_policy='{"a": ["b"]}', filter_scope="MessageBody")
    assert it.services.last("sns.Subscribe") == {
        "TopicArn": "arn:t", "Protocol": "lambda", "Endpoint": KEY.arn,
        "Attributes": {"FilterPolicy": '{"a": ["b"]}', "FilterPolicyScope": "MessageBody"},
    }  # fmt: skip
    assert it.api.changes() == ["AddPermission"]


async def test_a_rule_on_a_bus_has_its_target_there() -> None:
    it = bench({"events.DescribeRule": ["ResourceNotFoundException", {"Arn": "arn:rule"}]})
    await it.add("events", new_name="r", pattern='{"source": ["a"]}', bus="shop")
    assert it.services.last("events.PutRule") == {
        "Name": "r", "EventPattern": '{"source": ["a"]}', "EventBusName": "shop",
    }  # fmt: skip
    target = it.services.last("events.PutTargets")
    assert (target["EventBusName"], target["Targets"][0]["Arn"]) == ("shop", KEY.arn)
    assert it.api.last("AddPermission")["SourceArn"] == "arn:rule"


async def test_a_rule_that_is_there_is_not_changed_by_a_new_one() -> None:
    it = bench({"events.DescribeRule": {"Arn": "arn:rule"}})
    with pytest.raises(InvalidParameterValueException, match="The bus shop has a rule r already"):
        await it.add("events", new_name="r", pattern='{"source": ["a"]}', bus="shop")
    assert "events.PutRule" not in it.services.names()


async def test_what_exists_is_not_taken_for_new() -> None:
    it = bench({"s3.ListBuckets": {"Buckets": [{"Name": "b"}]}})
    with pytest.raises(InvalidParameterValueException, match="The bucket b is there already"):
        await it.add("s3", new_name="b", events=["s3:ObjectCreated:*"])
    assert it.services.names() == ["s3.ListBuckets"]


async def test_a_schedule_acts_in_the_functions_role_and_changes_no_policy() -> None:
    it = bench()
    await it.add("schedule", new_name="s", expression="cron(0 8 * * ? *)", zone="Europe/Berlin",
                 flexible="5", input='{"a": 1}')  # fmt: skip
    assert it.services.last("scheduler.CreateSchedule") == {
        "Name": "s", "ScheduleExpression": "cron(0 8 * * ? *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5},
        "Target": {"Arn": KEY.arn, "RoleArn": ROLE, "Input": '{"a": 1}'},
    }  # fmt: skip
    assert it.api.changes() == []


async def test_log_groups_leave_out_the_functions_own() -> None:
    groups = [{"logGroupName": "/aws/lambda/f"}, {"logGroupName": "/shop"}]
    it = bench({"logs.DescribeLogGroups": {"logGroups": groups}})
    assert [each.value for each in await KINDS["logs"].choices(it.bench)] == ["/shop"]
    await it.add("logs", use="existing", existing="/shop", pattern="ERROR")
    assert it.services.last("logs.PutSubscriptionFilter") == {
        "logGroupName": "/shop", "filterName": "f", "filterPattern": "ERROR",
        "destinationArn": KEY.arn,
    }  # fmt: skip
    allowed = it.api.last("AddPermission")["SourceArn"]
    assert allowed == "arn:aws:logs:eu-west-1:000000000000:log-group:/shop:*"


async def test_an_api_that_exists_gets_a_route() -> None:
    it = bench({"apigatewayv2.CreateIntegration": {"IntegrationId": "i"}})
    await it.add("api", use="existing", existing="a1", route="GET /orders")
    assert it.services.last("apigatewayv2.CreateRoute") == {
        "ApiId": "a1", "RouteKey": "GET /orders", "Target": "integrations/i",
    }  # fmt: skip
    assert it.api.last("AddPermission")["SourceArn"].endswith(":a1/*/*")


@pytest.mark.parametrize(
    ("others", "last"),
    [([], "apigatewayv2.DeleteApi"), (["integrations/o"], "apigatewayv2.DeleteIntegration")],
)
async def test_an_api_goes_with_its_last_route(others: list[str], last: str) -> None:
    integration = {"IntegrationId": "i", "IntegrationUri": KEY.arn}
    routes = [{"RouteId": "r", "Target": target} for target in ["integrations/i", *others]]
    it = bench({
        "apigatewayv2.GetIntegrations": {"Items": [integration]},
        "apigatewayv2.GetRoutes": {"Items": routes},
    })  # fmt: skip
    await remove_api(it.bench, "a1")
    assert it.services.names()[-1] == last


async def test_a_url_for_everybody_takes_two_statements() -> None:
    it = bench()
    await it.add("url", auth="NONE", cors="on", origins="http://a, http://b", max_age="60")
    made = it.api.last("CreateFunctionUrlConfig")
    assert made["Cors"] == {"AllowOrigins": ["http://a", "http://b"], "MaxAge": 60}
    assert it.api.changes().count("AddPermission") == 2
    signed = bench()
    await signed.add("url", auth="AWS_IAM", origins="*")
    assert signed.api.changes() == ["CreateFunctionUrlConfig"]
    assert signed.api.last("CreateFunctionUrlConfig")["Cors"] == {}


def test_the_settings_of_a_mapping_are_those_of_its_form() -> None:
    full = {
        "batch": "10", "window": "", "retries": "", "age": "120", "concurrency": "", "has_partial":
        "1", "partial": "on", "has_bisect": "1", "on_failure": "arn:q", "filters": '{"a":[1]}',
        "has_enabled": "1",
    }  # fmt: skip
    assert mapping_settings(Form({name: [value] for name, value in full.items()})) == {
        "BatchSize": 10, "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": 120,
        "ScalingConfig": {}, "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "BisectBatchOnFunctionError": False, "Enabled": False,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:q"}},
        "FilterCriteria": {"Filters": [{"Pattern": '{"a":[1]}'}]},
    }  # fmt: skip
    assert mapping_settings(Form({})) == {}


def test_patterns_stand_one_after_the_other_however_they_are_laid_out() -> None:
    assert patterns_of('{"a":\n [1]}\n{"b": [2]},{"c": [3]}') == [
        '{"a":\n [1]}', '{"b": [2]}', '{"c": [3]}',
    ]  # fmt: skip
    with pytest.raises(InvalidParameterValueException, match="The filter is not JSON"):
        patterns_of('{"a": [1]} body')
    with pytest.raises(InvalidParameterValueException, match="The filter is not JSON"):
        patterns_of("[" * 100_000)


@pytest.mark.parametrize(
    ("arn", "family"),
    [("arn:aws:sqs:r:a:q", "sqs"), ("arn:aws:dynamodb:r:a:t", "stream"), ("", "kafka"),
     ("arn:aws:kafka:r:a:c", "kafka"), ("arn:aws:mq:r:a:b", "mq")],
)  # fmt: skip
def test_a_source_knows_the_settings_of_its_family(arn: str, family: str) -> None:
    assert family_of({"EventSourceArn": arn}) == family


def test_every_kind_says_what_it_will_make() -> None:
    for kind in KINDS.values():
        plan = kind.plan(Form({"new_name": ["n"], "events": ["e"], "auth": ["NONE"]}))
        assert plan
        assert all(plan)
        assert kind.title
        assert kind.summary.endswith(".")
    longest = "f" * 64
    assert max(len(KINDS[id].suggestion(longest)) for id in ("s3", "events", "schedule")) <= 64
    assert KINDS["s3"].suggestion("My_Function") == "my-function-uploads"
