"""Records of functions as tests make them, and the database that keeps them."""

from pathlib import Path

from lambdabox.backends import sqlite_queue
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import LATEST, FunctionKey, Scope
from lambdabox.domain.functions import (
    CREATING,
    READY,
    Code,
    Deployment,
    FunctionSettings,
    Version,
)
from lambdabox.repositories import tables

ROLE = "arn:aws:iam::123456789012:role/lambda"
SCOPE = Scope("123456789012", "us-east-1")
KEY = FunctionKey(SCOPE.account, SCOPE.region, "hello")
SETTINGS = FunctionSettings(role=ROLE, runtime="python3.13", handler="app.handler")
CODE = Code("ab" * 32, 1_000)


def open_state(folder: Path) -> SqliteDatabase:
    """The platform's state in `folder`. Not synced at each commit: no test pulls the plug."""
    return SqliteDatabase(
        folder / "state.db",
        "state",
        (tables.metadata, sqlite_queue.metadata),
        synchronous="NORMAL",
    )


def key(name: str) -> FunctionKey:
    return FunctionKey(SCOPE.account, SCOPE.region, name)


def deployment(
    id: str = "deployment",
    *,
    of: FunctionKey = KEY,
    version: str = LATEST,
    settings: FunctionSettings = SETTINGS,
    code: Code = CODE,
) -> Deployment:
    return Deployment(id, of, version, settings, code)


def creating(of: FunctionKey = KEY, *, code: Code = CODE) -> Version:
    """A function as CreateFunction stores it."""
    return Version(of, LATEST, SETTINGS, code, CREATING, f"revision of {of.name}", 1_795_000_000.5)


def ready(of: FunctionKey = KEY, *, code: Code = CODE) -> Version:
    """A function that can run."""
    runs = deployment(f"deployment of {of.name}", of=of, code=code)
    return Version(of, LATEST, SETTINGS, code, READY, "revision", 1_795_000_000.5, runs)
