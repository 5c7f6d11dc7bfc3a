"""Find metrics in what functions print: CloudWatch's embedded metric format.

A line of the form `{"_aws": {"Timestamp": ..., "CloudWatchMetrics": [...]}, ...}` names which
of its members are values and which are dimensions. Functions are hostile, so everything is
bounded as AWS bounds it, a line of another form is no more than a line, and nobody can write
the platform's own metrics.
"""

import logging
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.metrics import (
    ASYNC_EVENT_AGE,
    HOUR,
    MINUTE,
    PLATFORM_NAMESPACE,
    Datum,
    Dimensions,
    Metric,
    of_function,
)
from lambdabox.domain.summaries import Summary
from lambdabox.ports import LogLine, Usage

MARK = '"_aws"'
MAX_DIRECTIVES = 20
MAX_DIMENSION_SETS = 30
MAX_DIMENSIONS = 30
MAX_METRICS = 100
MAX_VALUES = 100
MAX_LINE_VALUES = 2_000
"""Over all metrics and sets of dimensions of one line."""
MAX_BATCH = 5_000
"""Series in one batch of log lines: more are one program's mistake, or attack."""

NAME_CHARS = 255
VALUE_CHARS = 1_024
PAST_SECONDS = 14 * 86_400
FUTURE_SECONDS = 2 * HOUR

_SIZES = ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes")
_BITS = ("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits")
_RATES = tuple(f"{unit}/Second" for unit in (*_SIZES, *_BITS, "Count"))
_TIMES = ("Seconds", "Microseconds", "Milliseconds")
UNITS = frozenset({*_TIMES, *_SIZES, *_BITS, *_RATES, "Percent", "Count", "None"})
_NAMESPACE = re.compile(r"[A-Za-z0-9_.\-/#: ]{1,255}")
_LIMIT = 1e30
"""CloudWatch refuses values beyond 2 to the power of 360; these are kept as they are."""

_log = logging.getLogger(__name__)


def derive(lines: Sequence[LogLine], usages: Sequence[Usage]) -> list[Datum]:
    """Return the values of metrics that a batch of the journal holds. Never raises."""
    found: dict[tuple[Metric, int], Datum] = {}
    try:
        for line in lines:
            if MARK in line.message:
                for datum in read_line(line):
                    _keep(found, datum)
        for datum in _queue_ages(usages):
            _keep(found, datum)
    except Exception:
        # The journal's batch would never be written for it. What a function printed is bounded
        # and checked above; this is for what nobody has thought of.
        _log.exception("reading metrics from the log failed")
    return list(found.values())


def read_line(line: LogLine) -> Iterator[Datum]:
    """Yield the values in one log line; none if it is not of the format."""
    document = _document(line.message)
    if document is None:
        return
    header = document["_aws"]
    at = _moment(header.get("Timestamp"), line.timestamp_ms)
    count = 0
    for directive in _list(header.get("CloudWatchMetrics"))[:MAX_DIRECTIVES]:
        if not isinstance(directive, dict):
            continue
        for datum in _read_directive(line, document, directive, at):
            count += datum.values.count
            if count > MAX_LINE_VALUES:
                return
            yield datum


def _read_directive(
    line: LogLine, document: dict[str, Any], directive: dict[str, Any], at: float
) -> Iterator[Datum]:
    namespace = directive.get("Namespace")
    if not isinstance(namespace, str) or not is_own_namespace(namespace):
        return
    stream = line.stream
    sets = _list(directive.get("Dimensions"))[:MAX_DIMENSION_SETS]
    # Without dimensions a metric has none; dimensions that cannot be read make no metric.
    dimensions = {found for names in sets if (found := _dimensions(document, names)) is not None}
    for name, unit, values in _values(document, directive):
        for each in sorted(dimensions) if sets else [()]:
            metric = Metric(stream.account, stream.region, namespace, name, each)
            yield Datum(metric, at, Summary.of(values), unit)


def is_own_namespace(namespace: str) -> bool:
    """Whether functions may write metrics of that namespace."""
    is_reserved = namespace.startswith(("AWS/", ":")) or namespace == PLATFORM_NAMESPACE
    return bool(_NAMESPACE.fullmatch(namespace)) and not is_reserved


def _document(message: str) -> dict[str, Any] | None:
    start = message.find("{")
    # Text before it is allowed only by what some runtimes put there: time, id and level.
    if start < 0 or start > 200:
        return None
    try:
        document = orjson.loads(message[start:])
    except orjson.JSONDecodeError:
        return None
    if isinstance(document, dict) and isinstance(document.get("_aws"), dict):
        return document
    return None


def _values(
    document: dict[str, Any], directive: dict[str, Any]
) -> Iterator[tuple[str, str, list[float]]]:
    for definition in _list(directive.get("Metrics"))[:MAX_METRICS]:
        if not isinstance(definition, dict):
            continue
        name, unit = definition.get("Name"), definition.get("Unit", "None")
        if not isinstance(name, str) or not 0 < len(name) <= NAME_CHARS or not _is_text(name):
            continue
        found = document.get(name)
        numbers = found if isinstance(found, list) else [found]
        values = [float(number or 0) for number in numbers[:MAX_VALUES] if _is_number(number)]
        if values:
            yield name, unit if isinstance(unit, str) and unit in UNITS else "None", values


def _dimensions(document: dict[str, Any], names: Any) -> Dimensions | None:
    """Return what a set of dimension names stands for, None if it cannot be told."""
    if not isinstance(names, list) or len(names) > MAX_DIMENSIONS:
        return None
    pairs = {}
    for name in names:
        value = document.get(name) if isinstance(name, str) else None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        text = str(value)
        if not (0 < len(name) <= NAME_CHARS and 0 < len(text) <= VALUE_CHARS):
            return None
        if not _is_text(name) or not _is_text(text):
            return None
        pairs[name] = text
    return tuple(sorted(pairs.items()))


def _moment(timestamp: Any, line_ms: int) -> float:
    """Return when the values are of: what the line says, if CloudWatch would take it."""
    received = line_ms / 1000
    said = float(timestamp) / 1000 if _is_number(timestamp) else received
    return said if received - PAST_SECONDS <= said <= received + FUTURE_SECONDS else received


def _queue_ages(usages: Sequence[Usage]) -> Iterator[Datum]:
    """Yield how old events were when they began, those of one minute and resource at once."""
    ages: dict[tuple[FunctionKey, str, int], list[float]] = {}
    for usage in usages:
        if usage.queue_ms is not None:
            key = FunctionKey(usage.account, usage.region, usage.function_name)
            place = key, usage.qualifier, int(usage.started_at) // MINUTE
            ages.setdefault(place, []).append(usage.queue_ms)
    for (key, qualifier, minute), values in ages.items():
        summary = Summary.of(values)
        for resource in (None, f"{key.name}:{qualifier}" if qualifier else key.name):
            metric = of_function(key, ASYNC_EVENT_AGE, resource)
            yield Datum(metric, minute * MINUTE, summary.copy(), ASYNC_EVENT_AGE.unit)


def _keep(found: dict[tuple[Metric, int], Datum], datum: Datum) -> None:
    place = (datum.metric, int(datum.at) // MINUTE)
    known = found.get(place)
    if known is not None:
        known.values.merge(datum.values)
    elif len(found) < MAX_BATCH:
        found[place] = datum


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) <= _LIMIT


def _is_text(text: str) -> bool:
    return "\x00" not in text
