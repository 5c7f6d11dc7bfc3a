"""The log of a function, from its lines, exact to the tab, to the tools that read them."""

import json
import re
import urllib.request
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    PYTHON,
    REGION,
    Clients,
    MakeFunction,
    Result,
    eventually,
    invoke,
    log_messages,
    without_metadata,
)
from support.node import Node

ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:"
HEX64 = "[0-9a-f]{64}"
UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
MS = r"\d+\.\d\d ms"
ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
INIT_START = (
    rf"INIT_START Runtime Version: {PYTHON.replace('python', 'python:')}\.v\d+"
    rf"\tRuntime Version ARN: arn:aws:lambda:{REGION}::runtime:{HEX64}\n"
)
QUIET = "def handler(event, context):\n    pass\n"


def start(result: Result, version: str = "$LATEST") -> str:
    return re.escape(f"START RequestId: {result.request_id} Version: {version}\n")


def end(result: Result) -> str:
    return f"END RequestId: {result.request_id}\n"


def report(result: Result, *, init: bool = False, memory: int = 128, more: str = "") -> str:
    first = rf"Init Duration: {MS}\t" if init else ""
    return (
        rf"REPORT RequestId: {result.request_id}\tDuration: {MS}\tBilled Duration: \d+ ms\t"
        rf"Memory Size: {memory} MB\tMax Memory Used: [1-9]\d* MB\t{first}{more}\n"
    )


def assert_log(messages: list[str], patterns: list[str]) -> None:
    unmatched = [
        (message, pattern)
        for message, pattern in zip(messages, patterns, strict=False)
        if not re.fullmatch(pattern, message)
    ]
    assert unmatched == []
    assert len(messages) == len(patterns), messages


def test_the_lines_of_a_first_and_a_second_invocation(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "print('loading')\ndef handler(event, context):\n    print('working')\n"
    )
    first, second = invoke(lambda_client, function), invoke(lambda_client, function)
    assert_log(
        log_messages(logs_client, f"/aws/lambda/{function}"),
        [
            INIT_START, "loading\n",
            start(first), "working\n", end(first), report(first, init=True),
            start(second), "working\n", end(second), report(second),
        ],
    )  # fmt: skip


def test_the_bill_of_a_cold_start_covers_init_and_run(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    result = invoke(lambda_client, make_function(QUIET), LogType="Tail")
    line = result.log.splitlines()[-1]
    numbers = re.findall(r"(Billed Duration|Init Duration|Duration): ([\d.]+) ms", line)
    values = {title: float(number) for title, number in numbers}
    together = values["Duration"] + values["Init Duration"]
    assert together <= values["Billed Duration"] <= together + 1.01


def test_a_version_and_the_memory_are_named(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(QUIET, MemorySize=256)
    lambda_client.publish_version(FunctionName=function)
    result = invoke(lambda_client, function, Qualifier="1")
    assert_log(
        log_messages(logs_client, f"/aws/lambda/{function}"),
        [INIT_START, start(result, "1"), end(result), report(result, init=True, memory=256)],
    )


def test_a_timeout_is_a_line_of_its_own(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "import time\ndef handler(event, context):\n    time.sleep(30)\n", Timeout=1
    )
    result = invoke(lambda_client, function)
    assert_log(
        log_messages(logs_client, f"/aws/lambda/{function}"),
        [
            INIT_START,
            start(result),
            rf"{ISO} {result.request_id} Task timed out after 1\.00 seconds\n\n",
            end(result),
            (
                rf"REPORT RequestId: {result.request_id}\tDuration: 1000\.00 ms\t"
                rf"Billed Duration: 1\d\d\d ms\tMemory Size: 128 MB\tMax Memory Used: [1-9]\d* MB\t"
                rf"Init Duration: {MS}\tStatus: timeout\t\n"
            ),
        ],
    )


def test_an_exit_names_its_reason_and_the_next_init_starts_again(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "import sys\ndef handler(event, context):\n    if event: sys.exit(event)\n"
    )
    first, second = invoke(lambda_client, function, 7), invoke(lambda_client, function, 0)
    failed = r"Status: error\tError Type: Runtime\.ExitError\t"
    assert_log(
        log_messages(logs_client, f"/aws/lambda/{function}"),
        [
            INIT_START,
            start(first),
            (f"RequestId: {first.request_id} Error: Runtime exited with error: exit status 7\n"
            r"Runtime\.ExitError\n"),
            end(first),
            report(first, init=True, more=failed),
            start(second), end(second), report(second),
        ],
    )  # fmt: skip


def test_an_exception_is_one_event_and_reports_no_status(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    raise ValueError('a\\nb')\n")
    result = invoke(lambda_client, function)
    assert_log(
        log_messages(logs_client, f"/aws/lambda/{function}"),
        [
            INIT_START,
            start(result),
            (r"\[ERROR\] ValueError: a\rb\rTraceback \(most recent call last\):\r"
            r'\u00a0\u00a0File "[^"]*/app\.py", line 2, in handler\r'
            r"\u00a0\u00a0\u00a0\u00a0raise ValueError\('a\\nb'\)\n"),
            end(result),
            report(result, init=True),
        ],
    )  # fmt: skip


def test_a_failed_init_is_reported_twice_before_the_invocation(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("import nosuchthing\n")
    result = invoke(lambda_client, function)
    error = (
        r"\[ERROR\] Runtime\.ImportModuleError: Unable to import module 'app': No module named "
        r"'nosuchthing'\rTraceback \(most recent call last\):\n"
    )
    failed = r"Status: error\tError Type: Runtime\.ImportModuleError"
    assert_log(
        log_messages(logs_client, f"/aws/lambda/{function}"),
        [
            INIT_START,
            error,
            rf"INIT_REPORT Init Duration: {MS}\tPhase: init\t{failed}\n",
            error,
            rf"INIT_REPORT Init Duration: {MS}\tPhase: invoke\t{failed}\n",
            start(result),
            end(result),
            report(result, more=failed + r"\t"),
        ],
    )


def test_log_records_have_level_time_and_request(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "import logging\n"
        "logging.getLogger().setLevel('INFO')\n"
        "def handler(event, context):\n"
        "    logging.info('two\\nlines')\n    logging.debug('not shown')\n"
        "    logging.warning('grüße')\n"
    )
    result = invoke(lambda_client, function)
    messages = log_messages(logs_client, f"/aws/lambda/{function}")
    assert_log(
        messages[2:4],
        [
            rf"\[INFO\]\t{ISO}\t{result.request_id}\ttwo\rlines\n",
            rf"\[WARNING\]\t{ISO}\t{result.request_id}\tgrüße\n",
        ],
    )


def test_prints_split_at_newlines_and_an_unfinished_line_is_kept(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "import os, sys\ndef handler(event, context):\n"
        "    print('one\\ntwo')\n    print(file=sys.stderr)\n    os.write(1, b'\\xff cut')\n"
    )
    result = invoke(lambda_client, function)
    invoke(lambda_client, function)
    messages = log_messages(logs_client, f"/aws/lambda/{function}")
    assert messages[2:7] == ["one\n", "two\n", "\n", "\ufffd cut", end(result)]


def test_nothing_of_one_invocation_slips_behind_its_report(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def handler(event, context):\n    print('x' * 1000, *range(2000), sep='\\n')\n"
    )
    results = [invoke(lambda_client, function) for _ in range(3)]
    messages = log_messages(logs_client, f"/aws/lambda/{function}")
    expected = ["x" * 1000 + "\n", *(f"{n}\n" for n in range(2000))]
    for result in results:
        begin = messages.index(f"START RequestId: {result.request_id} Version: $LATEST\n")
        assert messages[begin + 1 : begin + 2002] == expected
        assert messages[begin + 2002] == end(result)


def test_the_tail_is_the_last_4096_bytes(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(
        "def handler(event, context):\n    print('a' * 5000)\n    print('b' * 3000)\n"
    )
    result = invoke(lambda_client, function, LogType="Tail")
    assert len(result.log.encode()) == 4096
    assert re.search(rf"aaa\nb{{3000}}\n{end(result)}{report(result, init=True)}$", result.log)


def test_a_line_longer_than_an_event_is_cut_and_not_lost(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    print('x' * 600_000)\n")
    invoke(lambda_client, function)
    parts = [m for m in log_messages(logs_client, f"/aws/lambda/{function}") if m[0] == "x"]
    assert "".join(parts) == "x" * 600_000 + "\n"
    assert max(map(len, parts)) <= 262_144


def test_streams_are_named_after_day_version_and_environment(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    return context.log_stream_name\n")
    stream = invoke(lambda_client, function).value
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    listed = logs_client.describe_log_streams(logGroupName=f"/aws/lambda/{function}")
    assert [entry["logStreamName"] for entry in listed["logStreams"]] == [stream]
    assert set(listed["logStreams"][0]) == {
        "logStreamName", "creationTime", "firstEventTimestamp", "lastEventTimestamp",
        "lastIngestionTime", "uploadSequenceToken", "arn", "storedBytes",
    }  # fmt: skip


def test_a_group_of_ones_own_names_the_function_in_its_streams(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    source = (
        "def handler(event, context):\n"
        "    return [context.log_group_name, context.log_stream_name]\n"
    )
    group = "/my/own-group"
    function = make_function(source, LoggingConfig={"LogGroup": group})
    other = make_function(source, LoggingConfig={"LogGroup": group})
    for made in (function, other):
        shown, stream = invoke(lambda_client, made).value
        assert shown == group
        assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d/{made}\[\$LATEST\]\[{UUID}\]", stream)
        events = logs_client.get_log_events(logGroupName=group, logStreamName=stream)["events"]
        assert len(events) == 4
    assert log_messages(logs_client, f"/aws/lambda/{function}") == []
    logs_client.delete_log_group(logGroupName=group)


JSON_SOURCE = (
    "import logging\n"
    "log = logging.getLogger('mine')\n"
    "def handler(event, context):\n"
    "    log.debug('low')\n    log.info('high', extra={'order': 7})\n    print('raw')\n"
    "    if event: raise KeyError('k')\n"
)
JSON_RECORD = {"level", "message", "logger", "requestId", "timestamp"}


def json_log(client: Any, function: str) -> list[Any]:
    messages = log_messages(client, f"/aws/lambda/{function}")
    return [json.loads(m) if m.startswith("{") else m for m in messages]


def test_json_logs_hold_platform_events_and_records(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(JSON_SOURCE, LoggingConfig={"LogFormat": "JSON"})
    result = invoke(lambda_client, function, 0)
    lines = json_log(logs_client, function)
    kinds = [line.get("type", "record") if isinstance(line, dict) else line for line in lines]
    assert kinds == [
        "platform.initStart", "platform.start", "record", "raw\n", "platform.report",
    ]  # fmt: skip
    init, begun, record, _, closed = lines
    for line in (init, begun, closed):
        assert set(line) == {"time", "type", "record"}
        assert re.fullmatch(ISO, line["time"])
    assert set(init["record"]) == {
        "initializationType", "phase", "runtimeVersion", "runtimeVersionArn", "functionName",
        "functionVersion",
    }  # fmt: skip
    assert begun["record"] == {"requestId": result.request_id, "version": "$LATEST"}
    assert set(record) == {*JSON_RECORD, "order"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record.pop("timestamp"))
    assert record == {
        "level": "INFO",
        "message": "high",
        "logger": "mine",
        "requestId": result.request_id,
        "order": 7,
    }
    metrics = closed["record"].pop("metrics")
    assert closed["record"] == {"requestId": result.request_id, "status": "success"}
    assert set(metrics) == {
        "durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param(
            {"ApplicationLogLevel": "DEBUG", "SystemLogLevel": "DEBUG"},
            [
                *("initStart", "initRuntimeDone", "initReport"),
                *("start", "low", "high", "raw\n", "k", "runtimeDone", "report"),
            ],
            id="everything",
        ),
        pytest.param(
            {"ApplicationLogLevel": "ERROR", "SystemLogLevel": "INFO"},
            ["initStart", "start", "k", "runtimeDone", "report"],
            id="errors of the function",
        ),
        pytest.param(
            {"ApplicationLogLevel": "FATAL", "SystemLogLevel": "WARN"},
            ["runtimeDone", "report"],
            id="warnings of the platform",
        ),
    ],
)
def test_levels_decide_what_a_json_log_holds(
    lambda_client: Any,
    logs_client: Any,
    make_function: MakeFunction,
    levels: dict[str, str],
    expected: list[str],
) -> None:
    function = make_function(JSON_SOURCE, LoggingConfig={"LogFormat": "JSON", **levels})
    assert invoke(lambda_client, function, 1).error == "Unhandled"
    shown = []
    for line in json_log(logs_client, function):
        if isinstance(line, str):
            shown.append(line)
        elif "type" in line:
            shown.append(line["type"].removeprefix("platform."))
        else:
            shown.append(str(line.get("message", line.get("errorMessage"))).strip("'"))
    assert shown == expected


def test_a_group_is_described_in_full(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(QUIET)
    invoke(lambda_client, function)
    group = f"/aws/lambda/{function}"
    response = logs_client.describe_log_groups(logGroupNamePrefix=group)
    (shown,) = response["logGroups"]
    assert set(without_metadata(response)) == {"logGroups"}
    assert shown.pop("creationTime") > 1_700_000_000_000
    assert shown.pop("storedBytes") >= 0
    assert shown == {
        "logGroupName": group,
        "metricFilterCount": 0,
        "arn": f"{ARN}{group}:*",
        "logGroupArn": f"{ARN}{group}",
        "logGroupClass": "STANDARD",
    }


def test_events_have_times_and_are_paged_both_ways(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def handler(event, context):\n"
        "    for n in range(5): print('line', n)\n    return context.log_stream_name\n"
    )
    stream = invoke(lambda_client, function).value
    where = {"logGroupName": f"/aws/lambda/{function}", "logStreamName": stream}
    whole = logs_client.get_log_events(**where, startFromHead=True)["events"]
    assert [set(event) for event in whole] == [{"timestamp", "message", "ingestionTime"}] * 9
    assert [event["timestamp"] for event in whole] == sorted(e["timestamp"] for e in whole)
    page = logs_client.get_log_events(**where, startFromHead=True, limit=4)
    forward = [page["events"]]
    while page["events"]:
        page = logs_client.get_log_events(
            **where, startFromHead=True, limit=4, nextToken=page["nextForwardToken"]
        )
        forward.append(page["events"])
    assert [event for events in forward for event in events] == whole
    last = logs_client.get_log_events(**where, limit=4)
    assert last["events"] == whole[-4:]
    before = logs_client.get_log_events(**where, limit=4, nextToken=last["nextBackwardToken"])
    assert before["events"] == whole[-8:-4]


def test_events_are_filtered_by_pattern(
    lambda_client: Any, logs_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def handler(event, context):\n"
        "    print('ERROR one')\n    print('{\"level\": \"warn\", \"n\": 5}')\n    print('fine')\n"
        "    return context.log_stream_name\n"
    )
    stream = invoke(lambda_client, function).value
    group = f"/aws/lambda/{function}"

    def found(pattern: str) -> list[str]:
        response = logs_client.filter_log_events(logGroupName=group, filterPattern=pattern)
        for event in response["events"]:
            assert set(event) == {
                "logStreamName", "timestamp", "message", "ingestionTime", "eventId",
            }  # fmt: skip
            assert event["logStreamName"] == stream
        return [event["message"] for event in response["events"]]

    assert found("ERROR") == ["ERROR one\n"]
    assert found('{ $.n = 5 && $.level = "w*" }') == ['{"level": "warn", "n": 5}\n']
    assert found("%^fi.e%") == ["fine\n"]
    assert found("absent") == []


def test_groups_are_made_kept_tagged_and_deleted(logs_client: Any, name: str) -> None:
    group = f"/made/{name}"
    logs_client.create_log_group(logGroupName=group, tags={"a": "1"})
    with pytest.raises(logs_client.exceptions.ResourceAlreadyExistsException):
        logs_client.create_log_group(logGroupName=group)
    logs_client.put_retention_policy(logGroupName=group, retentionInDays=7)
    (shown,) = logs_client.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert shown["retentionInDays"] == 7
    logs_client.delete_retention_policy(logGroupName=group)
    logs_client.tag_resource(resourceArn=ARN + group, tags={"b": "2"})
    logs_client.untag_resource(resourceArn=ARN + group, tagKeys=["a"])
    assert logs_client.list_tags_for_resource(resourceArn=ARN + group)["tags"] == {"b": "2"}
    logs_client.create_log_stream(logGroupName=group, logStreamName="s")
    moment = shown["creationTime"]
    put = logs_client.put_log_events(
        logGroupName=group,
        logStreamName="s",
        logEvents=[{"timestamp": moment, "message": "by hand"}],
    )
    assert "rejectedLogEventsInfo" not in put
    assert log_messages(logs_client, group) == ["by hand"]
    logs_client.delete_log_stream(logGroupName=group, logStreamName="s")
    logs_client.delete_log_group(logGroupName=group)
    with pytest.raises(logs_client.exceptions.ResourceNotFoundException):
        logs_client.delete_log_group(logGroupName=group)


def test_logs_outlive_their_function_and_are_kept_by_account(
    lambda_client: Any, logs_client: Any, clients: Clients, make_function: MakeFunction
) -> None:
    function = make_function(QUIET)
    invoke(lambda_client, function)
    lambda_client.delete_function(FunctionName=function)
    group = f"/aws/lambda/{function}"
    assert len(log_messages(logs_client, group)) == 4
    assert log_messages(clients("logs", "111122223333"), group) == []
    assert log_messages(clients("logs", region="eu-west-1"), group) == []


def test_usage_is_billed_by_function(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def handler(event, context):\n    if event: raise ValueError\n", MemorySize=1024
    )
    logs = [invoke(lambda_client, function, failing, LogType="Tail").log for failing in (0, 0, 1)]
    billed = sum(int(found) for log in logs for found in re.findall(r"Billed Duration: (\d+)", log))

    def usage() -> Any:
        with urllib.request.urlopen(f"{node.url}/_lambdabox/usage", timeout=10) as response:
            assert response.headers["content-type"] == "application/json"
            bill = json.load(response)
        assert set(bill) == {"Currency", "Days", "Functions"}
        assert (bill["Currency"], bill["Days"]) == ("USD", 30)
        return next((row for row in bill["Functions"] if row["FunctionName"] == function), None)

    row = eventually(usage)
    cost = row.pop("Cost")
    assert row == {
        "FunctionName": function,
        "Invocations": 3,
        "Errors": 1,
        "BilledMilliseconds": billed,
        "GBSeconds": billed / 1000,
    }
    assert cost == pytest.approx(3 * 0.2e-6 + billed / 1000 * 0.0000166667, abs=1e-9)
