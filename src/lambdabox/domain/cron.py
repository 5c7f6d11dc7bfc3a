"""The fields of a cron expression, in AWS's dialect, and the days that they mean.

Six fields, days of the week from 1 for Sunday, `?` for the day that the other day field
decides, and `L`, `W` and `#`. docs/events.md shows examples.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import date

from lambdabox.domain.values import dataclass

FIRST_YEAR, LAST_YEAR = 1970, 2199
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_ITEM = re.compile(r"(?P<first>\*|[0-9A-Z]+)(-(?P<last>[0-9A-Z]+))?(/(?P<step>[0-9]+))?")

IsMeant = Callable[[date], bool]
"""Whether an expression means a day of a month that it means."""


class BadExpression(ValueError):
    """The expression is none. The message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression: the minutes of the days that it means, each in rising order."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: tuple[int, ...]
    years: tuple[int, ...]
    is_meant: IsMeant


def parse_cron(text: str) -> Cron:
    """Read what stands between the brackets of `cron(...)`. Raises BadExpression."""
    fields = text.upper().split()
    if len(fields) == 5:
        fields.append("*")
    if len(fields) != 6:
        raise BadExpression("it has six fields: minutes hours day month weekday year")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise BadExpression("exactly one of day-of-month and day-of-week must be ?")
    return Cron(
        minutes=_numbers(minutes, 0, 59),
        hours=_numbers(hours, 0, 23),
        months=_numbers(months, 1, 12, _MONTHS),
        years=_numbers(years, FIRST_YEAR, LAST_YEAR),
        is_meant=_days_of_month(days) if weekdays == "?" else _days_of_week(weekdays),
    )


def _numbers(field: str, lowest: int, highest: int, names: tuple[str, ...] = ()) -> tuple[int, ...]:
    """Return what a list of numbers, ranges and steps means."""
    found: set[int] = set()
    for item in field.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise BadExpression(f"{item!r} is no number, range or step")
        step = int(match["step"] or 1)
        if step < 1:
            raise BadExpression(f"the step of {item!r} is 0")
        first, last = lowest, highest
        if match["first"] != "*":
            first = _number(match["first"], lowest, highest, names)
            # `5/15` goes on to the end, `5` does not.
            last = highest if match["step"] else first
        if match["last"]:
            if match["first"] == "*":
                raise BadExpression(f"{item!r} is no range")
            last = _number(match["last"], lowest, highest, names)
        if last < first:  # FRI-MON, or 22-2: around the end
            span = highest - lowest + 1
            found.update(lowest + (n - lowest) % span for n in range(first, last + span + 1, step))
        else:
            found.update(range(first, last + 1, step))
    return tuple(sorted(found))


def _number(text: str, lowest: int, highest: int, names: tuple[str, ...]) -> int:
    number = lowest + names.index(text) if text in names else -1
    if text.isascii() and text.isdecimal():
        number = int(text[:6])
    if not lowest <= number <= highest:
        raise BadExpression(f"{text!r} is not between {lowest} and {highest}")
    return number


def _days_of_month(field: str) -> IsMeant:
    if field in ("L", "LW"):
        return _is_last_weekday if field == "LW" else _is_last
    if match := re.fullmatch(r"([0-9]{1,2})W", field):
        near = _number(match[1], 1, 31, ())
        return lambda day: day.day == _weekday_near(day, near)
    days = frozenset(_numbers(field, 1, 31))
    return lambda day: day.day in days


def _days_of_week(field: str) -> IsMeant:
    if match := re.fullmatch(r"([1-7]|[A-Z]{3})#([0-9])", field):
        weekday = _number(match[1], 1, 7, _DAYS)
        nth = _number(match[2], 1, 5, ())
        return lambda day: _weekday(day) == weekday and (day.day + 6) // 7 == nth
    if match := re.fullmatch(r"([1-7]|[A-Z]{3})?L", field):
        weekday = _number(match[1] or "7", 1, 7, _DAYS)
        return lambda day: _weekday(day) == weekday and day.day > _length(day) - 7
    weekdays = frozenset(_numbers(field, 1, 7, _DAYS))
    return lambda day: _weekday(day) in weekdays


def _weekday(day: date) -> int:
    return day.isoweekday() % 7 + 1


def _length(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _is_last(day: date) -> bool:
    return day.day == _length(day)


def _is_last_weekday(day: date) -> bool:
    return day.day == _weekday_near(day, _length(day))


def _weekday_near(day: date, near: int) -> int:
    """Return the day of Monday to Friday that is nearest to `near`, within the month."""
    length = _length(day)
    if near > length:
        return 0  # this month has no such day
    match day.replace(day=near).isoweekday():
        case 6:
            return near - 1 if near > 1 else 3
        case 7:
            return near + 1 if near < length else near - 2
        case _:
            return near
