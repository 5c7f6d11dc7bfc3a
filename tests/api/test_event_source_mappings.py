"""Event source mappings as their API shows them; what is polled is tested elsewhere."""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    eventually,
    refused,
    without_metadata,
)
from support.sources import (
    Queue,
    await_gone,
    await_state,
    make_queue,
    make_stream,
    make_table,
)

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
COMMON = {
    "UUID", "EventSourceMappingArn", "EventSourceArn", "FunctionArn", "LastModified", "State",
    "StateTransitionReason", "BatchSize", "MaximumBatchingWindowInSeconds",
    "FunctionResponseTypes",
}  # fmt: skip
STREAM_DEFAULTS = {
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "StartingPosition": "TRIM_HORIZON",
    "State": "Creating",
    "StateTransitionReason": "User action",
    "TumblingWindowInSeconds": 0,
}
KAFKA = {
    "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["127.0.0.1:1"]}},
    "Topics": ["topic"],
    "StartingPosition": "TRIM_HORIZON",
}


@pytest.fixture
def queue(clients: Clients, name: str) -> Queue:
    return make_queue(clients, name)


@pytest.fixture
def made(lambda_client: Any) -> Iterator[Any]:
    """CreateEventSourceMapping; what it made is deleted afterwards."""
    ids: list[str] = []

    def create(**parameters: Any) -> dict[str, Any]:
        answer = lambda_client.create_event_source_mapping(**parameters)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
        ids.append(answer["UUID"])
        return without_metadata(answer)

    yield create
    for id in ids:
        with suppress(lambda_client.exceptions.ResourceNotFoundException):
            _settled(lambda_client, id)
            lambda_client.delete_event_source_mapping(UUID=id)
            await_gone(lambda_client, id)


def _settled(client: Any, id: str) -> None:
    """Wait until nothing is under way: a mapping that is changing cannot be deleted."""
    eventually(lambda: client.get_event_source_mapping(UUID=id)["State"] in ("Enabled", "Disabled"))


def test_a_queues_mapping_lives_and_ends(
    lambda_client: Any, make_function: MakeFunction, queue: Queue, made: Any
) -> None:
    function = make_function()
    created = made(FunctionName=function, EventSourceArn=queue.arn)
    id = created["UUID"]
    assert set(created) == COMMON
    expected = {
        "UUID": str(uuid.UUID(id)),
        "EventSourceMappingArn": f"{ARN}:event-source-mapping:{id}",
        "EventSourceArn": queue.arn,
        "FunctionArn": f"{ARN}:function:{function}",
        "LastModified": created["LastModified"],
        "State": "Creating",
        "StateTransitionReason": "USER_INITIATED",
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
    }
    assert created == expected
    assert await_state(lambda_client, id, "Enabled") == {**expected, "State": "Enabled"}
    deleted = lambda_client.delete_event_source_mapping(UUID=id)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert without_metadata(deleted) == {**expected, "State": "Deleting"}
    await_gone(lambda_client, id)
    missing = Refusal(
        404, "ResourceNotFoundException", "The resource you requested does not exist."
    )
    with refused(missing):
        lambda_client.get_event_source_mapping(UUID=id)
    with refused(missing):
        lambda_client.update_event_source_mapping(UUID=id, BatchSize=1)
    with refused(missing):
        lambda_client.delete_event_source_mapping(UUID=id)


def test_a_streams_mapping_shows_every_default(
    clients: Clients, make_function: MakeFunction, made: Any, name: str
) -> None:
    function = make_function()
    for arn in (make_stream(clients, name), make_table(clients, name)):
        created = made(FunctionName=function, EventSourceArn=arn, StartingPosition="TRIM_HORIZON")
        assert created == {
            **STREAM_DEFAULTS,
            "UUID": created["UUID"],
            "EventSourceMappingArn": f"{ARN}:event-source-mapping:{created['UUID']}",
            "EventSourceArn": arn,
            "FunctionArn": f"{ARN}:function:{function}",
            "LastModified": created["LastModified"],
        }


def test_a_mapping_of_kafka_has_a_consumer_group(make_function: MakeFunction, made: Any) -> None:
    created = made(FunctionName=make_function(), Enabled=False, **KAFKA)
    group = created["SelfManagedKafkaEventSourceConfig"]["ConsumerGroupId"]
    assert str(uuid.UUID(group)) == group
    assert set(created) == {
        "UUID", "EventSourceMappingArn", "FunctionArn", "LastModified", "State",
        "StateTransitionReason", "BatchSize", "StartingPosition", "LastProcessingResult",
        "DestinationConfig", "Topics", "SelfManagedEventSource",
        "SelfManagedKafkaEventSourceConfig",
    }  # fmt: skip


def test_everything_set_is_shown(
    lambda_client: Any, make_function: MakeFunction, queue: Queue, made: Any
) -> None:
    function = make_function()
    qualified = lambda_client.publish_version(FunctionName=function)["FunctionArn"]
    settings = {
        "BatchSize": 1000,
        "MaximumBatchingWindowInSeconds": 7,
        "FilterCriteria": {"Filters": [{"Pattern": '{"body": {"a": [1]}}'}]},
        "ScalingConfig": {"MaximumConcurrency": 3},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "KMSKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/k",
        "MetricsConfig": {"Metrics": ["EventCount"]},
    }
    created = made(
        FunctionName=qualified, EventSourceArn=queue.arn, Tags={"k": "v"}, Enabled=False, **settings
    )
    assert created["FunctionArn"] == qualified
    assert {name: created[name] for name in settings} == settings
    assert set(created) == COMMON | set(settings)
    shown = await_state(lambda_client, created["UUID"], "Disabled")
    assert {**shown, "State": "Creating"} == created
    updated = lambda_client.update_event_source_mapping(
        UUID=created["UUID"],
        FilterCriteria={"Filters": []},
        ScalingConfig={},
        MetricsConfig={"Metrics": []},
        KMSKeyArn="",
        FunctionResponseTypes=[],
        FunctionName=function,
    )
    assert updated["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert set(without_metadata(updated)) == COMMON
    assert updated["FunctionArn"] == f"{ARN}:function:{function}"
    assert updated["State"] == "Updating"


def test_enabling_and_disabling_have_states_of_their_own(
    lambda_client: Any, make_function: MakeFunction, queue: Queue, made: Any
) -> None:
    id = made(FunctionName=make_function(), EventSourceArn=queue.arn)["UUID"]
    await_state(lambda_client, id, "Enabled")
    for enabled, word in ((False, "Disabl"), (True, "Enabl")):
        answer = lambda_client.update_event_source_mapping(UUID=id, Enabled=enabled)
        assert answer["State"] == f"{word}ing"
        await_state(lambda_client, id, f"{word}ed")


def test_mappings_are_found_by_function_and_by_source(
    clients: Clients, lambda_client: Any, make_function: MakeFunction, made: Any, name: str
) -> None:
    functions = [make_function(), make_function()]
    queues = [make_queue(clients, f"{name}-{number}") for number in range(2)]
    ids = {
        (function, queue.arn): made(FunctionName=function, EventSourceArn=queue.arn, Enabled=False)[
            "UUID"
        ]
        for function in functions
        for queue in queues
    }

    def listed(**parameters: Any) -> list[str]:
        pages = lambda_client.get_paginator("list_event_source_mappings").paginate(**parameters)
        found = [page["EventSourceMappings"] for page in pages]
        assert all(len(page) <= 1 for page in found) or "PaginationConfig" not in parameters
        return [mapping["UUID"] for page in found for mapping in page]

    by_function = {ids[functions[0], queue.arn] for queue in queues}
    by_source = {ids[function, queues[1].arn] for function in functions}
    one_each = {"PageSize": 1}
    assert set(listed(FunctionName=functions[0], PaginationConfig=one_each)) == by_function
    assert set(listed(EventSourceArn=queues[1].arn, PaginationConfig=one_each)) == by_source
    both = listed(FunctionName=functions[0], EventSourceArn=queues[1].arn)
    assert both == [ids[functions[0], queues[1].arn]]
    assert set(ids.values()) <= set(listed())
    assert listed(FunctionName="nobody") == []


def test_a_source_and_a_function_are_joined_once(
    clients: Clients, lambda_client: Any, make_function: MakeFunction, queue: Queue, made: Any,
    name: str,
) -> None:  # fmt: skip
    function = make_function()
    stream = make_stream(clients, name)
    first = made(FunctionName=function, EventSourceArn=queue.arn)["UUID"]
    second = made(FunctionName=function, EventSourceArn=stream, StartingPosition="LATEST")["UUID"]
    third = made(FunctionName=function, Enabled=False, **KAFKA)["UUID"]
    with refused(
        Refusal(
            409,
            "ResourceConflictException",
            f'An event source mapping with SQS arn (" {queue.arn} ") and function (" {function} ") '
            f"already exists. Please update or delete the existing mapping with UUID {first}",
        )
    ):
        lambda_client.create_event_source_mapping(FunctionName=function, EventSourceArn=queue.arn)
    with refused(
        Refusal(
            409,
            "ResourceConflictException",
            f'The event source arn (" {stream} ") and function (" {function} ") provided mapping '
            f"already exists. Please update or delete the existing mapping with UUID {second}",
        )
    ):
        lambda_client.create_event_source_mapping(
            FunctionName=function, EventSourceArn=stream, StartingPosition="LATEST"
        )
    with refused(
        Refusal(
            409,
            "ResourceConflictException",
            f'An event source mapping with event source ("127.0.0.1:1"), function '
            f'("{ARN}:function:{function}"), topics ("topic") already exists. Please update or '
            f"delete the existing mapping with UUID {third}",
        )
    ):
        lambda_client.create_event_source_mapping(FunctionName=function, **KAFKA)


PATTERN = "Invalid filter pattern definition."
DUPLICATE_WINDOW = (
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than "
    "10"
)
UNSUPPORTED = "Unsupported {} parameter for given event source mapping type."
SQS_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:none"
STREAM_ARN = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/none"
TABLE_ARN = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/none/stream/2026-01-01T00:00:00.000"
NO_QUEUE = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. "
    "SQS Error Message: The specified queue does not exist."
)
NO_POSITION = (
    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
    "Member must not be null."
)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "Unrecognized event source."),
        ({"EventSourceArn": f"arn:aws:iam::{ACCOUNT}:role/r"}, "Unrecognized event source."),
        ({"EventSourceArn": TABLE_ARN.partition("/stream")[0]}, "Unrecognized event source."),
        ({"EventSourceArn": STREAM_ARN}, NO_POSITION),
        (
            {"EventSourceArn": TABLE_ARN, "StartingPosition": "AT_TIMESTAMP"},
            f"Unsupported starting position for arn type: {TABLE_ARN}",
        ),
        (
            {"EventSourceArn": SQS_ARN, "StartingPosition": "LATEST"},
            "StartingPosition is not valid for SQS event sources.",
        ),
        ({"EventSourceArn": SQS_ARN, "BatchSize": 11}, DUPLICATE_WINDOW),
        (
            {"EventSourceArn": SQS_ARN,
             "DestinationConfig": {"OnFailure": {"Destination": SQS_ARN}}},
            UNSUPPORTED.format("DestinationConfig"),
        ),
        (
            {"EventSourceArn": SQS_ARN, "ParallelizationFactor": 2},
            UNSUPPORTED.format("ParallelizationFactor"),
        ),
        (
            {"EventSourceArn": STREAM_ARN, "StartingPosition": "LATEST",
             "ScalingConfig": {"MaximumConcurrency": 2}},
            UNSUPPORTED.format("ScalingConfig"),
        ),
        (
            {"EventSourceArn": SQS_ARN, "FilterCriteria": {"Filters": [{"Pattern": "{}"}]}},
            PATTERN,
        ),
        ({"EventSourceArn": SQS_ARN, "FilterCriteria": {"Filters": [{}]}}, PATTERN),
        (
            {"EventSourceArn": STREAM_ARN, "StartingPosition": "LATEST",
             "FilterCriteria": {"Filters": [{"Pattern": '{"data": ["plain"]}'}]}},
            PATTERN,
        ),
        (
            {"EventSourceArn": SQS_ARN,
             "FilterCriteria": {"Filters": [{"Pattern": '{"body": ["x"]}'}] * 6}},
            "An event source mapping can have at most 5 filters.",
        ),
        (
            {"EventSourceArn": SQS_ARN},
            NO_QUEUE,
        ),
        (
            {"EventSourceArn": STREAM_ARN, "StartingPosition": "LATEST"},
            f"Stream not found: {STREAM_ARN}",
        ),
        (
            {"EventSourceArn": TABLE_ARN, "StartingPosition": "LATEST"},
            f"Stream not found: {TABLE_ARN}",
        ),
        ({**KAFKA, "EventSourceArn": SQS_ARN}, "Unrecognized event source."),
        (
            {member: value for member, value in KAFKA.items() if member != "Topics"},
            "Topics must be given for Kafka event sources.",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_polled_is_refused(
    unchecked_client: Any, make_function: MakeFunction, parameters: dict[str, Any], message: str
) -> None:
    function = make_function()
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        unchecked_client.create_event_source_mapping(FunctionName=function, **parameters)
    assert (
        unchecked_client.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
        == []
    )


def test_the_function_must_exist(lambda_client: Any, queue: Queue) -> None:
    with refused(Refusal(400, "InvalidParameterValueException", "Function does not exist")):
        lambda_client.create_event_source_mapping(FunctionName="nobody", EventSourceArn=queue.arn)


def test_messages_must_stay_away_for_as_long_as_the_function_may_run(
    lambda_client: Any, make_function: MakeFunction, queue: Queue
) -> None:
    message = "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.create_event_source_mapping(
            FunctionName=make_function(Timeout=31), EventSourceArn=queue.arn
        )


def test_an_update_obeys_the_same_rules(
    lambda_client: Any, make_function: MakeFunction, queue: Queue, made: Any
) -> None:
    id = made(FunctionName=make_function(), EventSourceArn=queue.arn, Enabled=False)["UUID"]
    await_state(lambda_client, id, "Disabled")
    with refused(Refusal(400, "InvalidParameterValueException", DUPLICATE_WINDOW)):
        lambda_client.update_event_source_mapping(UUID=id, BatchSize=11)
    with refused(Refusal(400, "InvalidParameterValueException", "Function does not exist")):
        lambda_client.update_event_source_mapping(UUID=id, FunctionName="nobody")
    assert await_state(lambda_client, id, "Disabled")["BatchSize"] == 10


def test_mappings_have_tags(lambda_client: Any, make_function: MakeFunction, made: Any) -> None:
    created = made(FunctionName=make_function(), Enabled=False, Tags={"a": "1", "b": "2"}, **KAFKA)
    arn = created["EventSourceMappingArn"]
    lambda_client.tag_resource(Resource=arn, Tags={"b": "two", "c": "3"})
    lambda_client.untag_resource(Resource=arn, TagKeys=["a"])
    found = without_metadata(lambda_client.list_tags(Resource=arn))
    assert found == {"Tags": {"b": "two", "c": "3"}}
