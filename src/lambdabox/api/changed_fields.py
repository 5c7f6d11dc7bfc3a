"""What a request changes: from members in the API's spelling to fields of a settings value.

A request names only some settings. Which field each member is, and what becomes of its value,
is a table of the module that knows both.
"""

from collections.abc import Callable, Mapping
from typing import Any

Fields = Mapping[str, tuple[str, Callable[[Any], Any]]]
"""A field and how its value is made, by the member's name."""


def changed_fields(parameters: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Return the fields that `parameters` set, with their new values."""
    return {
        field: convert(parameters[member])
        for member, (field, convert) in fields.items()
        if member in parameters
    }
