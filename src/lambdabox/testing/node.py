"""A node for a test run: a process of its own, on a free port, in a temporary directory.

It must not outlive the tests, however they end. So a shell stands between: it waits for the
end of its input, which the test process holds open, then stops the node and removes its
directory. A test process that is killed closes it too. The shell also keeps Ctrl-C from the
node, which tests still need while they end.
"""

import json
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

START_SECONDS = 60.0
STOP_SECONDS = 30.0
_LOG_LINES = 15

# Background commands of a shell without job control ignore Ctrl-C. Its output is closed, so
# that reading the node's ends with the node. Unpacked code is read-only, to its owner too.
_KEEPER = """
place=$1
shift
"$@" </dev/null &
node=$!
exec >&-
read -r _
kill -TERM "$node" 2>/dev/null
wait "$node"
chmod -R u+rwX "$place"
rm -rf "$place"
"""

DEFAULTS: Mapping[str, str] = {"async_retry_delays": "0.1,0.2", "log_level": "warning"}
"""Settings for tests, which rarely want to wait a minute for a retry."""


class NodeFailed(Exception):
    """The node did not start. The message has what it said."""


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node that accepts requests."""

    url: str
    log: Path

    def health(self) -> Mapping[str, object]:
        """What the node says of itself: how functions are held, and what that lacks."""
        with build_opener(ProxyHandler({})).open(
            f"{self.url}/_lambdabox/health", timeout=10
        ) as response:
            told: Mapping[str, object] = json.load(response)
        return told


@contextmanager
def running_node(settings: Mapping[str, str]) -> Iterator[RunningNode]:
    """Run a node for the block. Its directory is gone afterwards."""
    place = Path(tempfile.mkdtemp(prefix="lambdabox-test-"))
    # Where a node started as root gives root up, it must still get in.
    place.chmod(0o711)
    config = place / "settings.toml"
    config.write_text(_toml({**DEFAULTS, **settings}))
    log = place / "node.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "sh", place, *_command(place, config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
        )
    try:
        yield RunningNode(_await_url(process, log), log)
    finally:
        _stop(process)
        shutil.rmtree(place, ignore_errors=True)


def _command(place: Path, config: Path) -> list[str]:
    return [
        sys.executable, "-m", "lambdabox.cli.main", "up",
        "--host", "127.0.0.1", "--port", "0",
        "--data-dir", str(place / "data"), "--config", str(config),
    ]  # fmt: skip


def _toml(settings: Mapping[str, str]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())


def _await_url(process: "subprocess.Popen[bytes]", log: Path) -> str:
    if process.stdout is None:
        raise RuntimeError("a process was started without the pipe that was asked for")
    deadline = time.monotonic() + START_SECONDS
    said = b""
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        chunk = process.stdout.read1(4096)  # type: ignore[attr-defined]  # typed as IO, is a BufferedReader
        said += chunk
        if found := re.search(rb"ready at (http://\S+)", said):
            return found[1].decode()
        if not chunk:
            break
    last = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
    raise NodeFailed("the node did not start: " + ("\n".join(last) or "it said nothing"))


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
