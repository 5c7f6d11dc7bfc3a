"""What code finds around itself, and how long it lasts."""

import json
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    PYTHON,
    REGION,
    Clients,
    MakeFunction,
    Result,
    await_updated,
    invoke,
)
from support.gate import Gate
from support.node import Node
from support.packages import python_package
from support.programs import node_runtime

COUNTING = (
    "count = 0\n"
    "def handler(event, context):\n"
    "    global count\n    count += 1\n    return [count, context.log_stream_name]\n"
)


WAITING = (
    "import urllib.request\ncount = 0\n"
    "def handler(event, context):\n"
    "    global count\n    count += 1\n"
    "    if event: urllib.request.urlopen(event).read()\n"
    "    return ['old', count, context.log_stream_name]\n"
)


def in_parallel(client: Any, function: str, events: Sequence[Any]) -> list[Any]:
    with ThreadPoolExecutor(len(events)) as pool:
        return [result.value for result in pool.map(lambda e: invoke(client, function, e), events)]


def test_globals_last_from_one_invocation_to_the_next(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(COUNTING)
    results = [invoke(lambda_client, function).value for _ in range(5)]
    assert [count for count, _ in results] == [1, 2, 3, 4, 5]
    assert len({stream for _, stream in results}) == 1


def test_invocations_at_once_each_have_an_environment(
    lambda_client: Any, make_function: MakeFunction, gate: Gate
) -> None:
    function = make_function(WAITING, Timeout=20)
    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(invoke, lambda_client, function, gate.url) for _ in range(6)]
        gate.await_callers(6)
        gate.release()
        values = [future.result().value for future in running]
    assert [count for _, count, _ in values] == [1] * 6
    assert len({stream for _, _, stream in values}) == 6
    # Those six go on serving.
    _, count, stream = invoke(lambda_client, function).value
    assert count == 2
    assert stream in {stream for _, _, stream in values}


def test_a_hundred_invocations_over_few_environments_lose_nothing(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    return event\n")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: invoke(lambda_client, function, n).value, range(100)))
    assert results == list(range(100))


@pytest.mark.parametrize("change", ["code", "configuration"])
def test_a_change_retires_environments_without_failing_what_runs(
    lambda_client: Any, make_function: MakeFunction, gate: Gate, change: str
) -> None:
    function = make_function(WAITING, Timeout=20)
    assert invoke(lambda_client, function).value[:2] == ["old", 1]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoke, lambda_client, function, gate.url)
        gate.await_callers(1)
        if change == "code":
            lambda_client.update_function_code(
                FunctionName=function, ZipFile=python_package(WAITING.replace("old", "new"))
            )
        else:
            lambda_client.update_function_configuration(FunctionName=function, Timeout=19)
        await_updated(lambda_client, function)
        after = invoke(lambda_client, function).value
        gate.release()
        interrupted: Result = running.result()
    assert interrupted.error is None
    assert interrupted.value[:2] == ["old", 2]
    assert after[:2] == ["new" if change == "code" else "old", 1]
    assert after[2] != interrupted.value[2]
    assert invoke(lambda_client, function).value[1:] == [2, after[2]]


def test_changes_under_load_fail_no_request(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function("def handler(event, context):\n    return 0\n")
    stop = threading.Event()

    def load() -> list[Result]:
        results = []
        while not stop.is_set():
            results.append(invoke(lambda_client, function))
        return results

    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load) for _ in range(3)]
        try:
            for number in range(1, 6):
                source = f"def handler(event, context):\n    return {number}\n"
                lambda_client.update_function_code(
                    FunctionName=function, ZipFile=python_package(source)
                )
                await_updated(lambda_client, function)
                assert invoke(lambda_client, function).value == number
        finally:
            stop.set()
        series = [future.result() for future in loads]
    for results in series:
        assert {result.error for result in results} == {None}
        values = [result.value for result in results]
        assert values == sorted(values)


def test_versions_and_latest_have_environments_of_their_own(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(COUNTING)
    assert invoke(lambda_client, function).value[0] == 1
    lambda_client.publish_version(FunctionName=function)
    assert invoke(lambda_client, function, Qualifier="1").value[0] == 1
    assert invoke(lambda_client, function).value[0] == 2


ENVIRONMENT = "import os\ndef handler(event, context):\n    return dict(os.environ)\n"


def test_the_environment_variables_are_those_of_aws(
    node: Node, lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        ENVIRONMENT, MemorySize=192, Environment={"Variables": {"MINE": "välue", "LANG": "C.UTF-8"}}
    )
    found = invoke(lambda_client, function).value
    found.pop("TMPDIR", None)  # where sandboxes are plain processes
    task_root = found["LAMBDA_TASK_ROOT"]
    patterns = {
        "_X_AMZN_TRACE_ID": r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=[01]"
        r";Lineage=[0-9a-f]{8}:0",
        "AWS_LAMBDA_LOG_STREAM_NAME": r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}",
        "AWS_LAMBDA_RUNTIME_API": r"[0-9.]+:\d+",
        "AWS_SECRET_ACCESS_KEY": r".+",
        "AWS_SESSION_TOKEN": r".+",
        "LAMBDA_TASK_ROOT": r"/.+",
        "LAMBDA_RUNTIME_DIR": r"/.+",
        "LD_LIBRARY_PATH": rf"(/[^:]+:)*{re.escape(task_root)}:{re.escape(task_root)}/lib.*",
    }
    for variable, pattern in patterns.items():
        assert re.fullmatch(pattern, found.pop(variable)), variable
    for added_by_the_c_library in ("LC_CTYPE", "PWD", "SHLVL", "_"):
        found.pop(added_by_the_c_library, None)
    assert found == {
        "_HANDLER": "app.handler",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{PYTHON}",
        "AWS_LAMBDA_FUNCTION_NAME": function,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "192",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function}",
        "AWS_LAMBDA_LOG_FORMAT": "Text",
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_ENDPOINT_URL": node.url,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "TZ": ":UTC",
        "LANG": "C.UTF-8",
        "MINE": "välue",
    }


def test_the_nodes_own_environment_does_not_reach_functions(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    found = invoke(lambda_client, make_function(ENVIRONMENT)).value
    foreign = ("LAMBDABOX_", "PYTEST_", "VIRTUAL_ENV", "HOME")
    assert [name for name in found if name.startswith(foreign)] == []


def test_json_logs_and_versions_show_in_the_variables(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        ENVIRONMENT, LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"}
    )
    lambda_client.publish_version(FunctionName=function)
    found = invoke(lambda_client, function, Qualifier="1").value
    assert (found["AWS_LAMBDA_LOG_FORMAT"], found["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "WARN")
    assert found["AWS_LAMBDA_FUNCTION_VERSION"] == "1"


def test_code_is_read_only_and_tmp_is_not(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(
        "import os, stat, tempfile\n"
        "def handler(event, context):\n"
        "    with tempfile.NamedTemporaryFile() as file: file.write(b'x')\n"
        "    root = os.environ['LAMBDA_TASK_ROOT']\n"
        "    mode = lambda p: stat.S_IMODE(os.stat(p).st_mode)\n"
        "    return [os.getcwd() == root, mode(root), mode(os.path.join(root, 'app.py')),\n"
        "            file.name.startswith(os.environ.get('TMPDIR', '/tmp'))]\n"
    )
    assert invoke(lambda_client, function).value == [True, 0o555, 0o444, True]


def test_a_function_calls_the_platform_as_its_own_account(
    clients: Clients, make_function: MakeFunction
) -> None:
    client = clients("lambda", "111122223333", "eu-west-1")
    function = make_function(
        "import boto3\n"
        "def handler(event, context):\n"
        "    found = boto3.client('lambda').list_functions()['Functions']\n"
        "    return [function['FunctionArn'] for function in found]\n",
        client=client,
        Timeout=20,
        MemorySize=512,
    )
    arn = f"arn:aws:lambda:eu-west-1:111122223333:function:{function}"
    assert invoke(client, function).value == [arn]


CONTEXT_FIELDS = {
    "function_version": "$LATEST",
    "memory_limit_in_mb": "192",
    "identity": [None, None],
    "client_context": None,
    "tenant_id": None,
}


def test_the_context_of_python(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(
        "def handler(event, context):\n"
        "    names = ('function_name', 'function_version', 'invoked_function_arn',\n"
        "             'memory_limit_in_mb', 'aws_request_id', 'log_group_name',\n"
        "             'log_stream_name', 'client_context', 'tenant_id')\n"
        "    found = {n: getattr(context, n) for n in names}\n"
        "    i = context.identity\n"
        "    found['identity'] = [i.cognito_identity_id, i.cognito_identity_pool_id]\n"
        "    found['remaining'] = context.get_remaining_time_in_millis()\n"
        "    return found\n",
        MemorySize=192,
        Timeout=7,
    )
    invoke(lambda_client, function)  # so that the remaining time is that of a warm start
    result = invoke(lambda_client, function)
    found = result.value
    assert 6_000 < found.pop("remaining") <= 7_000
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", found.pop("log_stream_name"))
    assert found == {
        **CONTEXT_FIELDS,
        "function_name": function,
        "invoked_function_arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
        "aws_request_id": result.request_id,
        "log_group_name": f"/aws/lambda/{function}",
    }


def test_the_context_of_node(lambda_client: Any, make_function: MakeFunction) -> None:
    source = (
        "exports.handler = async (event, context) => ({ ...JSON.parse(JSON.stringify(context)),\n"
        "  remaining: context.getRemainingTimeInMillis() });\n"
    )
    function = make_function(
        {"index.js": source},
        Runtime=node_runtime(),
        Handler="index.handler",
        MemorySize=192,
        Timeout=7,
    )
    invoke(lambda_client, function)
    result = invoke(lambda_client, function)
    found = json.loads(result.payload)
    assert 6_000 < found.pop("remaining") <= 7_000
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", found.pop("logStreamName"))
    assert found == {
        "callbackWaitsForEmptyEventLoop": True,
        "functionVersion": "$LATEST",
        "functionName": function,
        "memoryLimitInMB": "192",
        "logGroupName": f"/aws/lambda/{function}",
        "invokedFunctionArn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
        "awsRequestId": result.request_id,
    }


def test_processes_that_node_starts_do_not_inherit_the_channel(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    source = (
        "const {execFileSync} = require('child_process');\n"
        "exports.handler = async () => execFileSync('ls', ['/proc/self/fd']).toString();\n"
    )
    function = make_function(
        {"index.js": source},
        Runtime=node_runtime(),
        Handler="index.handler",
    )
    # Its standard streams, and the directory it lists.
    assert invoke(lambda_client, function).value.split() == ["0", "1", "2", "3"]
