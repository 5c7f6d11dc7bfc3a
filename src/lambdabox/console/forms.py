"""Read what pages send: forms, JSON and files, each no larger than it may be.

Files come as a request's whole body, so there is one simple form of encoding to read.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lambdabox.domain.errors import InvalidParameterValueException

FORM_BYTES = 8 * 1024 * 1024
"""An event of 6 MB, and the rest."""

_FORM = "application/x-www-form-urlencoded"
_MAX_FIELDS = 1_000


class Form(Mapping[str, str]):
    """A form's fields; of those with one name the last counts, or `all` of them."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name][-1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def all(self, name: str) -> list[str]:
        return self._fields.get(name, [])

    def text(self, name: str) -> str:
        """Return a field without the space around it; empty if there is none."""
        return self.get(name, "").strip()


def number(form: Form, field: str, title: str) -> int:
    """Return a field as a whole number. Raises InvalidParameterValueException for what is none."""
    text = form.text(field)
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise InvalidParameterValueException(f"{title} is a whole number, not {text[:40]!r}.")
    return int(text)


async def read_form(request: Request) -> Form:
    """Return the request's form, an empty one if it carries none."""
    if not hasattr(request.state, "form"):
        is_form = request.headers.get("content-type", "").partition(";")[0].strip() == _FORM
        body = await read_body(request, FORM_BYTES) if is_form else b""
        request.state.form = _parsed(body)
    form: Form = request.state.form
    return form


async def read_json(request: Request, limit: int) -> dict[str, object]:
    """Return the object that the body is. Raises InvalidParameterValueException for another."""
    try:
        value = orjson.loads(await read_body(request, limit))
    except orjson.JSONDecodeError as exc:
        raise InvalidParameterValueException(f"The request is not JSON: {exc}.") from exc
    if not isinstance(value, dict):
        raise InvalidParameterValueException("The request is not a JSON object.")
    return value


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body. Above `limit` bytes no more is read, and the answer is 413."""
    parts, total = [], 0
    async for part in request.stream():
        total += len(part)
        if total > limit:
            raise HTTPException(413, f"What was sent is larger than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)


def _parsed(body: bytes) -> Form:
    try:
        text = body.decode()
        return Form(parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS))
    except ValueError as exc:
        raise HTTPException(400, f"The form cannot be read: {exc}.") from exc
