"""Markers: opaque to clients, a place in a list to us."""

import base64
import binascii
from typing import Any

import orjson

from lambdabox.domain import limits
from lambdabox.domain.errors import InvalidParameterValueException


def page_size(requested: int | None) -> int:
    """Lists hold at most 50 items a page, whatever the client asks for."""
    return min(requested or limits.PAGE_ITEMS, limits.PAGE_ITEMS)


def write_marker(*place: str | int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode()


def read_marker(marker: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """Return the place a marker holds. Raises InvalidParameterValueException for one not ours."""
    if not marker:
        return None
    try:
        place = orjson.loads(base64.urlsafe_b64decode(marker.encode()))
    except (ValueError, binascii.Error):
        place = None
    fits = isinstance(place, list) and len(place) == len(kinds)
    if not fits or not all(_is_part(item, kind) for item, kind in zip(place, kinds, strict=True)):
        raise InvalidParameterValueException(
            "Invalid Marker: pass on the NextMarker as it was given."
        )
    return tuple(place)


def _is_part(item: Any, kind: type) -> bool:
    # A forged number must fit the column it is compared with.
    return type(item) is kind and (not isinstance(item, int) or 0 <= item < 2**31)
