"""Match the service model's patterns, which are written for Java, with Python's engine.

The two differ in what `.` leaves out, in `\\p{…}`, and in what `\\d`, `\\w` and `\\s` hold
beyond ASCII. A pattern has to match the whole value. Values come from strangers: length
is checked before a pattern is tried, and past `MAX_MATCHED_CHARS` none is.
"""

import re
from functools import cache

MAX_MATCHED_CHARS = 65_536

_JAVA_DOT = r"[^\n\r\u0085\u2028\u2029]"
_SEPARATORS = r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Python knows letters and numbers only together, as \w, which adds the underscore.
# The model's patterns always name all of these at once, next to the underscore.
_LETTERS_SEPARATORS_NUMBERS = r"\p{L}\p{Z}\p{N}_"
_TOKEN = re.compile(r"\\[dswDSW]-|\\.|\[\^?\]?|\]|\.", re.DOTALL)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """`pattern` for Python. Raises `re.error` for what cannot be carried over."""
    unicode_classes = pattern.replace(_LETTERS_SEPARATORS_NUMBERS, r"\w" + _SEPARATORS)
    flags = re.ASCII if unicode_classes == pattern else re.UNICODE
    return re.compile(_carry_over(unicode_classes), flags)


def matches(pattern: str, value: str) -> bool:
    return len(value) <= MAX_MATCHED_CHARS and compiled(pattern).fullmatch(value) is not None


def _carry_over(pattern: str) -> str:
    """Make `.` mean Java's, and `-` after a class such as `\\w` literal, as it is in Java."""
    in_class = False

    def replaced(token: re.Match[str]) -> str:
        nonlocal in_class
        text = token.group()
        if text.startswith("[") and not in_class:
            in_class = True
        elif text == "]":
            in_class = False
        elif text == "." and not in_class:
            return _JAVA_DOT
        elif len(text) == 3:
            return text[:2] + r"\-"
        return text

    return _TOKEN.sub(replaced, pattern)
