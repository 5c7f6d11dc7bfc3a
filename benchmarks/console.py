"""Measure the console's pages: `make bench-console`.

A node with 200 functions and 100,000 invocations in its journal, a fifth of them of one
function, evenly over thirty days: the journal's own writer stores them beside the running
node. Then each page is asked for over one connection, a few times before the clock starts, and
its median and slowest are printed.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop
from client import BadAnswer, Client, invocation
from functions import create
from measuring import ready
from platforms import PROCESSES, CpuTimes, started
from reporting import describe_machine

from lambdabox.backends.database import SqliteDatabase
from lambdabox.gateway.app import DEFAULT_ACCOUNT
from lambdabox.ports import LogLine, LogStream, Usage
from lambdabox.repositories import journal_tables
from lambdabox.repositories.journal import JournalWriter

ACCOUNT, REGION = DEFAULT_ACCOUNT, "us-east-1"
BUSY = "bench-0"
SEED = 6
DAYS = 30
BATCH = 20_000
MS = 1_000
WARM_UP = 3
TARGET_MS = 100.0

PAGES = (
    "/console/functions",
    "/console/functions?search=bench-1",
    "/console/create",
    "/console/layers",
    "/console/costs",
    "/console/costs?days=90",
    f"/console/functions/{BUSY}/code",
    f"/console/functions/{BUSY}/test",
    f"/console/functions/{BUSY}/monitor",
    f"/console/functions/{BUSY}/monitor?range=30d",
    f"/console/functions/{BUSY}/monitor/figures?range=1h",
    f"/console/functions/{BUSY}/monitor/figures?range=30d",
    f"/console/functions/{BUSY}/monitor?only=failed",
    f"/console/functions/{BUSY}/logs",
    f"/console/functions/{BUSY}/logs/since",
    f"/console/functions/{BUSY}/configuration",
    f"/console/functions/{BUSY}/tuning",
    f"/console/functions/{BUSY}/invocations/{{id}}",
)


@dataclass(frozen=True, slots=True)
class Timed:
    path: str
    size: int
    milliseconds: Sequence[float]
    cpu_ms: float
    """Of the node's processor time, for each time: what a busy machine does not change much."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, default=200)
    parser.add_argument("--invocations", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=20, help="how often each page is asked for")
    arguments = parser.parse_args()
    print(describe_machine(), end="\n\n", flush=True)
    pages = uvloop.run(run(arguments.functions, arguments.invocations, arguments.times))
    print("| page | median, ms | slowest, ms | processor, ms | KB |\n|---|---|---|---|---|")
    for page in pages:
        middle, slowest = median(page.milliseconds), max(page.milliseconds)
        figures = f"{middle:.1f} | {slowest:.1f} | {page.cpu_ms:.1f} | {page.size / 1024:.0f}"
        print(f"| `{page.path}` | {figures} |")
    late = [page.path for page in pages if median(page.milliseconds) > TARGET_MS]
    print(f"\nabove {TARGET_MS:.0f} ms: {', '.join(late) or 'none'}")


async def run(functions: int, invocations: int, times: int) -> list[Timed]:
    with tempfile.TemporaryDirectory(prefix="lambdabox-bench-") as directory:
        place = Path(directory, "node")
        with started(PROCESSES, place) as (pid, port):
            client = await ready(port)
            for number in range(functions):
                await create(client, f"bench-{number}")
            began = time.perf_counter()
            await fill(place / "journal.db", functions, invocations)
            seconds = time.perf_counter() - began
            print(
                f"{invocations} invocations of {functions} functions in {seconds:.0f} s\n",
                flush=True,
            )
            id = await _invoked(client)
            pages = [await _timed(client, pid, path.format(id=id), times) for path in PAGES]
            client.close()
    return pages


async def fill(path: Path, functions: int, invocations: int) -> None:
    tables = (journal_tables.metadata,)
    async with SqliteDatabase(path, "journal", tables, synchronous="NORMAL") as database:
        writer = JournalWriter(database)
        entries: list[LogLine | Usage] = []
        for entry in _entries(functions, invocations, time.time()):
            entries.append(entry)
            if len(entries) >= BATCH:
                await writer.append_entries(entries, now_ms=int(time.time() * MS))
                entries = []
        await writer.append_entries(entries, now_ms=int(time.time() * MS))


def _entries(functions: int, invocations: int, now: float) -> Iterator[LogLine | Usage]:
    chance = random.Random(SEED)  # noqa: S311  (the same data in each run)
    for number in range(invocations):
        # The busy one has its own fifth; the others share what is left.
        name = BUSY if number % 5 == 0 else f"bench-{chance.randrange(functions)}"
        began = now - DAYS * 86_400 * (1 - number / invocations) - 1
        stream = LogStream(ACCOUNT, REGION, f"/aws/lambda/{name}", f"stream-{number // 20_000}")
        id = f"{number:08x}-0000-4000-8000-000000000000"
        took = chance.lognormvariate(3, 1)
        has_failed, is_cold = chance.random() < 0.02, chance.random() < 0.01
        for text in ("START", "working", "END", f"REPORT Duration: {took:.2f} ms"):
            yield LogLine(stream, int(began * MS), f"{text} RequestId: {id}\n")
        yield Usage(
            account=ACCOUNT,
            region=REGION,
            function_name=name,
            version="$LATEST",
            architecture="x86_64",
            memory_mib=128,
            ephemeral_storage_mib=512,
            request_id=id,
            started_at=began,
            duration_ms=took,
            init_ms=80.0 if is_cold else None,
            billed_ms=int(took) + 1,
            max_memory_mib=chance.randrange(30, 100),
            status="error" if has_failed else "success",
            error_type="ValueError" if has_failed else None,
            stream=stream,
        )


async def _invoked(client: Client) -> str:
    """Invoke the busy function once, so that there is a page with an event and a response."""
    answer = await client.ask(invocation(BUSY))
    if answer.status != 200:
        raise BadAnswer(f"{answer.status} {answer.body[:300]!r}")
    await asyncio.sleep(1)  # the page asks for what the environment says after its answer
    return answer.head.partition(b"x-amzn-requestid: ")[2].partition(b"\r\n")[0].decode()


async def _timed(client: Client, pid: int, path: str, times: int) -> Timed:
    # As a browser sends it: a signed request would be one for the API.
    message = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    milliseconds, size = list[float](), 0
    before = CpuTimes.of(pid)
    for number in range(WARM_UP + times):
        if number == WARM_UP:
            before = CpuTimes.of(pid)
        began = time.perf_counter()
        answer = await client.ask(message)
        if answer.status != 200:
            raise BadAnswer(f"{path}: {answer.status} {answer.body[:300]!r}")
        size = len(answer.body)
        if number >= WARM_UP:
            milliseconds.append((time.perf_counter() - began) * MS)
    return Timed(path, size, milliseconds, CpuTimes.of(pid).since(before).node * MS / times)


if __name__ == "__main__":
    main()
