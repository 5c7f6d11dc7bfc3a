"""What benchmarks print: the machine they ran on, and tables of medians."""

import os
import platform as machine
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles

FASTER_IS_MORE = "/s"


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
        f"lambdabox {version('lambdabox')}"
    )


def table(results: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return a Markdown table: the median (p25 to p75) of each figure on each platform.

    The last columns say how many times better the first is than each other.
    """
    first, *others = results
    ratios = [f"{first} : {other}" for other in others]
    heads = ["", first, *others, *ratios]
    lines = ["", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for figure in dict.fromkeys(name for rounds in results.values() for r in rounds for name in r):
        columns = [
            [round[figure] for round in rounds if figure in round] for rounds in results.values()
        ]
        cells = [figure, *(_spread(column) for column in columns)]
        cells += [_ratio(figure, columns[0], column) for column in columns[1:]]
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
