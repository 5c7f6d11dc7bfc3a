"""Measure lambdabox, beside a peer if one is installed: `make bench`.

Same machine, same run, same function, same client. Each round starts each platform
afresh, in alternating order, so that what disturbs the machine disturbs both. Printed are
the medians over the rounds, with their quartiles; docs/performance.md explains them.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop
from measuring import Round, measure
from platforms import MINISTACK, PEER, Platform, available
from reporting import describe_machine, table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    arguments = parser.parse_args()
    platforms, missing = available()
    print(describe_machine(), *([missing] if missing else [describe_peer()]), sep="\n", end="\n\n")
    results = uvloop.run(run(platforms, arguments.rounds, arguments.seconds))
    print(table({name: [round.figures for round in rounds] for name, rounds in results.items()}))


def describe_peer() -> str:
    [found] = PEER.parents[1].glob(f"lib/python*/site-packages/{MINISTACK.name}-*.dist-info")
    return f"{found.name.removesuffix('.dist-info').replace('-', ' ')}, executor: local processes"


async def run(platforms: Sequence[Platform], rounds: int, seconds: float) -> dict[str, list[Round]]:
    results: dict[str, list[Round]] = {platform.name: [] for platform in platforms}
    with tempfile.TemporaryDirectory(prefix="lambdabox-bench-") as directory:
        for number in range(rounds):
            order = platforms if number % 2 == 0 else list(reversed(platforms))
            for platform in order:
                print(f"round {number + 1} of {rounds}: {platform.name}", flush=True)
                place = Path(directory, platform.name)
                results[platform.name].append(await measure(platform, place, seconds))
    return results


if __name__ == "__main__":
    main()
