"""What functions find of their layers, however the node holds them."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.functions import (
    PYTHON,
    MakeFunction,
    Result,
    await_active,
    await_updated,
    create,
    eventually,
    invoke,
    log_messages,
)
from support.node import Node, running
from support.ordinary import Ordinary
from support.packages import zipped
from support.programs import needed, node_runtime

EXAMPLES = Path(__file__).parents[2] / "examples"
NUMBERS = itertools.count()
SITE_PACKAGES = f"python/lib/{PYTHON}/site-packages"

Layer = Callable[..., str]
"""Publish a layer of files and return its version's ARN."""


@pytest.fixture(scope="module", params=["namespaces", "ordinary user", "process"])
def held(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Node]:
    """A node of each kind: how layers appear depends on what holds the functions."""
    root = tmp_path_factory.mktemp("layers")
    interpreters = {"interpreters": f"{PYTHON}={sys.executable},ruby3.2=/usr/bin/ruby"}
    if request.param == "namespaces":
        yield request.getfixturevalue("node")
        return
    user = Ordinary(root / "home")
    prefix = user.prefix if request.param == "ordinary user" else []
    isolation = {"isolation": "process"} if request.param == "process" else {}
    root = user.home if prefix else root
    with running(root / "node", settings={**interpreters, **isolation}, prefix=prefix) as node:
        yield node


@pytest.fixture(scope="module")
def client(held: Node) -> Any:
    return held.client()


@pytest.fixture
def layer(client: Any) -> Layer:
    def publish(files: Mapping[str, str | bytes], *, executable: tuple[str, ...] = ()) -> str:
        content = zipped(files, executable=executable)
        arn: str = client.publish_layer_version(
            LayerName=f"layer-{next(NUMBERS)}", Content={"ZipFile": content}
        )["LayerVersionArn"]
        return arn

    return publish


def run(client: Any, source: str | Mapping[str, str], *layers: str, **settings: Any) -> Result:
    """Invoke a new function once. It has to succeed."""
    name = f"using-{next(NUMBERS)}"
    create(client, name, source, Layers=layers, **{"Timeout": 20, **settings})
    await_active(client, name)
    result = invoke(client, name, LogType="Tail")
    assert result.error is None, (result.payload, result.log)
    return result


def test_python_imports_from_layers_the_later_before_the_earlier(client: Any, layer: Layer) -> None:
    first = layer(
        {
            f"{SITE_PACKAGES}/installed.py": "where = 'first'",
            "python/shared.py": "where = 'first'",
            "python/only_here.py": "where = 'first'",
            "python/app_data.py": "where = 'first'",
        }
    )
    second = layer(
        {
            f"{SITE_PACKAGES}/installed.py": "where = 'second'",
            "python/shared.py": "where = 'second'",
            "python/app_data.py": "where = 'second'",
        }
    )
    files = {
        "app.py": (
            "import installed, shared, only_here, app_data\n"
            "def handler(event, context):\n"
            "    return [m.where for m in (installed, shared, only_here, app_data)]\n"
        ),
        "app_data.py": "where = 'function'",
    }
    found = run(client, files, first, second).value
    assert found == ["second", "second", "first", "function"]
    assert run(client, files, second, first).value == ["first", "first", "first", "function"]


def test_node_requires_from_layers(client: Any, layer: Layer) -> None:
    runtime = node_runtime()
    major = re.sub(r"\D", "", runtime.removesuffix(".x"))
    one = layer({"nodejs/node_modules/plain/index.js": "module.exports = 'plain'"})
    other = layer({f"nodejs/node{major}/node_modules/exact/index.js": "module.exports = 'exact'"})
    source = {"app.js": "exports.handler = async () => [require('plain'), require('exact')]"}
    assert run(client, source, one, other, Runtime=runtime).value == ["plain", "exact"]


def test_ruby_requires_from_layers(client: Any, layer: Layer) -> None:
    version = subprocess.check_output(
        [needed("ruby"), "-e", "print RbConfig::CONFIG['ruby_version']"], text=True
    )
    gem = f"ruby/gems/{version}"
    gemspec = (
        "Gem::Specification.new { |s| s.name = 'packed'; s.version = '1.0'; s.summary = 's'; "
        "s.authors = ['a']; s.files = ['lib/packed.rb'] }"
    )
    one = layer({"ruby/lib/plain.rb": "PLAIN = 'plain'"})
    other = layer(
        {
            f"{gem}/specifications/packed-1.0.gemspec": gemspec,
            f"{gem}/gems/packed-1.0/lib/packed.rb": "PACKED = 'packed'",
        }
    )
    source = {
        "app.rb": "require 'plain'\nrequire 'packed'\n"
        "def handler(event:, context:) = [PLAIN, PACKED]\n"
    }
    assert run(client, source, one, other, Runtime="ruby3.2").value == ["plain", "packed"]


def test_programs_and_libraries_of_layers_are_found(
    client: Any, layer: Layer, tmp_path: Path
) -> None:
    library = tmp_path / "libof.so"
    (tmp_path / "of.c").write_text("int of_layer(void) { return 42; }")
    subprocess.run([needed("cc"), "-shared", "-o", library, tmp_path / "of.c"], check=True)
    programs = {"bin/greet": "#!/bin/sh\necho hello", "bin/twice": "#!/bin/sh\necho first"}
    one = layer(programs, executable=("bin/greet", "bin/twice"))
    other = layer(
        {"lib/libof.so": library.read_bytes(), "bin/twice": "#!/bin/sh\necho second"},
        executable=("bin/twice",),
    )
    source = (
        "import ctypes, subprocess\n"
        "def said(*command):\n"
        "    return subprocess.check_output(command, text=True).strip()\n"
        "def handler(event, context):\n"
        "    return [said('greet'), said('twice'), ctypes.CDLL('libof.so').of_layer()]\n"
    )
    assert run(client, source, one, other).value == ["hello", "second", 42]


def test_layers_with_the_same_content_are_one(client: Any, layer: Layer) -> None:
    same = {"python/shared.py": "where = 'same'"}
    between = layer({"python/shared.py": "where = 'between'"})
    source = "import shared\ndef handler(event, context):\n    return shared.where\n"
    assert run(client, source, layer(same), between, layer(same)).value == "same"


def test_functions_are_not_held_to_what_a_layer_says_it_is_for(client: Any) -> None:
    arn = client.publish_layer_version(
        LayerName=f"layer-{next(NUMBERS)}",
        Content={"ZipFile": zipped({"python/shared.py": "where = 'elsewhere'"})},
        CompatibleRuntimes=["nodejs22.x"],
        CompatibleArchitectures=["arm64"],
    )["LayerVersionArn"]
    source = "import shared\ndef handler(event, context):\n    return shared.where\n"
    assert run(client, source, arn).value == "elsewhere"


def test_a_restored_environment_has_its_layers(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    runtime = "python3.12"
    needed(runtime)
    arns = [
        lambda_client.publish_layer_version(
            LayerName=f"layer-{next(NUMBERS)}",
            Content={"ZipFile": zipped({f"python/late_{number}.py": f"where = {number}"})},
        )["LayerVersionArn"]
        for number in (1, 2)
    ]
    source = (
        "def handler(event, context):\n"
        "    import late_1, late_2\n"
        "    return [late_1.where, late_2.where]\n"
    )
    snap_start = {"ApplyOn": "PublishedVersions"}
    function = make_function(source, Layers=arns, Runtime=runtime, SnapStart=snap_start)
    version = {"FunctionName": function, "Qualifier": "1"}
    lambda_client.publish_version(FunctionName=function)
    waiter = lambda_client.get_waiter("published_version_active")
    waiter.wait(**version, WaiterConfig={"Delay": 0, "MaxAttempts": 10_000})
    result = invoke(lambda_client, function, Qualifier="1", LogType="Tail")
    assert (result.error, result.value) == (None, [1, 2])
    assert "Restore Duration" in result.log


def test_a_layer_brings_a_runtime(client: Any, layer: Layer) -> None:
    needed("curl")
    bootstrap = (EXAMPLES / "shell-bootstrap" / "bootstrap").read_text()
    runtime = layer({"bootstrap": bootstrap}, executable=("bootstrap",))
    useless = layer({"file": ""})
    result = run(
        client, {"hello.sh": ""}, runtime, useless, Runtime="provided.al2023", Handler="hello"
    )
    assert result.value["shell"] == "Linux"


def test_a_wrapper_of_a_layer_starts_the_runtime(client: Any, layer: Layer) -> None:
    wrapper = '#!/bin/sh\nexport WRAPPED="$# words"\nexec "$@"\n'
    wrapping = layer({"wrapper": wrapper}, executable=("wrapper",))
    source = "import os\ndef handler(event, context):\n    return os.environ['WRAPPED']\n"
    result = run(
        client,
        source,
        wrapping,
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}},
    )
    assert result.value == "3 words"


REPORTING = """#!/usr/bin/env python3
import json, os, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
done = threading.Semaphore(0)

class Listener(BaseHTTPRequestHandler):
    def do_POST(self):
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print("told of", [event["type"] for event in batch], flush=True)
        for event in batch:
            if event["type"] == "platform.runtimeDone":
                done.release()
        self.send_response(200)
        self.end_headers()
    def log_message(self, *arguments):
        pass

def call(method, path, body=None, **headers):
    request = urllib.request.Request(
        api + path, None if body is None else json.dumps(body).encode(),
        {name.replace("_", "-"): value for name, value in headers.items()}, method=method)
    response = urllib.request.urlopen(request)
    return response.headers, json.loads(response.read())

listener = HTTPServer(("0.0.0.0", 0), Listener)
threading.Thread(target=listener.serve_forever, daemon=True).start()
headers, _ = call("POST", "/2020-01-01/extension/register", {"events": ["INVOKE", "SHUTDOWN"]},
                  Lambda_Extension_Name=os.path.basename(sys.argv[0]))
me = headers["Lambda-Extension-Identifier"]
call("PUT", "/2022-07-01/telemetry", {
    "schemaVersion": "2022-12-13", "types": ["platform", "function"],
    "buffering": {"timeoutMs": 25}, "destination": {
        "protocol": "HTTP", "URI": "http://sandbox.localdomain:%d" % listener.server_port}},
    Lambda_Extension_Identifier=me)
while True:
    _, event = call("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=me)
    print("heard", event["eventType"], event.get("shutdownReason"), flush=True)
    if event["eventType"] == "SHUTDOWN":
        break
    done.acquire()
"""
COUNTING = """#!/bin/sh
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
headers=$(mktemp)
curl -sS -f -o /dev/null -D "$headers" -H "Lambda-Extension-Name: ${0##*/}" \\
    -d '{"events": ["INVOKE", "SHUTDOWN"]}' "$api/register"
me=$(tr -d '\\r' <"$headers" | sed -n 's/^[Ll]ambda-[Ee]xtension-[Ii]dentifier: //p')
while :; do
    event=$(curl -sS -f -H "Lambda-Extension-Identifier: $me" "$api/event/next")
    echo "counted $event"
    case "$event" in *SHUTDOWN*) exit 0 ;; esac
done
"""


def test_extensions_of_layers_hear_of_everything(held: Node, client: Any, layer: Layer) -> None:
    needed("curl")
    names = ("extensions/reporting", "extensions/counting")
    one = layer({names[0]: REPORTING}, executable=names)
    other = layer({names[1]: COUNTING}, executable=names)
    function = f"extended-{next(NUMBERS)}"
    create(
        client, function, "def handler(event, context):\n    print('at work')\n    return event\n",
        Layers=[one, other], Timeout=20, LoggingConfig={"LogFormat": "JSON"},
    )  # fmt: skip
    await_active(client, function)
    for number in range(2):
        result = invoke(client, function, {"n": number})
        assert (result.error, result.value) == (None, {"n": number})
    # Another configuration ends the environment, orderly.
    client.update_function_configuration(FunctionName=function, MemorySize=256)
    await_updated(client, function)
    logs, group = held.client("logs"), f"/aws/lambda/{function}"

    def ended() -> list[str]:
        messages = log_messages(logs, group)
        done = ("heard SHUTDOWN SPINDOWN", 'counted {"eventType":"SHUTDOWN"')
        return messages if all(any(word in line for line in messages) for word in done) else []

    messages = [line.strip() for line in eventually(ended)]
    records = [json.loads(line) for line in messages if line.startswith('{"time"')]
    assert messages.count("heard INVOKE None") == 2
    assert sum(line.startswith('counted {"eventType":"INVOKE"') for line in messages) == 2
    assert any("platform.runtimeDone" in line for line in messages if line.startswith("told of"))
    registered = [each["record"] for each in records if each["type"] == "platform.extension"]
    events = ["INVOKE", "SHUTDOWN"]
    # A second environment, if the first was not free yet, registers them again.
    assert registered[:2] == [
        {"name": name, "state": "Ready", "events": events} for name in ("counting", "reporting")
    ]
    reports = [each["record"] for each in records if each["type"] == "platform.report"]
    assert len(reports) == 2
    for report in reports:
        [span] = report["spans"]
        assert span["name"] == "extensionOverhead"
        assert span["durationMs"] > 0


@pytest.mark.parametrize(
    ("text", "error_type", "message"),
    [
        pytest.param(
            "#!/bin/sh\nexit 7\n", "Extension.Crash", "exit status 7", id="ends before it registers"
        ),
        pytest.param("no program", "Extension.LaunchError", None, id="is no program"),
        pytest.param(
            REPORTING.partition("call(")[0]
            + "call(" + REPORTING.partition("call(")[2].partition('call("PUT"')[0]
            + 'call("POST", "/2020-01-01/extension/init/error", {}, '
            'Lambda_Extension_Identifier=me, Lambda_Extension_Function_Error_Type="Mine.Broken")',
            "Extension.InitError", "extension failing reported Mine.Broken",
            id="says that its init failed",
        ),
    ],
)  # fmt: skip
def test_an_extension_that_fails_fails_the_invocation(
    client: Any, layer: Layer, text: str, error_type: str, message: str | None
) -> None:
    failing = layer({"extensions/failing": text}, executable=("extensions/failing",))
    function = f"failing-{next(NUMBERS)}"
    create(client, function, "def handler(event, context): return 1", Layers=[failing], Timeout=20)
    await_active(client, function)
    result = invoke(client, function)
    assert result.error == "Unhandled"
    assert set(result.value) == {"errorType", "errorMessage"}
    assert result.value["errorType"] == error_type
    if message is not None:
        assert result.value["errorMessage"] == f"RequestId: {result.request_id} Error: {message}"
