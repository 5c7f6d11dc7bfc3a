"""Many environments: how fast they come and go, and how many a node can keep."""

import asyncio
import itertools
import time
from pathlib import Path

from client import Client, check, invocation, percentile
from functions import create
from measuring import ready
from platforms import Footprint, Platform, started, with_settings
from starts import timed

FEW = 8
TURNOVER_FUNCTIONS = 64
TURNOVER_SECONDS = 4.0
CONNECTIONS = 4
WARM_CALLS = 500


async def turnover(platform: Platform, directory: Path) -> dict[str, float]:
    """Invoke many functions in turn on a node with room for few environments.

    So each invocation makes an environment, and ends another.
    """
    platform = with_settings(platform, max_environments=str(FEW))
    with started(platform, directory / "turnover") as (_pid, port):
        client = await ready(port)
        names = [f"bench-{number}" for number in range(TURNOVER_FUNCTIONS)]
        for name in names:
            await create(client, name)
        clients = [Client(port) for _ in range(CONNECTIONS)]
        endless = itertools.cycle(names)
        found: list[float] = []
        began = time.perf_counter()
        until = began + TURNOVER_SECONDS

        async def drive(one: Client) -> None:
            while time.perf_counter() < until:
                found.append(await timed(one, invocation(next(endless))))

        await asyncio.gather(*map(drive, clients))
        seconds = time.perf_counter() - began
        for one in (client, *clients):
            one.close()
    return {
        "new environments/s": len(found) / seconds,
        "cold, Python, under that load, p50, ms": percentile(found, 50),
        "cold, Python, under that load, p99, ms": percentile(found, 99),
    }


async def crowd(platform: Platform, directory: Path, count: int) -> dict[str, float]:
    """Have `count` idle environments at once."""
    platform = with_settings(platform, max_environments=str(count + CONNECTIONS))
    with started(platform, directory / "crowd") as (pid, port):
        client = await ready(port)
        before = Footprint.of(pid)
        names = [f"bench-{number}" for number in range(count)]
        for name in names:
            await create(client, name)
        clients = [Client(port) for _ in range(CONNECTIONS)]
        left = iter(names)

        async def drive(one: Client) -> None:
            for name in left:
                check(await one.ask(invocation(name)), b"ok")

        began = time.perf_counter()
        await asyncio.gather(*map(drive, clients))
        seconds = time.perf_counter() - began
        found = Footprint.of(pid)
        alone = [await timed(client, invocation(names[-1])) for _ in range(WARM_CALLS)]
        among = [await timed(client, invocation(names[i * 7 % count])) for i in range(WARM_CALLS)]
        for one in (client, *clients):
            one.close()
    if found.count < count:
        raise RuntimeError(f"only {found.count} environments of {count} are there")
    return {
        f"{count} environments made, s": seconds,
        f"PSS per environment, of {count}, MiB": found.sandboxes / found.count,
        f"node, PSS of {count}, MiB": found.node,
        "node, PSS of none, MiB": before.node,
        f"warden and fork servers, PSS of {count}, MiB": found.warden,
        f"warm among {count}, the same function, p50, ms": percentile(alone, 50),
        f"warm among {count}, others in turn, p50, ms": percentile(among, 50),
        f"warm among {count}, others in turn, p99, ms": percentile(among, 99),
    }
