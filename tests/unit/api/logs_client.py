"""The Logs operations as a client meets them, for the tests of each part."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from lambdabox.api.logs import LogsOperations
from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import Scope
from lambdabox.ports import LogLine, LogStream
from lambdabox.repositories.journal import JournalWriter
from lambdabox.repositories.journal_tables import metadata
from lambdabox.repositories.log_groups import LogGroups
from lambdabox.telemetry.journal import BufferedJournal

SCOPE = Scope("123456789012", "us-east-1")
GROUP = "/aws/lambda/hello"
NOW_MS = 1_795_000_000_000


class FakeClock:
    def __init__(self) -> None:
        self.seconds = NOW_MS / 1000

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.now()

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await anyio.lowlevel.checkpoint()


class Logs:
    """The operations as a client meets them: parameters and answers fit the service model."""

    model: ServiceModel = botocore.session.get_session().get_service_model("logs")

    def __init__(self, database: SqliteDatabase) -> None:
        self.database = database
        self.clock = FakeClock()
        self.journal = BufferedJournal(JournalWriter(database), self.clock)
        self.operations = LogsOperations(database, self.journal.flush, self.clock)
        self.groups = LogGroups(database)

    async def call(self, operation: str, *, scope: Scope = SCOPE, **params: Any) -> dict[str, Any]:
        model = self.model.operation_model(operation)
        assert not ParamValidator().validate(params, model.input_shape).has_errors()
        answer = await self.operations.handlers()[operation](scope, params)
        if model.output_shape is None:
            assert answer == {}
        else:
            assert_fits(model.output_shape, answer)
        return answer

    def log(self, message: str, *, at: int = NOW_MS, stream: str = "s", group: str = GROUP) -> None:
        target = LogStream(SCOPE.account, SCOPE.region, group, stream)
        self.journal.log(LogLine(target, at, message))

    async def texts(self, operation: str = "FilterLogEvents", **params: Any) -> list[str]:
        answer = await self.call(operation, logGroupName=GROUP, **params)
        return [event["message"] for event in answer["events"]]


def assert_fits(shape: Shape, value: Any) -> None:
    kinds = {"string": str, "long": int, "integer": int, "boolean": bool}
    match shape.type_name:
        case "structure":
            for name, inner in value.items():
                assert_fits(shape.members[name], inner)
        case "list":
            for inner in value:
                assert_fits(shape.member, inner)
        case "map":
            assert all(isinstance(text, str) for item in value.items() for text in item)
        case other:
            assert isinstance(value, kinds[other]), (shape.name, value)


@asynccontextmanager
async def open_logs(path: Path) -> AsyncIterator[Logs]:
    async with SqliteDatabase(path, "journal", (metadata,), synchronous="NORMAL") as database:
        yield Logs(database)


def migrate_journal(path: Path) -> Path:
    """Make a file to copy: migrating one for each test takes most of their time."""

    async def migrate() -> None:
        async with open_logs(path):
            pass

    anyio.run(migrate)
    return path
