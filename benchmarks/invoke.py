"""Measure lambdabox, beside a peer if one is installed: `make bench`.

Same machine, same run, same function, same client. Each round starts each platform
afresh, in alternating order, so that what disturbs the machine disturbs both. Printed are
the medians over the rounds, with their quartiles; docs/performance.md explains them.
"""

import argparse
import os
import platform as machine
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

import uvloop
from measuring import Round, measure
from platforms import MINISTACK, PEER, Platform, available

FASTER_IS_MORE = "requests/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    arguments = parser.parse_args()
    platforms, missing = available()
    print(describe_machine(), *([missing] if missing else [describe_peer()]), sep="\n", end="\n\n")
    results = uvloop.run(run(platforms, arguments.rounds, arguments.seconds))
    print(table(platforms, results))


def describe_machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        machine.machine(),
    )
    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} processors ({model}), {total_kib / 1024**2:.0f} GiB of memory, "
        f"Linux {machine.release()}, Python {machine.python_version()}, load before: {load}\n"
        f"lambdabox {version('lambdabox')}, isolation: processes"
    )


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


def table(platforms: Sequence[Platform], results: dict[str, list[Round]]) -> str:
    """Return a Markdown table: median (p25 to p75) of each figure, and the peer's ratio."""
    names = [platform.name for platform in platforms]
    heads = ["", *names, *(["ratio"] if len(names) > 1 else [])]
    lines = ["", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for figure in results[names[0]][0].figures:
        columns = [
            [round.figures[figure] for round in results[name] if figure in round.figures]
            for name in names
        ]
        cells = [figure, *(_spread(column) for column in columns)]
        if len(names) > 1:
            cells.append(_ratio(figure, *columns))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "none"
    if len(values) == 1:
        return f"{values[0]:,.2f}"
    low, _, high = quantiles(values, n=4, method="inclusive")
    return f"{median(values):,.2f} ({low:,.2f} to {high:,.2f})"


def _ratio(figure: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How many times better lambdabox is: less of what costs, more of what counts."""
    if not ours or not theirs or "at the end" in figure:
        return ""
    mine, other = median(ours), median(theirs)
    ratio = mine / other if FASTER_IS_MORE in figure else other / mine
    return f"{ratio:.2f}x"


if __name__ == "__main__":
    main()
