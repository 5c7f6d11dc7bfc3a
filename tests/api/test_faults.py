"""What a caller gets when a function fails, in every way that a function can."""

import json
import re
import time
from typing import Any

import pytest
from support.functions import MakeFunction, Result, invoke
from support.programs import node_runtime

ID = "<request id>"
PYTHON_FRAME = r'  File "[^"]*/app\.py", line {line}, in {name}\n    {code}\n'


def body(result: Result) -> dict[str, Any]:
    """The error's body with the request id made comparable."""
    assert result.error == "Unhandled"
    value: dict[str, Any] = json.loads(result.payload.decode().replace(result.request_id, ID))
    return value


def platform_error(kind: str, message: str) -> dict[str, str]:
    return {"errorType": kind, "errorMessage": f"RequestId: {ID} Error: {message}"}


def exited(message: str) -> dict[str, str]:
    return platform_error("Runtime.ExitError", message)


def python_handler(*lines: str) -> str:
    return "import os, sys\ndef handler(event, context):\n" + "".join(f"    {x}\n" for x in lines)


def node_handler(code: str) -> dict[str, str | bytes]:
    return {"index.js": f"exports.handler = async (event, context) => {{ {code} }};\n"}


@pytest.fixture
def make_node_function(make_function: MakeFunction) -> MakeFunction:
    runtime = node_runtime()

    def make(files: dict[str, str | bytes], **settings: Any) -> str:
        return make_function(files, Runtime=runtime, **{"Handler": "index.handler", **settings})

    return make


# Python


def test_python_an_exception_is_told_with_its_trace(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        "def inner():\n    raise ValueError('bäd')\n\ndef handler(event, context):\n    inner()\n"
    )
    told = body(invoke(lambda_client, function))
    trace = told.pop("stackTrace")
    assert told == {"errorMessage": "bäd", "errorType": "ValueError", "requestId": ID}
    expected = [
        PYTHON_FRAME.format(line=5, name="handler", code=r"inner\(\)"),
        PYTHON_FRAME.format(line=2, name="inner", code=r"raise ValueError\('bäd'\)"),
    ]
    assert len(trace) == 2
    for shown, pattern in zip(trace, expected, strict=True):
        assert re.fullmatch(pattern, shown), shown


@pytest.mark.parametrize(
    ("source", "handler", "kind", "message"),
    [
        pytest.param(
            "import nosuchthing\n",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nosuchthing'",
            id="a dependency is missing",
        ),
        pytest.param(
            "",
            "other.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'other': No module named 'other'",
            id="the module is missing",
        ),
        pytest.param(
            "",
            "app.handler",
            "Runtime.HandlerNotFound",
            "Handler 'handler' missing on module 'app'",
            id="the handler is missing",
        ),
        pytest.param(
            "def handler(:\n",
            "app.handler",
            "Runtime.UserCodeSyntaxError",
            None,
            id="a syntax error",
        ),
        pytest.param(
            "",
            "app",
            "Runtime.MalformedHandlerName",
            "Bad handler 'app': not enough values to unpack (expected 2, got 1)",
            id="a name without a dot",
        ),
        pytest.param(
            "",
            "sys.handler",
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module",
            id="a built-in module",
        ),
        pytest.param("raise KeyError('k')\n", "app.handler", "KeyError", "'k'", id="init raises"),
    ],
)
def test_python_a_failed_init_is_told_without_a_request_id(
    lambda_client: Any,
    make_function: MakeFunction,
    source: str,
    handler: str,
    kind: str,
    message: str | None,
) -> None:
    function = make_function(source, Handler=handler)
    told = body(invoke(lambda_client, function))
    assert set(told) == {"errorMessage", "errorType", "requestId", "stackTrace"}
    assert (told["errorType"], told["requestId"]) == (kind, "")
    if message is not None:
        assert told["errorMessage"] == message
    else:
        assert re.fullmatch(
            r"Syntax error in module 'app': .+ \(app\.py, line 1\)", told["errorMessage"]
        )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("sys.exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(1)", "Runtime exited with error: exit status 1"),
        ("os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
        ("os.kill(os.getpid(), 15)", "Runtime exited with error: signal: terminated"),
        ("os.kill(os.getpid(), 11)", "Runtime exited with error: signal: segmentation fault"),
    ],
)
def test_python_an_exit_is_told_with_its_reason(
    lambda_client: Any, make_function: MakeFunction, code: str, reason: str
) -> None:
    assert body(invoke(lambda_client, make_function(python_handler(code)))) == exited(reason)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; sys.exit(4)", "Runtime exited with error: exit status 4"),
        ("import os; os._exit(0)", "Runtime exited without providing a reason"),
        ("import os; os.kill(os.getpid(), 9)", "Runtime exited with error: signal: killed"),
    ],
)
def test_python_an_exit_while_loading_is_told_with_its_reason(
    lambda_client: Any, make_function: MakeFunction, code: str, reason: str
) -> None:
    assert body(invoke(lambda_client, make_function(code + "\n"))) == exited(reason)


def test_python_a_result_that_json_cannot_hold_is_a_marshal_error(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    assert body(invoke(lambda_client, make_function(python_handler("return {1, 2}")))) == {
        "errorMessage": "Unable to marshal response: Object of type set is not JSON serializable",
        "errorType": "Runtime.MarshalError",
        "requestId": ID,
        "stackTrace": [],
    }


# Node


def test_node_an_exception_is_told_with_its_trace(
    lambda_client: Any, make_node_function: MakeFunction
) -> None:
    told = body(
        invoke(lambda_client, make_node_function(node_handler("throw new TypeError('bäd')")))
    )
    trace = told.pop("trace")
    assert told == {"errorType": "TypeError", "errorMessage": "bäd"}
    assert trace[0] == "TypeError: bäd"
    assert re.fullmatch(r"    at .*handler.* \(.*/index\.js:1:\d+\)", trace[1])


@pytest.mark.parametrize(
    ("files", "handler", "kind", "message"),
    [
        pytest.param(
            {"index.js": "require('nosuchthing')"},
            "index.handler",
            "Runtime.ImportModuleError",
            r"Error: Cannot find module 'nosuchthing'(\n.*)*",
            id="a dependency is missing",
        ),
        pytest.param(
            {"index.js": ""},
            "other.handler",
            "Runtime.ImportModuleError",
            r"Error: Cannot find module 'other'(\n.*)*",
            id="the module is missing",
        ),
        pytest.param(
            {"index.js": "exports.other = 1"},
            "index.handler",
            "Runtime.HandlerNotFound",
            r"index\.handler is undefined or not exported",
            id="the handler is missing",
        ),
        pytest.param(
            {"index.js": "exports.handler = async ( => {"},
            "index.handler",
            "Runtime.UserCodeSyntaxError",
            r"SyntaxError: .+",
            id="a syntax error",
        ),
        pytest.param(
            {"index.js": "throw new RangeError('early')"},
            "index.handler",
            "RangeError",
            "early",
            id="init throws",
        ),
    ],
)
def test_node_a_failed_init_is_told(
    lambda_client: Any,
    make_node_function: MakeFunction,
    files: dict[str, str | bytes],
    handler: str,
    kind: str,
    message: str,
) -> None:
    told = body(invoke(lambda_client, make_node_function(files, Handler=handler)))
    assert set(told) == {"errorType", "errorMessage", "trace"}
    assert told["errorType"] == kind
    assert re.fullmatch(message, told["errorMessage"]), told["errorMessage"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("process.exit(3)", "Runtime exited with error: exit status 3"),
        ("process.exit(0)", "Runtime exited without providing a reason"),
        (
            "process.kill(process.pid, 'SIGKILL'); await new Promise(r => setTimeout(r, 2000));",
            "Runtime exited with error: signal: killed",
        ),
    ],
)
def test_node_an_exit_is_told_with_its_reason(
    lambda_client: Any, make_node_function: MakeFunction, code: str, reason: str
) -> None:
    assert body(invoke(lambda_client, make_node_function(node_handler(code)))) == exited(reason)


def test_node_a_promise_that_is_rejected_unhandled_fails_the_invocation(
    lambda_client: Any, make_node_function: MakeFunction
) -> None:
    code = "Promise.reject(new Error('late')); await new Promise(r => setTimeout(r, 5000));"
    told = body(invoke(lambda_client, make_node_function(node_handler(code), Timeout=10)))
    assert told["errorType"] == "Runtime.UnhandledPromiseRejection"
    assert told["errorMessage"] == "Error: late"


def test_node_a_result_that_json_cannot_hold_is_told(
    lambda_client: Any, make_node_function: MakeFunction
) -> None:
    told = body(
        invoke(lambda_client, make_node_function(node_handler("const a = {}; a.a = a; return a;")))
    )
    assert set(told) == {"errorType", "errorMessage", "trace"}
    assert told["errorMessage"] == "Unable to stringify response body"


# Both


def test_a_timeout_is_told_within_a_second_of_the_deadline(
    lambda_client: Any, make_function: MakeFunction, record_property: Any
) -> None:
    function = make_function(python_handler("if event: import time; time.sleep(60)"), Timeout=1)
    assert invoke(lambda_client, function, 0).error is None  # so no cold start is measured below
    started = time.perf_counter()
    result = invoke(lambda_client, function, 1)
    late_ms = (time.perf_counter() - started - 1) * 1000
    record_property("answered_after_deadline_ms", round(late_ms, 1))
    print(f"answered {late_ms:.1f} ms after the deadline")
    assert body(result) == platform_error("Sandbox.Timedout", "Task timed out after 1.00 seconds")
    assert 0 <= late_ms < 1000


def test_a_handler_that_ignores_signals_and_forks_times_out_like_any_other(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    code = (
        "import signal, time",
        "[signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]",
        "if os.fork() == 0: os.setsid()",
        "time.sleep(60)",
    )
    function = make_function(python_handler(*code), Timeout=1)
    assert body(invoke(lambda_client, function))["errorType"] == "Sandbox.Timedout"


def test_node_times_out_in_a_busy_loop(
    lambda_client: Any, make_node_function: MakeFunction
) -> None:
    function = make_node_function(node_handler("for (;;) {}"), Timeout=1)
    expected = platform_error("Sandbox.Timedout", "Task timed out after 1.00 seconds")
    assert body(invoke(lambda_client, function)) == expected


RESPONSE_TOO_LARGE = {
    "errorType": "Function.ResponseSizeTooLarge",
    "errorMessage": (
        "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    ),
}


@pytest.mark.parametrize("size", [6_291_557, 20_000_000])
def test_python_a_response_that_is_too_large_is_refused(
    lambda_client: Any, make_function: MakeFunction, size: int
) -> None:
    function = make_function(python_handler("return 'x' * event"), MemorySize=512, Timeout=10)
    assert body(invoke(lambda_client, function, size - 2)) == RESPONSE_TOO_LARGE
    assert invoke(lambda_client, function, 1).value == "x"


def test_node_a_response_that_is_too_large_is_refused(
    lambda_client: Any, make_node_function: MakeFunction
) -> None:
    function = make_node_function(node_handler("return 'x'.repeat(event)"), Timeout=10)
    assert body(invoke(lambda_client, function, 6_291_555)) == RESPONSE_TOO_LARGE


@pytest.mark.slow
def test_an_init_of_more_than_ten_seconds_is_repeated_within_the_first_invocation(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    # The second init finds what the first left in /tmp, which outlives the reset.
    source = (
        "import os, tempfile, time\n"
        "mark = os.path.join(tempfile.gettempdir(), 'mark')\n"
        "first = not os.path.exists(mark)\n"
        "open(mark, 'w').close()\n"
        "if first: time.sleep(60)\n"
        "def handler(event, context):\n    return 'second'\n"
    )
    started = time.perf_counter()
    result = invoke(lambda_client, make_function(source), LogType="Tail")
    assert (result.error, result.value) == (None, "second")
    assert 10 <= time.perf_counter() - started < 15


def test_an_init_that_hangs_again_has_the_functions_timeout_only(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    # Killing itself ends the first init early; the second one hangs.
    source = (
        "import os, tempfile, time\n"
        "mark = os.path.join(tempfile.gettempdir(), 'mark')\n"
        "if os.path.exists(mark): time.sleep(60)\n"
        "open(mark, 'w').close()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    function = make_function(source, Timeout=1)
    expected = platform_error("Sandbox.Timedout", "Task timed out after 1.00 seconds")
    assert body(invoke(lambda_client, function)) == expected


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        (
            "ruby4.0",
            (
                "The setting LAMBDABOX_INTERPRETERS names /no/such/ruby for ruby4.0, but there is "
                "no such executable. Correct the setting, or leave it out to let lambdabox search."
            ),
        ),
        (
            "nodejs26.x",
            (
                "nodejs26.x needs Node.js 26, and none was found. Install it (`nvm install 26`, "
                "`fnm install 26` or, where the distribution has that version, `apt install "
                "nodejs`), or name one: LAMBDABOX_INTERPRETERS=nodejs26.x=/path/to/node"
            ),
        ),
        (
            "java21",
            (
                "This release of lambdabox does not run java21. Compile the function to an "
                "executable named bootstrap (with GraalVM, for example) and use the runtime "
                "provided.al2023."
            ),
        ),
    ],
)
def test_a_missing_interpreter_says_what_to_install(
    lambda_client: Any, make_function: MakeFunction, runtime: str, message: str
) -> None:
    function = make_function(Runtime=runtime)
    expected = platform_error("Runtime.InvalidRuntime", message)
    assert body(invoke(lambda_client, function)) == expected
    assert body(invoke(lambda_client, function)) == expected


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"other": "x"}, id="missing"),
        pytest.param({"bootstrap": "#!/bin/sh\n"}, id="not executable"),
        pytest.param({"bootstrap/file": "x"}, id="a directory"),
    ],
)
def test_a_function_without_a_bootstrap_has_no_entry_point(
    lambda_client: Any, make_function: MakeFunction, files: dict[str, str | bytes]
) -> None:
    function = make_function(files, Runtime="provided.al2023", Handler="any")
    assert body(invoke(lambda_client, function)) == platform_error(
        "Runtime.InvalidEntrypoint",
        "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]",
    )


# Afterwards

COUNTING = python_handler(
    "global count; count += 1",
    "import tempfile, pathlib, time",
    "tmp = pathlib.Path(tempfile.gettempdir(), 'kept')",
    "before = tmp.read_text() if tmp.exists() else None",
    "tmp.write_text('kept')",
    "exec(event or 'pass')",
    "return [count, before, context.log_stream_name]",
).replace("import os, sys\n", "import os, sys\ncount = 0\n")


@pytest.mark.parametrize("fault", ["raise ValueError", "return_value_that_is_not_defined", "[][1]"])
def test_after_an_exception_the_environment_goes_on(
    lambda_client: Any, make_function: MakeFunction, fault: str
) -> None:
    function = make_function(COUNTING)
    first = invoke(lambda_client, function).value
    assert invoke(lambda_client, function, fault).error == "Unhandled"
    assert invoke(lambda_client, function).value == [3, "kept", first[2]]


@pytest.mark.parametrize("fault", ["time.sleep(60)", "sys.exit(1)", "os.kill(os.getpid(), 9)"])
def test_after_a_timeout_or_an_exit_the_environment_is_reset_and_keeps_its_tmp(
    lambda_client: Any, make_function: MakeFunction, fault: str
) -> None:
    function = make_function(COUNTING, Timeout=1)
    first = invoke(lambda_client, function).value
    assert first[:2] == [1, None]
    assert invoke(lambda_client, function, fault).error == "Unhandled"
    assert invoke(lambda_client, function).value == [1, "kept", first[2]]
