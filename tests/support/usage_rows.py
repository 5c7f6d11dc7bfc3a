"""Usage records with known figures, and the journal that keeps them."""

from collections.abc import Sequence
from pathlib import Path

from lambdabox.backends.database import SqliteDatabase
from lambdabox.domain.arn import Scope
from lambdabox.ports import LogStream, Usage
from lambdabox.repositories.journal_tables import metadata

SCOPE = Scope("123456789012", "us-east-1")
NOON = 1_795_003_200
STREAM = LogStream(SCOPE.account, SCOPE.region, "/aws/lambda/hello", "2026/11/18/[$LATEST]a")

ONE = Usage(
    account=SCOPE.account,
    region=SCOPE.region,
    function_name="hello",
    version="$LATEST",
    architecture="x86_64",
    memory_mib=1024,
    ephemeral_storage_mib=512,
    request_id="r",
    started_at=float(NOON),
    duration_ms=100.0,
    init_ms=None,
    billed_ms=100,
    max_memory_mib=60,
    status="success",
)


def open_journal(folder: Path) -> SqliteDatabase:
    return SqliteDatabase(folder / "journal.db", "journal", (metadata,), synchronous="NORMAL")


def lasting(durations: Sequence[float], *, at: float = NOON) -> list[Usage]:
    return [
        ONE._replace(duration_ms=duration, started_at=at, request_id=f"r{number}")
        for number, duration in enumerate(durations)
    ]
