"""Measure cold starts and what an environment costs: `make bench-environments`, as root.

The namespace driver with everything on, beside the process driver and a peer, in
alternating order as in `invoke.py`. docs/performance.md explains the figures.
"""

import argparse
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import uvloop
from crowds import crowd, turnover
from platforms import MINISTACK, NAMESPACES, PEER, PROCESSES, Platform, with_settings
from reporting import describe_machine, table
from snapshots import snapshots
from starts import starts

SNAPSHOTS = 8
"""Environments restored in a round, and as many that run their init."""

Results = dict[str, list[dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--functions", type=int, default=20, help="of each kind in a round")
    parser.add_argument("--crowd", type=int, default=1_000, help="idle environments at once")
    parser.add_argument("--only", help="this platform alone")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("the namespace driver is measured at its full strength, which needs root")
    candidates = [NAMESPACES, PROCESSES, *([MINISTACK] if PEER.exists() else [])]
    platforms = [one for one in candidates if arguments.only in (None, one.name)]
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="lambdabox-bench-") as directory:
        Path(directory).chmod(0o755)
        results = uvloop.run(
            _run(platforms, Path(directory), arguments.rounds, arguments.functions)
        )
        if NAMESPACES in platforms:
            print(table(results), "turnover and crowd", sep="\n\n", flush=True)
            own = results[NAMESPACES.name]
            own += [uvloop.run(turnover(NAMESPACES, Path(directory))) for _ in own]
            own += [uvloop.run(snapshots(NAMESPACES, Path(directory), SNAPSHOTS)) for _ in own[:3]]
            own.append(uvloop.run(crowd(NAMESPACES, Path(directory), arguments.crowd)))
    print(table(results))


async def _run(
    platforms: Sequence[Platform], directory: Path, rounds: int, functions: int
) -> Results:
    results: Results = {platform.name: [] for platform in platforms}
    for number in range(rounds):
        for platform in platforms if number % 2 == 0 else reversed(platforms):
            print(f"round {number + 1} of {rounds}: {platform.name}", flush=True)
            figures = await starts(platform, directory / platform.name, functions)
            if platform is NAMESPACES:
                preloading = replace(with_settings(platform, preload="boto3"), name="preload")
                figures |= await starts(preloading, directory / preloading.name, functions)
            results[platform.name].append(figures)
    return results


if __name__ == "__main__":
    main()
