"""Every runtime this release runs, as far as this machine has its language."""

import os
import re
import shutil
import site
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awslambdaric
import pytest
from support.functions import MakeFunction, Result, await_active, create, invoke
from support.node import running
from support.packages import ROLE, zipped
from support.programs import needed, node_runtime

from lambdabox.domain.runtimes import CREATABLE

PYENV = Path.home() / ".pyenv" / "versions"


def invoked_once_and_again(client: Any, function: str) -> Result:
    first = invoke(client, function, {"n": 1})
    assert first.error is None, first.payload
    again = invoke(client, function, {"n": 2})
    assert again.error is None, again.payload
    return again


def found_pythons() -> list[str]:
    """The versions below pyenv's directory and on the path that are runtimes."""
    managed = {".".join(entry.name.split(".")[:2]) for entry in PYENV.glob("3.*")}
    named = {name.removeprefix("python") for name in CREATABLE if shutil.which(name)}
    known = {name.removeprefix("python") for name in CREATABLE if name.startswith("python")}
    versions = (managed | named | {f"3.{sys.version_info[1]}"}) & known
    return sorted(versions, key=lambda version: int(version.split(".")[1]))


@pytest.mark.parametrize("version", found_pythons())
def test_python(lambda_client: Any, make_function: MakeFunction, version: str) -> None:
    function = make_function(
        "import sys, os, json, urllib.request, sqlite3\n"
        "def handler(event, context):\n"
        "    version = '%d.%d' % sys.version_info[:2]\n"
        "    return [version, os.environ['AWS_EXECUTION_ENV'], event['n']]\n",
        Runtime=f"python{version}",
    )
    expected = [version, f"AWS_Lambda_python{version}", 2]
    assert invoked_once_and_again(lambda_client, function).value == expected


def test_python_has_boto3(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function(
        "import boto3\ndef handler(event, context):\n    return boto3.__version__\n", Timeout=20
    )
    assert invoked_once_and_again(lambda_client, function).value.count(".") == 2


def test_python_prefers_what_the_package_brings(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(
        {
            "pkg/app.py": "import boto3, mine\ndef f(e, c): return [boto3.who, mine.who]\n",
            "boto3.py": "who = 'own boto3'\n",
            "mine/__init__.py": "who = 'mine'\n",
        },
        Handler="pkg/app.f",
    )
    assert invoked_once_and_again(lambda_client, function).value == ["own boto3", "mine"]


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        pytest.param(
            {"index.js": "exports.handler = async (e) => [process.version.split('.')[0], e.n]"},
            "index.handler",
            id="CommonJS",
        ),
        pytest.param(
            {
                "src/main.mjs": "import { major } from './other.mjs';\n"
                "export const run = async (e) => [major, e.n];\n",
                "src/other.mjs": "export const major = process.version.split('.')[0];\n",
            },
            "src/main.run",
            id="modules",
        ),
        pytest.param(
            {
                "index.js": "export const handler = async (e) => [process.version.split('.')[0], "
                "e.n];\n",
                "package.json": '{"type": "module"}',
            },
            "index.handler",
            id="package of modules",
        ),
        pytest.param(
            {
                "index.js": "exports.handler = (e, context, callback) =>\n"
                "  callback(null, [process.version.split('.')[0], e.n]);\n"
            },
            "index.handler",
            id="callback",
        ),
    ],
)
def test_node(
    lambda_client: Any, make_function: MakeFunction, files: dict[str, str | bytes], handler: str
) -> None:
    runtime = node_runtime()
    function = make_function(files, Runtime=runtime, Handler=handler)
    major = runtime.removeprefix("nodejs").removesuffix(".x")
    assert invoked_once_and_again(lambda_client, function).value == [f"v{major}", 2]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"TZ": "Asia/Tokyo"},
        {"NODE_OPTIONS": "--stack-trace-limit=3"},
        {"LC_ALL": "de_DE.UTF-8"},
    ],
    ids=repr,
)
def test_node_heeds_the_variables_that_it_reads_at_its_start(
    lambda_client: Any, make_function: MakeFunction, variables: dict[str, str]
) -> None:
    function = make_function(
        {
            "index.js": "exports.handler = async () => [process.env, new Date(0).getHours(),"
            " Error.stackTraceLimit, Intl.DateTimeFormat().resolvedOptions().locale];\n"
        },
        Runtime=node_runtime(),
        Handler="index.handler",
        Environment={"Variables": variables},
    )
    environment, *found = invoked_once_and_again(lambda_client, function).value
    assert variables.items() <= environment.items()
    assert not [name for name in environment if name.startswith("LAMBDABOX_")]
    locale = "de-DE" if "LC_ALL" in variables else "en-US"
    assert found == [
        9 if "TZ" in variables else 0,
        3 if "NODE_OPTIONS" in variables else 10,
        locale,
    ]


def test_ruby_through_an_interpreter_that_the_settings_name(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    needed("ruby")
    function = make_function(
        {
            "app.rb": "require 'json'\n"
            "def handler(event:, context:)\n"
            "  [RUBY_ENGINE, event['n'], context.function_name]\nend\n"
        },
        Runtime="ruby3.2",
        Timeout=10,
    )
    assert invoked_once_and_again(lambda_client, function).value == ["ruby", 2, function]


SHELL_BOOTSTRAP = """#!/bin/sh
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
count=0
while true; do
    headers="$(mktemp)"
    event="$(curl -sS -D "$headers" "$api/next")"
    id="$(tr -d '\\r' < "$headers" | sed -n 's/^[Ll]ambda-[Rr]untime-[Aa]ws-[Rr]equest-[Ii]d: //p')"
    count=$((count + 1))
    echo "event $count"
    curl -sS -d "[$event, $count, \\"$_HANDLER\\"]" "$api/$id/response" > /dev/null
done
"""


def provided(
    client: Any, make_function: MakeFunction, files: dict[str, str | bytes], **settings: Any
) -> str:
    package = zipped(files, executable=("bootstrap",))
    return make_function(
        {}, Runtime="provided.al2023", Code={"ZipFile": package}, **{"Handler": "any", **settings}
    )


def test_a_bootstrap_that_is_a_shell_script(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    needed("curl")
    files: dict[str, str | bytes] = {"bootstrap": SHELL_BOOTSTRAP}
    # With a whole processor, so that it asks for its second event before that comes.
    function = provided(lambda_client, make_function, files, MemorySize=1769)
    assert invoked_once_and_again(lambda_client, function).value == [{"n": 2}, 2, "any"]
    # Between two events such a bootstrap is slow to ask, so another environment may answer.
    assert re.search(r"\nevent \d\n", invoke(lambda_client, function, 0, LogType="Tail").log)


def test_a_bootstrap_that_is_the_unmodified_runtime_interface_client(
    tmp_path: Path,
) -> None:
    packages = [Path(awslambdaric.__file__).parent.parent, *map(Path, site.getsitepackages())]
    search = os.pathsep.join(dict.fromkeys(map(str, packages)))
    files: dict[str, str | bytes] = {
        "bootstrap": f"#!/bin/sh\nexport PYTHONPATH={search}\n"
        f'exec {sys.executable} -m awslambdaric "$_HANDLER"\n',
        "app.py": (
            "import os\n"
            "def handler(event, context):\n"
            "    if event == 'fail': raise ValueError('told by the client')\n"
            "    return [event['n'], context.function_name, context.memory_limit_in_mb,\n"
            "            'AWS_EXECUTION_ENV' in os.environ]\n"
        ),
    }
    # As a plain process, which finds the client where the tests have it.
    with running(tmp_path / "data", settings={"isolation": "process"}) as node:
        client = node.client()

        def make(files: Mapping[str, str | bytes], **settings: Any) -> str:
            create(client, "client", files, **settings)
            await_active(client, "client")
            return "client"

        function = provided(client, make, files, Handler="app.handler", Timeout=10)
        result = invoked_once_and_again(client, function)
        assert result.value == [2, function, "128", False]
        failed = invoke(client, function, "fail")
    assert failed.error == "Unhandled"
    assert failed.value["errorType"] == "ValueError"
    assert failed.value["requestId"] == failed.request_id


def test_a_wrapper_runs_in_place_of_the_runtime(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    files: dict[str, str | bytes] = {
        "app.py": "import os\ndef handler(e, c):\n    return os.environ['FROM_WRAPPER']\n",
        "wrap": '#!/bin/sh\nexport FROM_WRAPPER="wrapped $#"\nexec "$@"\n',
    }
    function = make_function(
        files,
        Code={"ZipFile": zipped(files, executable=("wrap",))},
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}},
    )
    assert invoked_once_and_again(lambda_client, function).value.startswith("wrapped ")


@pytest.mark.parametrize(
    ("file", "status", "problem"),
    [("absent", 127, "does not exist"), ("app.py", 126, "is not an executable")],
)
def test_a_wrapper_that_cannot_be_run_is_told_by_exit_status_and_log(
    lambda_client: Any, make_function: MakeFunction, file: str, status: int, problem: str
) -> None:
    function = make_function(
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": f"/var/task/{file}"}}
    )
    result = invoke(lambda_client, function, LogType="Tail")
    assert result.error == "Unhandled"
    assert result.value == {
        "errorType": "Runtime.ExitError",
        "errorMessage": (
            f"RequestId: {result.request_id} Error: Runtime exited with error: exit status {status}"
        ),
    }
    assert f"/{file}: {problem}\n" in result.log


def test_a_runtime_with_code_for_another_is_changed_with_its_configuration(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function(Role=ROLE, Runtime="java21")
    assert invoke(lambda_client, function).error == "Unhandled"
    lambda_client.update_function_configuration(
        FunctionName=function, Runtime=f"python3.{sys.version_info[1]}"
    )
    lambda_client.get_waiter("function_updated_v2").wait(FunctionName=function)
    assert invoke(lambda_client, function, 3).value == 3
