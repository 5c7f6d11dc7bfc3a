"""When a schedule is due: `rate(...)`, `cron(...)` and `at(...)`, in any time zone.

Pure: from an expression and a moment to the next moment. The rules for the two days of a year
on which clocks are changed are EventBridge's: a local time that does not exist is skipped, one
that comes twice counts once, the first time. A rate of days is one of 24 hours each.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import product
from math import floor
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lambdabox.domain.cron import BadExpression, Cron, parse_cron
from lambdabox.domain.values import dataclass

_RATE = re.compile(r"rate\(\s*([0-9]{1,9})\s+(minute|hour|day)(s?)\s*\)")
_CRON = re.compile(r"cron\((.*)\)")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_UNITS = {"minute": 60, "hour": 3_600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    seconds: int


@dataclass(frozen=True, slots=True)
class At:
    moment: datetime
    """Without a zone: the schedule's."""


Expression = Rate | Cron | At


def parse_expression(text: str) -> Expression:
    """Raises BadExpression, which says what is wrong."""
    if match := _RATE.fullmatch(text):
        count = int(match[1])
        if count < 1 or (count == 1) == bool(match[3]):
            raise BadExpression("a rate is such as rate(1 minute) or rate(5 minutes)")
        return Rate(count * _UNITS[match[2]])
    if match := _CRON.fullmatch(text):
        return parse_cron(match[1])
    if match := _AT.fullmatch(text):
        try:
            return At(datetime.fromisoformat(match[1]))
        except ValueError as exc:
            raise BadExpression(str(exc)) from exc
    raise BadExpression("it is neither rate(...), cron(...) nor at(yyyy-mm-ddThh:mm:ss)")


def zone_of(name: str) -> tzinfo:
    """Return a zone by its IANA name. Raises BadExpression."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise BadExpression(f"{name!r} is no time zone such as Europe/Berlin") from exc


def next_due(
    expression: Expression, after: float, *, zone: tzinfo = UTC, begin: float = 0.0
) -> float | None:
    """Return the first moment later than `after` at which a schedule is due, None if never.

    Moments are seconds since the epoch. A rate counts from `begin`, and nothing is due earlier.
    """
    match expression:
        case Rate(seconds):
            if after < begin:
                return begin
            return begin + (floor((after - begin) / seconds) + 1) * seconds
        case At(moment):
            due = moment_of(moment, zone)
            return due if due is not None and due > after and due >= begin else None
        case Cron():
            after = max(after, begin - 1e-3)
            dues = (moment_of(local, zone) for local in _local_times(expression, after, zone))
            return next((due for due in dues if due is not None and due > after), None)


def moment_of(local: datetime, zone: tzinfo) -> float | None:
    """Return when clocks in `zone` first show `local`; None if they never do."""
    try:
        moment = local.replace(tzinfo=zone, fold=0)
        seconds = moment.timestamp()
        shown = datetime.fromtimestamp(seconds, zone).replace(tzinfo=None)
    except (OverflowError, ValueError):
        return None  # at the edges of the calendar
    return seconds if shown == local.replace(tzinfo=None) else None


def _local_times(cron: Cron, after: float, zone: tzinfo) -> Iterator[datetime]:
    """The local times that an expression means, from the day of `after` on."""
    today = datetime.fromtimestamp(after, zone).date()
    times = [time(hour, minute) for hour, minute in product(cron.hours, cron.minutes)]
    for day in _days(cron, today):
        for each in times:
            yield datetime.combine(day, each)


def _days(cron: Cron, first: date) -> Iterator[date]:
    for year, month in product(cron.years, cron.months):
        if (year, month) < (first.year, first.month):
            continue
        day = max(date(year, month, 1), first)
        while day.month == month:
            if cron.is_meant(day):
                yield day
            day += timedelta(days=1)
