"""What each form of the Configuration tab asks of the API, and what it refuses itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs

import pytest

from lambdabox.api.calls import ApiCalls
from lambdabox.console.configuration import read_configuration
from lambdabox.console.forms import Form
from lambdabox.console.function_calls import FunctionCalls
from lambdabox.console.pages.configuration import CHANGES, MASK, unmasked
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.domain.errors import InvalidParameterValueException, ResourceNotFoundException

pytestmark = pytest.mark.anyio

KEY = FunctionKey("000000000000", "us-east-1", "f")
CHANGING = ("Update", "Put", "Create", "Delete", "Tag", "Untag", "Publish")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class FakeApi:
    """Answers what it was given for an operation, page by page, and keeps what is changed."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    changed: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    base_urls: set[str] = field(default_factory=set)

    async def call(
        self, operation: str, scope: Scope, parameters: Mapping[str, Any], *, base_url: str = ""
    ) -> Mapping[str, Any]:
        assert scope == Scope(KEY.account, KEY.region)
        self.base_urls.add(base_url)
        if operation.startswith(CHANGING):
            self.changed.append((operation, parameters))
        answer = self.answers.get(operation, {})
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, list):
            at = int(parameters.get("Marker", "0"))
            marker = str(at + 1) if at + 1 < len(answer) else None
            return {**answer[at], "NextMarker": marker}
        return cast(Mapping[str, Any], answer)


def calls(api: FakeApi) -> FunctionCalls:
    return FunctionCalls(cast(ApiCalls, api), KEY, "http://localhost:4566")


async def send(api: FakeApi, form: str, body: str) -> str:
    return await CHANGES[form](calls(api), Form(parse_qs(body, keep_blank_values=True)))


def test_masked_values_stay_and_others_are_taken() -> None:
    rows = [("A", "A", MASK), ("B", "B", "new"), ("C", "", "3"), (" ", "", "x"), ("D", "D", "")]
    assert unmasked(rows, {"A": "secret", "B": "old", "D": "4"}) == {
        "A": "secret", "B": "new", "C": "3", "D": "",
    }  # fmt: skip


def test_a_masked_value_goes_along_with_a_new_name() -> None:
    assert unmasked([("NEW", "OLD", MASK)], {"OLD": "secret"}) == {"NEW": "secret"}


def test_dots_in_a_new_variable_are_its_value() -> None:
    assert unmasked([("A", "", MASK)], {"A": "secret"}) == {"A": MASK}


def test_a_name_that_is_there_twice_is_refused() -> None:
    with pytest.raises(InvalidParameterValueException, match="The variable A is there twice"):
        unmasked([("A", "A", "1"), ("A ", "", "2")], {"A": "1"})


def test_a_masked_value_that_is_gone_is_not_made_up() -> None:
    with pytest.raises(InvalidParameterValueException, match="A was removed elsewhere"):
        unmasked([("A", "A", MASK)], {})


async def test_variables_are_changed_as_a_whole() -> None:
    api = FakeApi({"GetFunctionConfiguration": {"Environment": {"Variables": {"A": "1"}}}})
    await send(api, "environment", f"variable=A&was=A&value={MASK}&variable=B&was=&value=2")
    assert api.changed == [
        (
            "UpdateFunctionConfiguration",
            {"FunctionName": "f", "Environment": {"Variables": {"A": "1", "B": "2"}}},
        )
    ]


@pytest.mark.parametrize(
    ("form", "body"),
    [("environment", "variable=A&value=1"), ("tags", "key=a&key=b&value=1"),
     ("environment", "variable=A&was=A&was=B&value=1")],
)  # fmt: skip
async def test_rows_that_are_not_whole_are_refused(form: str, body: str) -> None:
    api = FakeApi()
    with pytest.raises(InvalidParameterValueException, match="The form is not whole"):
        await send(api, form, body)
    assert api.changed == []


@pytest.mark.parametrize("value", ["", "-1", "1.5", "²", "٣", "1e3", "9" * 10, "NaN"])
async def test_what_is_no_number_is_refused(value: str) -> None:
    api = FakeApi()
    with pytest.raises(InvalidParameterValueException, match="Memory is a whole number, not"):
        await send(api, "general", f"memory={value}&timeout=3&storage=512")
    assert api.changed == []


async def test_the_general_settings_are_one_update() -> None:
    api = FakeApi()
    await send(api, "general", "memory=256&timeout=9&storage=512&handler=a.b&role=r&description=")
    [(operation, parameters)] = api.changed
    assert operation == "UpdateFunctionConfiguration"
    assert parameters == {
        "FunctionName": "f", "Description": "", "Handler": "a.b", "MemorySize": 256, "Timeout": 9,
        "EphemeralStorage": {"Size": 512}, "SnapStart": {"ApplyOn": "None"}, "Role": "r",
    }  # fmt: skip


async def test_concurrency_is_reserved_and_given_back() -> None:
    api = FakeApi()
    assert "0 at once" in await send(api, "concurrency", "reserved=0")
    await send(api, "concurrency", "reserved=")
    assert api.changed == [
        ("PutFunctionConcurrency", {"FunctionName": "f", "ReservedConcurrentExecutions": 0}),
        ("DeleteFunctionConcurrency", {"FunctionName": "f"}),
    ]


async def test_an_alias_is_made_once_and_moved_then() -> None:
    api = FakeApi({"GetAlias": ResourceNotFoundException("none")})
    await send(api, "alias", "alias=live&first=1")
    told = await send(FakeApi({"GetAlias": {"Name": "live"}}, api.changed), "alias",
                      "alias=live&first=1&second=2&weight=30")  # fmt: skip
    assert told == "live leads to version 1 now, 30% of the invocations to 2."
    live = {"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}
    assert api.changed == [
        ("CreateAlias", {**live, "RoutingConfig": {"AdditionalVersionWeights": {}}}),
        ("UpdateAlias", {**live, "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.3}}}),
    ]


async def test_tags_that_are_refused_take_none_away() -> None:
    api = FakeApi({"ListTags": {"Tags": {"old": "1"}}, "TagResource": ValueError("refused")})
    with pytest.raises(ValueError, match="refused"):
        await send(api, "tags", "key=aws:x&value=1")
    assert [operation for operation, _ in api.changed] == ["TagResource"]


async def test_tags_that_are_left_out_are_taken_away() -> None:
    api = FakeApi({"ListTags": {"Tags": {"old": "1", "kept": "2"}}})
    await send(api, "tags", "key=kept&value=3")
    assert api.changed == [
        ("TagResource", {"Resource": KEY.arn, "Tags": {"kept": "3"}}),
        ("UntagResource", {"Resource": KEY.arn, "TagKeys": ["old"]}),
    ]


async def test_all_pages_of_what_is_listed_are_read() -> None:
    missing = ResourceNotFoundException("none")
    api = FakeApi({
        "GetFunctionUrlConfig": missing, "GetPolicy": missing,
        "GetFunctionEventInvokeConfig": missing,
        "ListVersionsByFunction": [{"Versions": [{"Version": "$LATEST"}]}, {"Versions": []},
                                   {"Versions": [{"Version": "51"}]}],
        "ListEventSourceMappings": [
            {"EventSourceMappings": [
                {"FunctionArn": f"{KEY.arn}:live", "EventSourceArn": "arn:aws:sqs:r:a:q",
                 "State": "Enabled"},
                {"FunctionArn": f"{KEY.arn}-other", "EventSourceArn": "arn:aws:sqs:r:a:q",
                 "State": "Enabled"}]},
            {"EventSourceMappings": [
                {"FunctionArn": KEY.arn, "EventSourceArn": "arn:aws:kinesis:r:a:s",
                 "State": "Disabled"}]},
        ],
    })  # fmt: skip
    found = await read_configuration(calls(api))
    assert [one["Version"] for one in found.versions] == ["$LATEST", "51"]
    assert [(end.kind, end.detail, end.qualifier) for end in found.sources.before] == [
        ("SQS", "Enabled", "live"), ("Kinesis", "Disabled", ""),
    ]  # fmt: skip
    assert (found.url, found.policy, found.asynchronous) == (None, None, None)
    assert api.base_urls == {"http://localhost:4566"}
