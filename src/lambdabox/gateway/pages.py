"""The form of what the node answers for itself: JSON, with a message where something is wrong."""

from typing import Any

import orjson

from lambdabox.api.serialize import WireResponse


def json_page(status: int, body: dict[str, Any]) -> WireResponse:
    return WireResponse(status, [(b"content-type", b"application/json")], orjson.dumps(body))
