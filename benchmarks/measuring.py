"""One round: start a platform, use it, and return what it took."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from client import Client, check, drive, invocation, percentile, request
from functions import FULL_PROCESSOR_MIB, create
from platforms import CpuTimes, Platform, descendants, memory_mib, started

COLD_STARTS = 8
CONNECTIONS = (1, 8, 32, 64)
READY_SECONDS = 60.0


@dataclass(slots=True)
class Round:
    """Figures by name. Times in milliseconds, memory in MiB."""

    figures: dict[str, float] = field(default_factory=dict)


async def measure(platform: Platform, directory: Path, seconds: float) -> Round:
    began = time.perf_counter()
    with started(platform, directory) as (pid, port):
        client = await ready(port)
        figures = {"up to ready, ms": (time.perf_counter() - began) * 1000}
        figures["memory of the node, idle, MiB"] = memory_mib(pid)
        figures |= await _cold(client)
        for connections in CONNECTIONS:
            figures |= await _loaded(pid, port, connections, seconds)
        figures["memory of the node, used, MiB"] = memory_mib(pid)
        environments = [memory_mib(child) for child in descendants(pid)]
        figures["environments at the end"] = len(environments)
        if environments:
            figures["memory per environment, MiB"] = sum(environments) / len(environments)
        client.close()
    return Round(figures)


async def _loaded(pid: int, port: int, connections: int, seconds: float) -> dict[str, float]:
    # Once before the clock starts, so that no environment is started while it runs.
    await drive(port, "bench-0", connections=connections, seconds=seconds / 10, warm_up=20)
    before = CpuTimes.of(pid)
    load = await drive(port, "bench-0", connections=connections, seconds=seconds, warm_up=0)
    used = CpuTimes.of(pid).since(before)
    requests = len(load.latencies)
    latencies = {
        "warm p50, ms": percentile(load.latencies, 50) * 1000,
        "warm p99, ms": percentile(load.latencies, 99) * 1000,
    }
    return {
        **(latencies if connections == 1 else {}),
        f"requests/s, {connections} at once": load.per_second,
        f"CPU us per request, node, {connections} at once": used.node * 1e6 / requests,
        f"CPU us per request, functions, {connections} at once": used.children * 1e6 / requests,
    }


async def ready(port: int) -> Client:
    """Return a client once the platform has answered a request of the API."""
    client = Client(port)
    deadline = time.perf_counter() + READY_SECONDS
    while True:
        try:
            answer = await client.ask(request("GET", "/2015-03-31/functions/"))
            if answer.status == 200:
                return client
        except OSError:
            if time.perf_counter() > deadline:
                raise
        await asyncio.sleep(0.005)


async def _cold(client: Client) -> dict[str, float]:
    active, cold = [], []
    for number in range(COLD_STARTS):
        began = time.perf_counter()
        await create(client, f"bench-{number}", memory_mib=FULL_PROCESSOR_MIB)
        active.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        check(await client.ask(invocation(f"bench-{number}")), b"ok")
        cold.append((time.perf_counter() - began) * 1000)
    return {
        "create to Active, ms": percentile(active, 50),
        "cold p50, ms": percentile(cold, 50),
        "cold p99, ms": percentile(cold, 99),
    }
