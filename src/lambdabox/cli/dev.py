"""`lambdabox dev`: deploy a directory, and again at each save, with the log as it is written.

The way to new code is the API's own, UpdateFunctionCode with a package made in memory, so
what runs is what a deployment would run. One loop does everything in turn: it looks for
saved files, deploys them, and prints what the function has logged meanwhile.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdabox.cli import function_options, options, output
from lambdabox.cli.client import MissingError, Node, UnreachableError
from lambdabox.cli.deploy import name_for, parse_environment
from lambdabox.cli.deployment import Wanted, deploy_source
from lambdabox.cli.dev_packages import DevPackages
from lambdabox.cli.invoke import chosen_event, describe_failure
from lambdabox.cli.logs import LogReader, line, log_group_of
from lambdabox.cli.output import CommandError
from lambdabox.cli.packaging import Package
from lambdabox.cli.readiness import wait_until_ready
from lambdabox.cli.templates import complete_template
from lambdabox.cli.watching import Watcher

LOG_SECONDS = 0.25
"""How often the log is read, while nothing is saved."""
NAMED_FILES = 3


def dev(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Directory with the code.")],
    *,
    name: function_options.Name = None,
    handler: function_options.Handler = None,
    runtime: function_options.RuntimeName = None,
    env: function_options.Env = None,
    timeout: function_options.Timeout = None,
    memory: function_options.Memory = None,
    role: function_options.Role = None,
    layer: function_options.Layers = None,
    event: Annotated[
        str | None,
        typer.Option(metavar="FILE|JSON", help="Invoke with this event after each save."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Likewise, with an event as a trigger sends it.",
            autocompletion=complete_template,
        ),
    ] = None,
    endpoint: options.Endpoint = options.DEFAULT_ENDPOINT,
    region: options.Region = None,
    json_: options.JsonLines = False,
) -> None:
    """Deploy a directory at each save, and print its log, until Ctrl-C.

    The next invocation after a save runs the new code. The function stays when this ends.

    \b
    Examples:
      lambdabox dev ./hello
      lambdabox dev ./resize --template s3-put
    """
    if not source.is_dir():
        raise CommandError(f"{source} is not a directory: give the one with the code")
    wanted = Wanted(
        runtime=runtime, handler=handler, role=role, timeout_seconds=timeout, memory_mib=memory,
        environment=parse_environment(env) if env else None, layers=layer,
    )  # fmt: skip
    given = None if event == template is None else _event(event, template)
    node = Node(endpoint, region)
    voice = Voice(as_json=json_)
    with tempfile.TemporaryDirectory(prefix="lambdabox-dev-") as work, _ended_by_signals():
        session = Session(node, source.resolve(), name or name_for(source), DevPackages(Path(work)))
        watcher = Watcher(session.source)
        voice.ready(session.start(wanted), session.source)
        try:
            _loop(session, watcher, voice, given)
        except KeyboardInterrupt:
            voice.end(session.name)


def _event(event: str | None, template: str | None) -> bytes:
    if event == "-":
        raise CommandError("dev invokes again and again: give a file or JSON, not stdin")
    return chosen_event(event, template, ())


class Voice:
    """Says what goes on: to people, or as one JSON object a line."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._colour = sys.stdout.isatty()

    def ready(self, deployed: Mapping[str, Any], source: Path) -> None:
        name = deployed["FunctionName"]
        text = f"Watching {source}. Invoke it: lambdabox invoke {name}. Ctrl-C ends this."
        self._say(text, "ready", FunctionName=name, FunctionArn=deployed["FunctionArn"])

    def updated(self, changed: Sequence[str], milliseconds: float) -> None:
        more = len(changed) - NAMED_FILES
        named = ", ".join(changed[:NAMED_FILES]) + (f" and {more} more" if more > 0 else "")
        text = f"Updated in {milliseconds:.0f} ms: {named}"
        self._say(text, "updated", Files=list(changed), Milliseconds=round(milliseconds, 1))

    def problem(self, text: str) -> None:
        if self._as_json:
            self._say(text, "problem", Message=text)
        else:
            output.fail(text)

    def answer(self, payload: bytes, failure: str | None) -> None:
        text = payload.decode(errors="replace")
        if self._as_json:
            self._say("", "invoked", Payload=text, Error=failure)
        else:
            output.result(text)
            if failure is not None:
                output.fail(f"the function failed: {failure}")

    def log(self, event: Mapping[str, Any]) -> None:
        if self._as_json:
            output.as_json_line({"Event": "log", **event})
        else:
            output.result(line(dict(event), colour=self._colour))

    def end(self, name: str) -> None:
        text = f"\nStopped watching. {name} stays; `lambdabox delete {name}` removes it."
        self._say(text, "ended", FunctionName=name)

    def _say(self, text: str, what: str, **facts: object) -> None:
        if self._as_json:
            output.as_json_line({"Event": what, **facts})
        else:
            output.note(text)


class Session:
    """One directory and the function that it is."""

    def __init__(self, node: Node, source: Path, name: str, packages: DevPackages) -> None:
        self.node = node
        self.source = source
        self.name = name
        self._packages = packages
        self._deployed: Package | None = None
        self._shown: dict[str, Any] = {}
        self._log: LogReader | None = None

    def start(self, wanted: Wanted) -> dict[str, Any]:
        """Deploy with all settings and return the configuration."""
        began_ms = int(time.time() * 1000)

        def make(source: Path, runtime: str, architecture: str) -> Package:
            self._deployed = self._packages.package(source, runtime, architecture)
            return self._deployed

        self._shown = deploy_source(self.node, self.source, self.name, wanted, make_package=make)
        self._log = LogReader(self.node, log_group_of(self.node, self.name), began_ms)
        return self._shown

    def update(self) -> bool:
        """Deploy the code as it is on disk now. Return False if that is what runs already."""
        package = self._packages.package(
            self.source, self._shown["Runtime"], self._shown["Architectures"][0]
        )
        if self._deployed is not None and package.content == self._deployed.content:
            return False
        self.node.functions("UpdateFunctionCode", FunctionName=self.name, ZipFile=package.content)
        wait_until_ready(self.node, self.name)
        self._deployed = package
        return True

    def invoke(self, event: bytes) -> tuple[bytes, str | None]:
        """Return the payload, and what failed if the function did."""
        response = self.node.functions("Invoke", FunctionName=self.name, Payload=event)
        payload: bytes = response["Payload"].read()
        failed = "FunctionError" in response
        return payload, describe_failure(response, payload) if failed else None

    def logged(self) -> Iterator[dict[str, Any]]:
        """Yield what was logged since the last call."""
        if self._log is None:
            return
        try:
            yield from self._log.written()
        except MissingError:  # it has not logged yet
            return


def _loop(session: Session, watcher: Watcher, voice: Voice, event: bytes | None) -> None:
    changed: list[str] = []
    is_away = False
    while True:
        changed += watcher.wait(LOG_SECONDS)
        try:
            if changed:
                _deploy(session, voice, changed, event)
                changed = []
            for logged in session.logged():
                voice.log(logged)
            is_away = False
        except UnreachableError as exc:  # it may be started again; what was saved is kept
            if not is_away:
                voice.problem(str(exc))
            is_away = True


def _deploy(session: Session, voice: Voice, changed: Sequence[str], event: bytes | None) -> None:
    began = time.monotonic()
    try:
        if not session.update():
            return
        voice.updated(changed, (time.monotonic() - began) * 1000)
        if event is not None:
            voice.answer(*session.invoke(event))
    except UnreachableError:
        raise
    except (CommandError, OSError) as exc:  # the next save may put it right
        voice.problem(str(exc))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that nothing is left behind."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
