"""One real execution environment: a real sandbox, runtime and extensions, without a node."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import orjson

from lambdabox.backends.clock import SystemClock
from lambdabox.backends.files import FileBlobStore
from lambdabox.cli.packaging import zip_directories
from lambdabox.domain.functions import Code, Deployment, FunctionSettings, LayerUse, LoggingSettings
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.execution.environment import Environment
from lambdabox.execution.process_owner import Workshop
from lambdabox.isolation.process import ProcessDriver
from lambdabox.ports import LogLine, Usage
from lambdabox.runtime.interpreters import Interpreters
from lambdabox.runtime.launch import Launcher, LaunchSettings
from lambdabox.runtime.staging import Staging
from support.packages import zipped
from support.records import KEY, ROLE

PATIENCE = 30
EXAMPLES = Path(__file__).parents[2] / "examples"
ECHO = "def handler(event, context):\n    print('handling')\n    return event\n"


CLIENT = """#!/usr/bin/env python3
import json, os, sys, time, urllib.request, urllib.error
API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]

def call(method, path, body=None, **headers):
    request = urllib.request.Request(
        API + path, None if body is None else json.dumps(body).encode(),
        {name.replace("_", "-"): value for name, value in headers.items()}, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.headers, json.loads(response.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())

def register(*events, name=os.path.basename(sys.argv[0])):
    path = "/2020-01-01/extension/register"
    headers, answer = call("POST", path, {"events": events}, Lambda_Extension_Name=name)
    return answer if isinstance(headers, int) else headers["Lambda-Extension-Identifier"]

def following(me):
    path = "/2020-01-01/extension/event/next"
    return call("GET", path, Lambda_Extension_Identifier=me)[1]

def fail(me, phase, kind):
    path = f"/2020-01-01/extension/{phase}/error"
    return call("POST", path, {}, Lambda_Extension_Identifier=me,
                Lambda_Extension_Function_Error_Type=kind)

SCRATCH = os.environ["TMPDIR"]
"""
"""An extension's first lines: the Extensions API as functions."""


def client(text: str) -> str:
    return CLIENT + text


class KeptJournal:
    """A `ports.Journal` that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.usages: list[Usage] = []
        self._grown = anyio.Event()

    def log(self, line: LogLine) -> None:
        self.lines.append(line.message)
        self._grown.set()

    def usage(self, usage: Usage) -> None:
        self.usages.append(usage)

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        for line in lines:
            self.log(line)
        self.usage(usage)

    async def logged(self, text: str) -> None:
        """Return once a line holds `text`."""
        with anyio.fail_after(PATIENCE):
            while not any(text in line for line in self.lines):
                self._grown = anyio.Event()
                await self._grown.wait()


@dataclass
class Bench:
    """An environment and what surrounds it."""

    root: Path
    workshop: Workshop
    deployment: Deployment
    journal: KeptJournal
    frees: int = 0
    troubles: list[BaseException] = field(default_factory=list)
    environment: Environment = field(init=False)
    _freed: anyio.Event = field(default_factory=anyio.Event)
    _runs: int = 0

    def __post_init__(self) -> None:
        self.environment = Environment(
            self.deployment, self.workshop, id="environment", on_free=self._note_free
        )

    @property
    def scratch(self) -> Path:
        return self.root / "environments" / "environment"

    @property
    def log(self) -> str:
        return "".join(self.journal.lines)

    async def invoke(self, event: Any = None, *, trace: str = "") -> Outcome:
        """Run one event to its answer; the environment may not be free yet."""
        self._runs += 1
        invocation = Invocation(
            f"request-{self._runs}", self.deployment.arn, orjson.dumps(event), trace=trace
        )
        with anyio.fail_after(PATIENCE):
            return await self.environment.run(invocation)

    async def free(self) -> None:
        """Return once the environment has become free after each event so far."""
        with anyio.fail_after(PATIENCE):
            while self.frees < self._runs:
                self._freed = anyio.Event()
                await self._freed.wait()

    def _note_free(self, _environment: Environment) -> None:
        self.frees += 1
        self._freed.set()


@asynccontextmanager
async def environment(
    root: Path,
    files: str | Mapping[str, str] = ECHO,
    *,
    layers: Sequence[Path] = (),
    timeout_seconds: int = 10,
    runtime: str = f"python3.{sys.version_info[1]}",
    log_format: str = "Text",
    variables: Mapping[str, str] | None = None,
) -> AsyncIterator[Bench]:
    """An environment that is closed after the block. Nothing has been started in it."""
    clock, journal, driver = SystemClock(), KeptJournal(), ProcessDriver(root)
    blobs = FileBlobStore(root / "blobs")
    package = zipped(
        {"app.py": files} if isinstance(files, str) else files, executable=("bootstrap",)
    )
    staging = Staging(root / "staged", blobs)
    uses = []
    for number, folder in enumerate(layers, start=1):
        content = zip_directories([folder]).content
        arn = f"arn:aws:lambda:us-east-1:{KEY.account}:layer:layer-{number}:1"
        uses.append(LayerUse(arn, len(content), await blobs.put(content)))
    settings = FunctionSettings(
        role=ROLE,
        runtime=runtime,
        handler="app.handler",
        timeout_seconds=timeout_seconds,
        environment=variables,
        logging=LoggingSettings(log_format),
        layers=tuple(uses),
    )
    code = Code(await blobs.put(package), len(package))
    deployment = Deployment("deployment", KEY, "$LATEST", settings, code)

    launcher = Launcher(
        driver,
        Interpreters({runtime: sys.executable}, os.defpath, root),
        staging,
        LaunchSettings("http://127.0.0.1:1", None),
    )
    async with anyio.create_task_group() as tasks:
        troubles: list[BaseException] = []

        async def guarded(function: Callable[..., Awaitable[None]], *arguments: object) -> None:
            try:
                await function(*arguments)
            except Exception as trouble:
                troubles.append(trouble)

        def spawn(function: Callable[..., Awaitable[None]], *arguments: object) -> None:
            tasks.start_soon(guarded, function, *arguments)

        workshop = Workshop(driver, launcher, journal, clock, spawn, root / "environments")
        bench = Bench(root, workshop, deployment, journal, troubles=troubles)
        try:
            yield bench
        finally:
            with anyio.CancelScope(shield=True), anyio.fail_after(PATIENCE):
                await bench.environment.close()
            tasks.cancel_scope.cancel()
    assert not troubles


def layer(root: Path, extensions: Mapping[str, str], *, mode: int = 0o755) -> Path:
    """Return a layer with these extensions: shell scripts, or Python by their first line."""
    folder = root / "extensions"
    folder.mkdir(parents=True)
    for name, text in extensions.items():
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    return root
