"""Measure the asynchronous path: `make bench-events`.

How many events a second a node accepts over HTTP, and how many of them it then runs, with
the smallest function there is; what one costs in processor time; and what a backlog does to
the node's memory. With `--other` a second checkout's code is measured in the same rounds, in
alternating order, for on a shared machine only the ratios mean something.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop
from client import BadAnswer, Client, request
from functions import create
from measuring import ready
from platforms import PROCESSES, CpuTimes, Platform, memory_mib, started, with_settings
from reporting import describe_machine, table

CONNECTIONS = 64
EVENT = request(
    "POST",
    "/2015-03-31/functions/bench/invocations",
    b"{}",
    extra="X-Amz-Invocation-Type: Event\r\n",
)
LIST_DONE = request("GET", "/_lambdabox/usage")
DRAIN_SECONDS = 900.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--events", type=int, default=20_000, help="sent in each round")
    parser.add_argument("--backlog", type=int, default=0, help="events held at once, in a last run")
    parser.add_argument("--other", type=Path, help="a checkout to compare with")
    arguments = parser.parse_args()
    print(describe_machine(), end="\n\n")
    platforms = [PROCESSES]
    if arguments.other is not None:
        other = with_settings(PROCESSES)
        path = {"PYTHONPATH": str(arguments.other / "src")}
        settings = {**other.settings, **path}
        platforms.append(Platform("other", other.command, settings))
    print(table(uvloop.run(run(platforms, arguments.rounds, arguments.events))))
    if arguments.backlog:
        print(table({"backlog": [uvloop.run(measure_backlog(arguments.backlog))]}))


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
                results[platform.name].append(await measure(platform, place, events))
    return results


async def measure(platform: Platform, place: Path, events: int) -> Mapping[str, float]:
    """Send `events`, first with nobody to run them, then run them with nobody sending."""
    figures: dict[str, float] = {}
    # Events of a function that may not run are accepted and wait.
    with started(with_settings(platform, account_concurrency="1000"), place) as (pid, port):
        client = await ready(port)
        await create(client, "bench")
        before = CpuTimes.of(pid)
        seconds = await send(port, events)
        accepting = CpuTimes.of(pid).since(before)
        figures["accepted/s, while they run"] = events / seconds
        done_before = await finished(client)
        began = time.perf_counter()
        await drained(client, events)
        rest = time.perf_counter() - began
        figures["run/s, of what was left"] = (events - done_before) / rest if rest > 0.2 else 0
        figures["run/s, from the first to the last"] = events / (seconds + rest)
        used = CpuTimes.of(pid).since(before)
        figures["CPU us per event while sending, node"] = accepting.node * 1e6 / events
        figures["CPU us per event in all, node"] = used.node * 1e6 / events
        figures["CPU us per event in all, functions"] = used.children * 1e6 / events
        figures["memory of the node, MiB"] = memory_mib(pid)
        client.close()
    return figures


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


async def finished(client: Client) -> int:
    """Return how many invocations have been written down."""
    import json

    answer = await client.ask(LIST_DONE)
    functions = json.loads(answer.body)["Functions"]
    return sum(row["Invocations"] for row in functions)


async def drained(client: Client, events: int) -> None:
    until = time.perf_counter() + DRAIN_SECONDS
    while await finished(client) < events:
        if time.perf_counter() > until:
            raise BadAnswer("events were lost")
        await asyncio.sleep(0.05)


async def measure_backlog(events: int) -> Mapping[str, float]:
    """Hold so many events on disk, then run the node anew on them."""
    raise NotImplementedError


if __name__ == "__main__":
    main()
