"""A tour of lambdabox in a few minutes: `make demo`, or `python examples/demo.py`.

It starts a node of its own on a free port with a temporary directory, deploys the
examples beside it, invokes them cold and warm, reads a log, queues an event, lets files,
records, orders and the clock invoke functions, and looks at the bill. At the end nothing
is left running and nothing is left on disk.
"""

import io
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from statistics import median

import scenarios
import typer

from lambdabox.cli import output
from lambdabox.cli.client import Node
from lambdabox.cli.deployment import Wanted, deploy_source
from lambdabox.cli.doctor import survey
from lambdabox.cli.layers import About, publish_source
from lambdabox.cli.logs import LogReader
from lambdabox.cli.output import CommandError
from lambdabox.cli.up import load_settings

EXAMPLES = Path(__file__).resolve().parent
NAMES = (
    "hello",
    "url-parameters",
    "warm-connection",
    "dependencies",
    "node-hello",
    "shell-bootstrap",
)
LAYERS = ("libraries", "shared")
LAYERED = ("quote", "receipt")
"""Functions of the example layers/, which use both."""
WARM_INVOCATIONS = 10
START_SECONDS = 60.0
STOP_SECONDS = 30.0
LOG_SECONDS = 15.0


class DemoFailed(Exception):
    """Something did not go as the tour says it does."""


@dataclass(frozen=True)
class Timed:
    answer: object
    milliseconds: float


def main() -> int:
    began = time.monotonic()
    forget_the_users_own_settings()
    try:
        with tempfile.TemporaryDirectory(prefix="lambdabox-demo-") as directory:
            tour(Path(directory))
    except (DemoFailed, CommandError) as exc:
        output.fail(str(exc))
        return 1
    except KeyboardInterrupt:
        output.note("Stopped early.")
        return 130
    say(f"That was everything, in {time.monotonic() - began:.0f} seconds. Nothing is left behind.")
    say("Your turn: `lambdabox up`, and in another terminal `lambdabox deploy examples/hello`.")
    return 0


def forget_the_users_own_settings() -> None:
    """The tour is the same for everybody, and uses nobody's AWS credentials."""
    for name in [*os.environ]:
        if name.startswith("AWS_") or name in ("LAMBDABOX_ENDPOINT", "LAMBDABOX_REGION"):
            del os.environ[name]
    os.environ["AWS_ACCESS_KEY_ID"] = os.environ["AWS_SECRET_ACCESS_KEY"] = "demo"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    # AWS waits a minute before a retry, and then two.
    os.environ["LAMBDABOX_ASYNC_RETRY_DELAYS"] = "1,2"
    # The Python that runs this may be nowhere else.
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"


def tour(directory: Path) -> None:
    heading("1. A node: one process on this machine")
    with running_node(directory) as node:
        heading("2. Deploy: from a directory to a function")
        problems = {each.runtime.name: each.problem for each in survey(load_settings(None, {}))}
        deployed = [name for name in NAMES if deploy(node, name, problems)]
        if layers := publish_layers(node):
            deployed += [name for name in LAYERED if deploy(node, name, problems, layers)]
        if not {"hello", "warm-connection"} <= set(deployed):
            raise DemoFailed("no Python function runs here: `lambdabox doctor` says what to do")
        heading("3. Invoke: once cold, then warm")
        invoke_all(node, deployed)
        heading("4. A connection that outlives the invocation")
        show_connection(node)
        heading("5. The log")
        show_log(node, "hello")
        heading("6. An event, queued and run later")
        queue_event(node, "hello")
        heading("7. Events: what happens elsewhere runs functions")
        show_events(node.endpoint)
        heading("8. The bill")
        show_bill(node)
        heading("9. Stop")
    heading("10. A URL, and a connection to PostgreSQL that is kept")
    show_database(directory)


def heading(text: str) -> None:
    typer.echo()
    typer.secho(text, bold=True, fg="cyan")


def say(text: str) -> None:
    typer.echo(text)


# 1 and 9: the node


@contextmanager
def running_node(directory: Path, *options: str) -> Iterator[Node]:
    """Run a node for the block, and see that it takes everything it started with it."""
    log = directory / "node.log"
    command = [
        sys.executable,
        "-m",
        "lambdabox.cli.main",
        "up",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--data-dir",
        str(directory / "data"),
        *options,
    ]
    began = time.monotonic()
    with log.open("ab") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            start_new_session=True,
        )
    try:
        url = address_of(process, log)
        say(f"{url} answers after {time.monotonic() - began:.1f} s")
        yield Node(url)
    finally:
        stop(process, log)


def address_of(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return the URL that the node prints once it is ready."""
    assert process.stdout is not None
    printed, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    url = re.search(rb"http://\S+", process.stdout.readline()) if printed else None
    if url is None:
        raise DemoFailed(f"the node did not start: {last_words(log)}")
    return url[0].decode()


def last_words(log: Path) -> str:
    return " | ".join(log.read_text(errors="replace").splitlines()[-5:]) or "it said nothing"


def stop(process: "subprocess.Popen[bytes]", log: Path) -> None:
    family = [process.pid, *descendants(process.pid)]
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise DemoFailed(f"the node did not stop by itself: {last_words(log)}") from None
    left = still_running(family)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    if left:
        raise DemoFailed(f"the node left {len(left)} processes behind: {left}")
    others = len(family) - 1
    say(f"The node and its {others} processes have ended." if others else "The node has ended.")


def descendants(pid: int) -> list[int]:
    """Every process below `pid`, from /proc."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may hold anything, so count from its end.
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        parents.setdefault(parent, []).append(int(status.parent.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def still_running(pids: list[int]) -> list[int]:
    """Those that have not ended shortly after the node has."""
    deadline = time.monotonic() + 3
    left = [pid for pid in pids if is_running(pid)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [pid for pid in left if is_running(pid)]
    return left


def is_running(pid: int) -> bool:
    """A process that has ended and waits for init to collect it runs no more."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in ("Z", "X")


# 2: deploying


def folder_of(name: str) -> Path:
    return EXAMPLES / ("layers" if name in LAYERED else "") / name


def publish_layers(node: Node) -> list[str]:
    """Publish the layers of the example; none, with the reason said, where that is impossible."""
    arns = []
    for name in LAYERS:
        began = time.monotonic()
        try:
            with redirect_stderr(io.StringIO()):
                shown = publish_source(node, EXAMPLES / "layers" / name, name, About())
        except CommandError as exc:
            say(f"{name:<16} skipped: {exc}")
            return []
        arns.append(shown["LayerVersionArn"])
        size = output.size(shown["Content"]["CodeSize"])
        took = time.monotonic() - began
        say(f"{name:<16} {'layer':<16} {size:>10}   in {took:.1f} s")
    return arns


def deploy(
    node: Node, name: str, problems: Mapping[str, str | None], layers: Sequence[str] | None = None
) -> bool:
    """Deploy an example; False, with the reason said, where this machine cannot run it."""
    if name == "shell-bootstrap" and shutil.which("curl") is None:
        say(f"{name:<16} skipped: it needs curl, which is not installed here")
        return False
    if name == "dependencies":
        say(f"{name:<16} installs its requirements.txt ...")
    began = time.monotonic()
    try:
        with redirect_stderr(io.StringIO()):
            wanted = Wanted(timeout_seconds=10, layers=layers)
            shown = deploy_source(node, folder_of(name), name, wanted)
    except CommandError as exc:
        if name != "dependencies":
            raise DemoFailed(f"cannot deploy {name}: {exc}") from exc
        say(f"{name:<16} skipped: {exc}")
        return False
    if (problem := problems[shown["Runtime"]]) is not None:
        say(f"{name:<16} skipped: {problem}")
        return False
    took = time.monotonic() - began
    say(f"{name:<16} {shown['Runtime']:<16} {output.size(shown['CodeSize']):>10}   in {took:.1f} s")
    return True


# 3 and 4: invoking


def invoke_all(node: Node, names: list[str]) -> None:
    rows = []
    for name in names:
        cold = invoke(node, name)
        warm = [invoke(node, name).milliseconds for _ in range(WARM_INVOCATIONS)]
        times = f"{cold.milliseconds:.1f} ms", f"{median(warm):.1f} ms"
        rows.append((name, *times, brief(cold.answer)))
    output.table(("function", "cold", f"warm, median of {WARM_INVOCATIONS}", "answer"), rows)


def invoke(node: Node, name: str) -> Timed:
    """Invoke with the example's event, and time it as a client sees it."""
    event = (folder_of(name) / "event.json").read_bytes()
    began = time.perf_counter()
    response = node.functions("Invoke", FunctionName=name, Payload=event)
    payload = response["Payload"].read()
    milliseconds = (time.perf_counter() - began) * 1000
    if "FunctionError" in response:
        raise DemoFailed(f"{name} failed: {payload.decode(errors='replace')}")
    return Timed(json.loads(payload), milliseconds)


def brief(answer: object) -> str:
    return shortened(json.dumps(answer), limit=50)


def shortened(text: str, *, limit: int = 170) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def show_connection(node: Node) -> None:
    answers = [invoke(node, "warm-connection").answer for _ in range(3)]
    for answer in answers:
        assert isinstance(answer, dict)
        say(f"connection {answer['connection']}, used {answer['uses']} times")
    if len({str(answer["connection"]) for answer in answers if isinstance(answer, dict)}) != 1:
        raise DemoFailed("the connection was not kept across warm invocations")
    say("One connection, opened at the cold start, used ever since.")


# 5 and 6: logs


def show_log(node: Node, name: str) -> None:
    events = list(LogReader(node, f"/aws/lambda/{name}", 0).written())
    for event in events[:5]:
        say(shortened(event["message"]))
    say(f"... {len(events)} events; `lambdabox logs {name} --follow` goes on reading")


def queue_event(node: Node, name: str) -> None:
    response = node.functions(
        "Invoke", FunctionName=name, InvocationType="Event", Payload=b'{"name": "the queue"}'
    )
    request_id = response["ResponseMetadata"]["RequestId"]
    say(f"accepted with status {response['StatusCode']} as request {request_id}")
    reader = LogReader(node, f"/aws/lambda/{name}", 0)
    deadline = time.monotonic() + LOG_SECONDS
    while time.monotonic() < deadline:
        for event in reader.written():
            if event["message"].startswith(f"REPORT RequestId: {request_id}"):
                say(shortened(event["message"]))
                return
        time.sleep(0.1)
    raise DemoFailed(f"request {request_id} has not run within {LOG_SECONDS:.0f} s")


# 7 and 10: events


def show_events(endpoint: str) -> None:
    """Run the examples that use other AWS services; the slowest waits for a minute to begin."""
    try:
        due = scenarios.run("nightly-job", "check.py", "--begin", endpoint=endpoint)
        # Two at once, for much of their time is waiting for what they have caused.
        with ThreadPoolExecutor(2) as pool:
            for name, told in zip(
                scenarios.NAMES, pool.map(told_by, scenarios.NAMES, repeat(endpoint)), strict=True
            ):
                say(f"{name:<16} {told}")
        told = scenarios.run("nightly-job", "check.py", "--end", due, endpoint=endpoint)
        say(f"{'nightly-job':<16} {told}")
    except scenarios.ScenarioFailed as exc:
        raise DemoFailed(str(exc)) from exc


def told_by(name: str, endpoint: str, **variables: str) -> str:
    try:
        return scenarios.deploy_and_check(name, endpoint=endpoint, **variables)
    except scenarios.Unavailable as exc:
        return f"skipped: {exc}"


def show_database(directory: Path) -> None:
    """On a node of its own: with the network nat, functions reach no server of this machine."""
    try:
        with (
            scenarios.postgres() as variables,
            running_node(directory, "--network", "host") as node,
        ):
            say(f"{'postgres-url':<16} {told_by('postgres-url', node.endpoint, **variables)}")
    except scenarios.Unavailable as exc:
        say(f"{'postgres-url':<16} skipped: {exc}")
    except scenarios.ScenarioFailed as exc:
        raise DemoFailed(str(exc)) from exc


# 8: the bill


def show_bill(node: Node) -> None:
    with urllib.request.urlopen(f"{node.endpoint}/_lambdabox/usage", timeout=10) as response:
        usage = json.load(response)["Functions"]
    rows = [
        (
            row["FunctionName"],
            str(row["Invocations"]),
            f"{row['BilledMilliseconds']} ms",
            f"{row['GBSeconds']:.6f}",
            f"${float(row['Cost']):.8f}",
        )
        for row in usage
    ]
    output.table(("function", "invocations", "billed", "GB-seconds", "would cost at AWS"), rows)


if __name__ == "__main__":
    sys.exit(main())
