"""Records of streams reach a function in order, in batches, and a poison record ends somewhere."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import ACCOUNT, REGION, Clients, MakeFunction, eventually, log_messages
from support.packages import ROLE
from support.sources import await_gone, await_state, make_queue, make_stream, make_table

SAY = """
import json
def handler(event, context):
    print(json.dumps(event))
"""
OLDEST = {"StartingPosition": "TRIM_HORIZON"}


@pytest.fixture
def mapped(lambda_client: Any) -> Iterator[Any]:
    """Map a source to a function, ready to go; unmapped when the test ends."""
    ids: list[str] = []

    def map_source(**parameters: Any) -> str:
        id: str = lambda_client.create_event_source_mapping(**parameters)["UUID"]
        ids.append(id)
        await_state(lambda_client, id, "Enabled")
        return id

    yield map_source
    for id in ids:
        lambda_client.delete_event_source_mapping(UUID=id)
        await_gone(lambda_client, id)


def events_of(logs_client: Any, function: str) -> list[dict[str, Any]]:
    messages = log_messages(logs_client, f"/aws/lambda/{function}")
    return [json.loads(message) for message in messages if message.startswith('{"Records"')]


def put(clients: Clients, stream: str, data: bytes, key: str = "p") -> str:
    sequence: str = clients("kinesis").put_record(StreamARN=stream, Data=data, PartitionKey=key)[
        "SequenceNumber"
    ]
    return sequence


def test_a_record_of_kinesis_arrives_in_the_shape_that_functions_know(
    clients: Clients, lambda_client: Any, logs_client: Any, make_function: MakeFunction,
    mapped: Any, name: str,
) -> None:  # fmt: skip
    function, stream = make_function(SAY), make_stream(clients, name)
    put(clients, stream, b"before")
    id = mapped(FunctionName=function, EventSourceArn=stream, StartingPosition="LATEST")
    sequence = put(clients, stream, b"\x00data")
    [event] = eventually(lambda: events_of(logs_client, function))
    [record] = event.pop("Records")
    assert event == {}
    assert isinstance(record["kinesis"].pop("approximateArrivalTimestamp"), float)
    assert record == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "p",
            "sequenceNumber": sequence,
            "data": "AGRhdGE=",
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sequence}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": ROLE,
        "awsRegion": REGION,
        "eventSourceARN": stream,
    }
    assert eventually(
        lambda: lambda_client.get_event_source_mapping(UUID=id)["LastProcessingResult"] == "OK"
    )


def test_a_change_of_a_table_arrives_in_the_shape_that_functions_know(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    function, stream = make_function(SAY), make_table(clients, name)
    mapped(FunctionName=function, EventSourceArn=stream, StartingPosition="LATEST")
    table = clients("dynamodb")
    table.put_item(TableName=name, Item={"id": {"S": "1"}, "bytes": {"B": b"\x00"}})
    [event] = eventually(lambda: events_of(logs_client, function))
    [record] = event.pop("Records")
    change = record.pop("dynamodb")
    assert record.pop("eventID")
    assert record == {
        "eventName": "INSERT",
        "eventVersion": record["eventVersion"],
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "eventSourceARN": stream,
    }
    assert change["Keys"] == {"id": {"S": "1"}}
    assert change["NewImage"] == {"id": {"S": "1"}, "bytes": {"B": "AA=="}}
    assert change["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    assert isinstance(change["SequenceNumber"], str)


def test_a_poison_record_ends_in_the_queue_on_failure_and_does_not_block_the_shard(
    clients: Clients, lambda_client: Any, logs_client: Any, make_function: MakeFunction,
    mapped: Any, name: str,
) -> None:  # fmt: skip
    function = make_function(
        """
import json
def handler(event, context):
    names = [r["dynamodb"]["Keys"]["id"]["S"] for r in event["Records"]]
    if "poison" in names:
        raise ValueError("poisoned")
    print(json.dumps({"Records": names}))
"""
    )
    stream, failed = make_table(clients, name), make_queue(clients, f"failed-{name}")
    for id in ("a", "b", "poison", "c", "d"):
        clients("dynamodb").put_item(TableName=name, Item={"id": {"S": id}})
    mapped(
        FunctionName=function,
        EventSourceArn=stream,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": failed.arn}},
        **OLDEST,
    )

    def handled() -> list[str]:
        return [id for event in events_of(logs_client, function) for id in event["Records"]]

    assert eventually(lambda: len(handled()) >= 4)
    assert handled() == ["a", "b", "c", "d"]
    [message] = eventually(
        lambda: (
            clients("sqs").receive_message(QueueUrl=failed.url, WaitTimeSeconds=5).get("Messages")
        )
    )
    record = json.loads(message["Body"])
    batch, context = record.pop("DDBStreamBatchInfo"), record.pop("requestContext")
    assert len(context.pop("requestId")) == 36
    assert context == {
        "functionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": context["approximateInvokeCount"],
    }
    assert context["approximateInvokeCount"] >= 2
    assert set(record) == {"version", "timestamp", "responseContext"}
    assert record["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": "Unhandled",
    }
    assert set(batch) == {
        "shardId", "startSequenceNumber", "endSequenceNumber", "approximateArrivalOfFirstRecord",
        "approximateArrivalOfLastRecord", "batchSize", "streamArn",
    }  # fmt: skip
    assert (batch["batchSize"], batch["streamArn"]) == (1, stream)
    assert batch["startSequenceNumber"] == batch["endSequenceNumber"]


def test_the_records_of_every_shard_arrive_in_the_order_of_their_keys(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    function, stream = make_function(SAY), make_stream(clients, name, shards=3)
    keys = [f"key-{number}" for number in range(7)]
    mapped(
        FunctionName=function,
        EventSourceArn=stream,
        ParallelizationFactor=3,
        BatchSize=4,
        **OLDEST,
    )
    for number in range(12):
        for key in keys:
            put(clients, stream, b"%d" % number, key)

    def records() -> list[dict[str, Any]]:
        return [r for event in events_of(logs_client, function) for r in event["Records"]]

    eventually(lambda: len(records()) >= 12 * len(keys))
    assert {len(event["Records"]) > 4 for event in events_of(logs_client, function)} == {False}
    for key in keys:
        mine = [r["kinesis"] for r in records() if r["kinesis"]["partitionKey"] == key]
        numbers = [int(each["sequenceNumber"]) for each in mine]
        assert numbers == sorted(numbers)
        assert len(numbers) == 12


def test_filters_see_what_the_data_holds(
    clients: Clients, logs_client: Any, make_function: MakeFunction, mapped: Any, name: str
) -> None:
    function, stream = make_function(SAY), make_stream(clients, name)
    for data in (b'{"n": 1}', b"no json", b'{"n": 2}', b"\xff"):
        put(clients, stream, data)
    pattern = json.dumps({"data": {"n": [2]}, "partitionKey": ["p"]})
    mapped(
        FunctionName=function,
        EventSourceArn=stream,
        FilterCriteria={"Filters": [{"Pattern": pattern}]},
        **OLDEST,
    )
    [event] = eventually(lambda: events_of(logs_client, function))
    assert [record["kinesis"]["data"] for record in event["Records"]] == ["eyJuIjogMn0="]


def test_a_disabled_mapping_goes_on_where_it_stopped(
    clients: Clients, lambda_client: Any, logs_client: Any, make_function: MakeFunction,
    mapped: Any, name: str,
) -> None:  # fmt: skip
    function, stream = make_function(SAY), make_stream(clients, name)
    id = mapped(FunctionName=function, EventSourceArn=stream, **OLDEST)

    def seen() -> list[str]:
        events = events_of(logs_client, function)
        return [r["kinesis"]["sequenceNumber"] for event in events for r in event["Records"]]

    first = put(clients, stream, b"1")
    eventually(lambda: seen() == [first])
    lambda_client.update_event_source_mapping(UUID=id, Enabled=False)
    await_state(lambda_client, id, "Disabled")
    second = put(clients, stream, b"2")
    lambda_client.update_event_source_mapping(UUID=id, Enabled=True)
    eventually(lambda: len(seen()) > 1)
    assert seen() == [first, second]


def test_an_iterator_that_moto_has_forgotten_has_expired(clients: Clients, name: str) -> None:
    client = clients("dynamodbstreams")
    iterator = f"{make_table(clients, name)}|1|forgotten"
    with pytest.raises(client.exceptions.ExpiredIteratorException):
        client.get_records(ShardIterator=iterator)
