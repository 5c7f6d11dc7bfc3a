"""Refuse payloads that are not JSON, in the words AWS uses.

Lambda's front end is a Java service, and clients see its parser's complaints. A payload
that parses costs one pass of a fast parser; the wording is worked out only for one that
does not.
"""

import json
from typing import NoReturn

import orjson

from lambdabox.domain.errors import InvalidRequestContentException

_SOURCE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"
_A_VALUE = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_PREFIX = "Could not parse request body into json: Could not parse payload into json: "
_TOKEN_CHARS = 256
_LOOKED_BACK_CHARS = 65_536
"""How far the wording of a complaint is worth looking for."""


def check_json(text: bytes) -> None:
    """Raise InvalidRequestContentException unless `text` is one JSON value."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        _check_slowly(text)


def _check_slowly(text: bytes) -> None:
    # The fast parser refuses a few things that Java's accepts, such as lone surrogates.
    try:
        decoded = text.decode()
    except UnicodeDecodeError as exc:
        _refuse_bytes(text, exc.start)
    try:
        json.loads(decoded, parse_constant=_refuse_constant)
    except json.JSONDecodeError as exc:
        raise InvalidRequestContentException(_PREFIX + _complaint(decoded, exc)) from None
    except RecursionError:
        raise InvalidRequestContentException(
            _PREFIX + "Document nesting depth exceeds the maximum allowed"
        ) from None
    except ValueError as exc:  # a constant such as NaN, or a number of too many digits
        raise InvalidRequestContentException(f"{_PREFIX}{exc}") from None


def _refuse_bytes(text: bytes, position: int) -> NoReturn:
    byte = text[position]
    if text[:position].strip(b" \t\r\n"):
        complaint = f"Invalid UTF-8 start byte 0x{byte:x}"
    else:
        complaint = (
            f"Unexpected character ((CTRL-CHAR, code {byte})): expected a valid value {_A_VALUE}"
        )
    place = _place(text[:position].decode("latin-1"), position)
    raise InvalidRequestContentException(f"{_PREFIX}{complaint}\n at {place}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Non-standard token '{name}': a JSON number was expected")


def _complaint(text: str, error: json.JSONDecodeError) -> str:
    position = error.pos
    match error.msg.split(" ")[0:2]:
        case ["Unterminated", _]:
            what = "Unexpected end-of-input: was expecting closing quote for a string value"
            position = len(text)
        case _ if position >= len(text):
            what = "Unexpected end-of-input"
        case ["Invalid", "control"]:
            what = (
                f"Illegal unquoted character {_shown(text[position])}: has to be escaped using "
                "backslash to be included in string value"
            )
        case ["Invalid", _]:
            what = f"Unrecognized character escape {_shown(text[min(position + 1, len(text) - 1)])}"
        case ["Expecting", "property"] | ["Illegal", _]:
            what = _unexpected(text, position, "was expecting double-quote to start field name")
        case ["Expecting", "':'"]:
            wanted = "was expecting a colon to separate field name and value"
            what = _unexpected(text, position, wanted)
        case ["Expecting", "','"]:
            wanted = f"was expecting comma to separate {_container(text, position)} entries"
            what = _unexpected(text, position, wanted)
        case _:
            what, position = _no_value(text, position)
    return f"{what}\n at {_place(text, position)}"


def _no_value(text: str, position: int) -> tuple[str, int]:
    end = position
    while (
        end < len(text)
        and end - position < _TOKEN_CHARS
        and (text[end].isalnum() or text[end] in "_$")
    ):
        end += 1
    if end > position and not text[position].isdigit():
        return f"Unrecognized token '{text[position:end]}': was expecting {_A_VALUE}", end
    return _unexpected(text, position, f"expected a valid value {_A_VALUE}"), position


def _unexpected(text: str, position: int, wanted: str) -> str:
    return f"Unexpected character {_shown(text[position])}: {wanted}"


def _shown(character: str) -> str:
    code = ord(character)
    if code < 32:
        return f"((CTRL-CHAR, code {code}))"
    return f"('{character}' (code {code}))"


def _container(text: str, position: int) -> str:
    """Return what encloses `position`: text before it is well-formed as far as it goes."""
    depth, in_string, index = 0, False, position - 1
    furthest = max(position - _LOOKED_BACK_CHARS, 0)
    while index >= furthest:
        character = text[index]
        if character == '"' and not _is_escaped(text, index):
            in_string = not in_string
        elif not in_string and character in "}]":
            depth += 1
        elif not in_string and character in "{[":
            if not depth:
                return "Object" if character == "{" else "Array"
            depth -= 1
        index -= 1
    return "Object"


def _is_escaped(text: str, index: int) -> bool:
    backslashes = 0
    while index - backslashes > 0 and text[index - backslashes - 1] == "\\":
        backslashes += 1
    return backslashes % 2 == 1


def _place(text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return f"{_SOURCE}; line: {line}, column: {column}]"
