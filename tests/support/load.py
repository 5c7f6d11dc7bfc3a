"""Clients that work on a node until it dies, and remember what it answered.

Each owns what it works on, so that it knows which states may be found afterwards: the one
last answered, or the one asked for when the connection broke.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from support.deploying import settle
from support.packages import ROLE, python_package

CODE = """
import os
def handler(event, context):
    return f"{code} {{os.environ.get('SETTING')}}"
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a function is to be: its code's and its settings' numbers."""

    code: int
    setting: int

    @property
    def package(self) -> bytes:
        return python_package(CODE.format(code=self.code))

    @property
    def answer(self) -> bytes:
        return f'"{self.code} {self.setting}"'.encode()


@dataclass(slots=True)
class Ledger:
    """What clients were told, by function or event."""

    answered: dict[str, Wanted] = field(default_factory=dict)
    asked: dict[str, Wanted] = field(default_factory=dict)
    """Requests without an answer: these may have happened or not."""
    deleted: set[str] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.answered) + len(self.deleted) + len(self.events)


def create(client: Any, name: str, ledger: Ledger) -> None:
    wanted = Wanted(0, 0)
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": wanted.package},
        Environment={"Variables": {"SETTING": "0"}},
        Tags={"made": "here"},
    )
    ledger.answered[name] = wanted


def create_many(client: Any, prefix: str, ledger: Ledger) -> None:
    number = 0
    while True:
        create(client, f"{prefix}-{number}", ledger)
        number += 1


def create_and_delete(client: Any, prefix: str, ledger: Ledger) -> None:
    number = 0
    while True:
        name = f"{prefix}-{number}"
        create(client, name, Ledger())
        client.delete_function(FunctionName=name)
        ledger.deleted.add(name)
        number += 1


def update_forever(client: Any, name: str, ledger: Ledger) -> None:
    """Change code and settings in turn, each as soon as the last has taken effect."""
    create(client, name, ledger)
    while True:
        settle(client, name)
        current = ledger.answered[name]
        ledger.asked[name] = wanted = Wanted(current.code + 1, current.setting)
        client.update_function_code(FunctionName=name, ZipFile=wanted.package)
        ledger.answered[name] = wanted
        settle(client, name)
        ledger.asked[name] = wanted = Wanted(wanted.code, wanted.setting + 1)
        client.update_function_configuration(
            FunctionName=name, Environment={"Variables": {"SETTING": str(wanted.setting)}}
        )
        ledger.answered[name] = wanted


def invoke_forever(client: Any, name: str, expected: bytes, ledger: Ledger) -> None:
    while True:
        response = client.invoke(FunctionName=name)
        body = response["Payload"].read()
        if body != expected:
            ledger.wrong.append(f"{name} answered {body!r}, not {expected!r}")


def send_events(client: Any, name: str, prefix: str, ledger: Ledger) -> None:
    number = 0
    while True:
        event = f"{prefix}-{number}"
        client.invoke(FunctionName=name, InvocationType="Event", Payload=f'"{event}"')
        ledger.events.add(event)
        number += 1


MARKING = """
import pathlib
def handler(event, context):
    pathlib.Path({directory!r}, event).touch()
"""


def marking(directory: Path) -> str:
    """Source of a function that leaves a file named by its event."""
    return MARKING.format(directory=str(directory))


class Clients:
    """Runs each client in a thread until its connection breaks."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._threads: list[threading.Thread] = []

    def add(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=self._run, args=(work, arguments))
        thread.start()
        self._threads.append(thread)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _run(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        try:
            work(*arguments)
        except BotoCoreError:
            pass  # the node died
        except (ClientError, AssertionError) as exc:
            self._ledger.wrong.append(f"{work.__name__}: {exc}")
