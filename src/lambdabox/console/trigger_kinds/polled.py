"""Sources that the node polls for a function: event source mappings.

They need no permission in the function's policy, for the function's role reads them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lambdabox.console.forms import Form
from lambdabox.console.mapping_forms import mapping_settings
from lambdabox.console.trigger_kinds.kind import Choice, chosen, new_name
from lambdabox.console.trigger_kinds.workbench import Workbench

_VISIBILITY = 6
"""Times the function's timeout, as AWS advises: room for a batch to be tried again."""
_SHOWN = 200


class QueueTrigger:
    id = "sqs"
    title = "SQS queue"
    summary = "Messages, in batches. What fails comes again."
    noun = "queue"

    def suggestion(self, function_name: str) -> str:
        return f"{function_name}-queue"

    def plan(self, form: Form) -> Sequence[str]:
        return [
            f"The queue {form.text('new_name')}",
            "An event source mapping that gives its messages to the function",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("sqs", "ListQueues", MaxResults=_SHOWN)
        names = [url.rpartition("/")[2] for url in found.get("QueueUrls") or ()]
        return [Choice(bench.arn("sqs", name), name) for name in sorted(names)]

    async def add(self, bench: Workbench, form: Form) -> None:
        arn, settings = chosen(form, self.noun), mapping_settings(form)
        if not arn:
            name = await new_name(self, bench, form)
            await bench.ask(
                "sqs", "CreateQueue", QueueName=name, Attributes=await _queue(bench, name)
            )
            bench.done.append(f"The queue {name} is made.")
            arn = bench.arn("sqs", name)
        await _map(bench, arn, settings)


async def _queue(bench: Workbench, name: str) -> dict[str, str]:
    function = await bench.calls.call("GetFunctionConfiguration")
    visible = max(30, _VISIBILITY * int(function["Timeout"]))
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    return {"VisibilityTimeout": str(visible), **(fifo if name.endswith(".fifo") else {})}


class TableTrigger:
    id = "dynamodb"
    title = "DynamoDB table"
    summary = "Each change of an item, in order, with what was before."
    noun = "table"

    def suggestion(self, function_name: str) -> str:
        return f"{function_name}-table"

    def plan(self, form: Form) -> Sequence[str]:
        return [
            f"The table {form.text('new_name')}, with the key id (text) and a stream",
            "An event source mapping that gives its changes to the function",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("dynamodb", "ListTables", Limit=100)
        return [Choice(name, name) for name in found.get("TableNames") or ()]

    async def add(self, bench: Workbench, form: Form) -> None:
        name, settings = chosen(form, self.noun), mapping_settings(form)
        if name:
            arn = await _stream_of(bench, name)
        else:
            name = await new_name(self, bench, form)
            made = await bench.ask("dynamodb", "CreateTable", TableName=name, **_TABLE)
            bench.done.append(f"The table {name} is made, with the key id and a stream.")
            arn = made["TableDescription"]["LatestStreamArn"]
        await _map(bench, arn, {**settings, **_position(form)})


_STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
_TABLE: Mapping[str, Any] = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": _STREAM,
}


async def _stream_of(bench: Workbench, name: str) -> str:
    """Return the stream of a table, which is turned on if it is off."""
    table = (await bench.ask("dynamodb", "DescribeTable", TableName=name))["Table"]
    if not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
        answer = await bench.ask(
            "dynamodb", "UpdateTable", TableName=name, StreamSpecification=_STREAM
        )
        table = answer["TableDescription"]
        bench.done.append(f"The stream of {name} is turned on, with items before and after.")
    arn: str = table["LatestStreamArn"]
    return arn


class StreamTrigger:
    id = "kinesis"
    title = "Kinesis stream"
    summary = "Records, in the order of their partition keys."
    noun = "stream"

    def suggestion(self, function_name: str) -> str:
        return f"{function_name}-stream"

    def plan(self, form: Form) -> Sequence[str]:
        return [
            f"The stream {form.text('new_name')}, with one shard",
            "An event source mapping that gives its records to the function",
        ]

    async def choices(self, bench: Workbench) -> Sequence[Choice]:
        found = await bench.ask("kinesis", "ListStreams", Limit=_SHOWN)
        names = found.get("StreamNames") or ()
        return [Choice(bench.arn("kinesis", f"stream/{name}"), name) for name in names]

    async def add(self, bench: Workbench, form: Form) -> None:
        arn, settings = chosen(form, self.noun), mapping_settings(form)
        if not arn:
            name = await new_name(self, bench, form)
            await bench.ask("kinesis", "CreateStream", StreamName=name, ShardCount=1)
            bench.done.append(f"The stream {name} is made, with one shard.")
            arn = bench.arn("kinesis", f"stream/{name}")
        await _map(bench, arn, {**settings, **_position(form)})


def _position(form: Form) -> dict[str, str]:
    return {"StartingPosition": form.text("position") or "LATEST"}


async def _map(bench: Workbench, arn: str, settings: Mapping[str, Any]) -> None:
    await bench.calls.call_plain(
        "CreateEventSourceMapping",
        {"FunctionName": bench.function_arn, "EventSourceArn": arn, **settings},
    )
    bench.done.append("An event source mapping gives what comes to the function.")
