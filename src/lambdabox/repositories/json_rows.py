"""Rows as one JSON text, for statements that look for many at a time with json_each."""

from collections.abc import Sequence
from typing import Any

import orjson


def as_json(rows: Sequence[Sequence[Any]]) -> str:
    return orjson.dumps(rows).decode()
