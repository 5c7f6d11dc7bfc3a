"""How long an invocation takes that needs a new environment."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

from client import Client, check, invocation, percentile, request
from functions import BOTO3, HOLDING, NODE, PYTHON, SHELL, Workload, create
from measuring import ready
from platforms import MINISTACK, Footprint, Platform, started

PAUSE_SECONDS = 0.1
_KINDS = {"Python": PYTHON, "boto3": BOTO3, "Node": NODE, "shell": SHELL}


async def starts(platform: Platform, directory: Path, count: int) -> dict[str, float]:
    """Start a platform, and invoke `count` new functions of each kind."""
    began = time.perf_counter()
    with started(platform, directory) as (pid, port):
        client = await ready(port)
        figures = {"up to ready, ms": (time.perf_counter() - began) * 1000}
        if platform.name == "preload":
            # The first one waits for the fork server to have imported it.
            await _of_kind(client, "warm-up", BOTO3, 1)
            return _summary("boto3, preloaded", await _of_kind(client, "boto3", BOTO3, count))
        for name, workload in _kinds(platform):
            few = count if workload is PYTHON else min(count, 10)
            figures |= _summary(name, await _of_kind(client, name.lower(), workload, few))
        if platform is not MINISTACK:
            figures |= _summary("Python, known", await _of_known(client, port, count))
        if platform.name == "namespaces":
            found = Footprint.of(pid)
            figures["PSS per environment, of some, MiB"] = found.sandboxes / found.count
        client.close()
    return figures


def _kinds(platform: Platform) -> Iterator[tuple[str, Workload]]:
    for name, workload in _KINDS.items():
        if platform is not MINISTACK or workload in (PYTHON, NODE):
            yield name, workload


async def _of_kind(client: Client, name: str, workload: Workload, count: int) -> list[float]:
    """Create functions, all of them Active before any is invoked; return milliseconds."""
    names = [f"{name}-{number}" for number in range(count)]
    for one in names:
        await create(client, one, workload)
    found = []
    for one in names:
        # One at a time, as most come: what a crowd waits for is measured in `crowds.py`.
        await asyncio.sleep(PAUSE_SECONDS)
        found.append(await timed(client, invocation(one)))
    return found


async def _of_known(client: Client, port: int, count: int) -> list[float]:
    """Invoke a function while its environments are all busy."""
    await create(client, "known", HOLDING)
    check(await client.ask(invocation("known")), b"ok")
    hold = request("POST", "/2015-03-31/functions/known/invocations", b'{"hold": 3}')
    holders = [Client(port) for _ in range(count)]
    held, found = [], []
    async with asyncio.TaskGroup() as tasks:
        for holder in holders:
            held.append(tasks.create_task(holder.ask(hold)))
            await asyncio.sleep(PAUSE_SECONDS)  # for it to take the environment that is free
            found.append(await timed(client, invocation("known")))
    for one, holder in zip(held, holders, strict=True):
        check(one.result(), b"ok")
        holder.close()
    return found


async def timed(client: Client, message: bytes) -> float:
    """Return how many milliseconds an invocation took."""
    began = time.perf_counter()
    check(await client.ask(message), b"ok")
    return (time.perf_counter() - began) * 1000


def _summary(name: str, found: list[float]) -> dict[str, float]:
    return {
        f"cold, {name}, p50, ms": percentile(found, 50),
        f"cold, {name}, p99, ms": percentile(found, 99),
    }
