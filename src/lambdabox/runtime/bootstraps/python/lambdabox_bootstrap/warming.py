"""Do once what the first event will do, so that its memory is touched and its code is warm."""

import json

from . import payloads


def warm() -> None:
    marshaller = payloads.Marshaller("")
    marshaller.decode(marshaller.encode({"warm": [1, 2.5, None, "é"]}))
    json.loads("{}")
