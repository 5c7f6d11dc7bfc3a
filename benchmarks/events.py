"""Measure the asynchronous path: `make bench-events`.

How many events a second a node accepts over HTTP and how many it runs, with the smallest
function there is; what one costs in processor time; what a backlog does to its memory. With
`--other` the code of a second checkout is measured in the same rounds, in alternating order,
because on a shared machine only ratios mean something.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import uvloop
from client import BadAnswer, Client, request
from functions import create
from measuring import ready
from platforms import PROCESSES, CpuTimes, Platform, memory_mib, started
from reporting import describe_machine, table

CONNECTIONS = 64
EVENT = request(
    "POST",
    "/2015-03-31/functions/bench/invocations",
    b"{}",
    extra="X-Amz-Invocation-Type: Event\r\n",
)
USAGE = request("GET", "/_lambdabox/usage")
RUN_SECONDS = 900.0

ACCEPTING = replace(
    PROCESSES,
    name="accepting",
    command=(
        sys.executable, str(Path(__file__).with_name("accepting.py")), *PROCESSES.command[1:],
    ),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--events", type=int, default=20_000, help="sent in each round")
    parser.add_argument("--backlog", type=int, default=0, help="accept so many and run none")
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    arguments = parser.parse_args()
    print(describe_machine(), end="\n\n", flush=True)
    platforms = [PROCESSES]
    if arguments.other is not None:
        settings = {**PROCESSES.settings, "PYTHONPATH": str(arguments.other / "src")}
        platforms.append(replace(PROCESSES, name="other", settings=settings))
    print(table(uvloop.run(run(platforms, arguments.rounds, arguments.events))))
    if arguments.backlog:
        print(table({"backlog": [uvloop.run(hold(arguments.backlog))]}))


async def run(
    platforms: Sequence[Platform], rounds: int, events: int
) -> Mapping[str, Sequence[Mapping[str, float]]]:
    results: dict[str, list[Mapping[str, float]]] = {platform.name: [] for platform in platforms}
    with tempfile.TemporaryDirectory(prefix="lambdabox-bench-") as directory:
        for number in range(rounds):
            order = platforms if number % 2 == 0 else list(reversed(platforms))
            for platform in order:
                print(f"round {number + 1} of {rounds}: {platform.name}", flush=True)
                place = Path(directory, platform.name)
                figures = dict(await measure(platform, place, events))
                if platform is PROCESSES:
                    figures |= await accept(place, events)
                results[platform.name].append(figures)
    return results


async def measure(platform: Platform, place: Path, events: int) -> Mapping[str, float]:
    """Send events to a node that runs them, and wait until it has."""
    with started(platform, place) as (pid, port):
        client = await ready(port)
        await create(client, "bench")
        before, began = CpuTimes.of(pid), time.perf_counter()
        sending = await send(port, events)
        left = events - await invocations(client)
        while await invocations(client) < events:
            if time.perf_counter() > began + RUN_SECONDS:
                raise BadAnswer("not every event was run")
            await asyncio.sleep(0.05)
        whole = time.perf_counter() - began
        used = CpuTimes.of(pid).since(before)
        client.close()
        return {
            "accepted/s, while others run": events / sending,
            "run/s, from the first to the last": events / whole,
            "run/s, when all are accepted": left / (whole - sending),
            "CPU us per event, node": used.node * 1e6 / events,
            "CPU us per event, functions": used.children * 1e6 / events,
            "memory of the node, MiB": memory_mib(pid),
        }


async def accept(place: Path, events: int) -> Mapping[str, float]:
    """Send events to a node that runs none."""
    with started(ACCEPTING, place) as (pid, port):
        client = await ready(port)
        await create(client, "bench")
        client.close()
        before = CpuTimes.of(pid)
        seconds = await send(port, events)
        used = CpuTimes.of(pid).since(before)
        return {
            "accepted/s, alone": events / seconds,
            "CPU us per event, accepted alone": used.node * 1e6 / events,
        }


async def hold(events: int) -> Mapping[str, float]:
    """Let a node hold a backlog."""
    with tempfile.TemporaryDirectory(prefix="lambdabox-bench-") as directory:
        place = Path(directory, "backlog")
        with started(ACCEPTING, place) as (pid, port):
            client = await ready(port)
            await create(client, "bench")
            client.close()
            before = memory_mib(pid)
            seconds = await send(port, events)
            size = sum(file.stat().st_size for file in place.glob("state.db*"))  # noqa: ASYNC240  # quick
            return {
                "accepted/s": events / seconds,
                "memory of the node before, MiB": before,
                "memory of the node with the backlog, MiB": memory_mib(pid),
                "on disk, MiB": size / 1024**2,
            }


async def send(port: int, events: int) -> float:
    """Send so many events over all connections; return how many seconds that took."""
    left = events

    async def one() -> None:
        nonlocal left
        client = Client(port)
        while left > 0:
            left -= 1
            answer = await client.ask(EVENT)
            if answer.status != 202:
                raise BadAnswer(f"{answer.status} {answer.body[:300]!r}")
        client.close()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return time.perf_counter() - began


async def invocations(client: Client) -> int:
    """Return how many invocations the node has written down."""
    answer = await client.ask(USAGE)
    return sum(row["Invocations"] for row in json.loads(answer.body)["Functions"])


if __name__ == "__main__":
    main()
