"""The event that a function has of a change to an object, in S3's exact shape."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import orjson

from lambdabox.domain.arn import Scope
from lambdabox.events.s3_operations import Change


class Sequencer:
    """Numbers that grow, so that the events of one key can be put in order."""

    def __init__(self) -> None:
        self._last = 0

    def next(self, now: float) -> str:
        self._last = max(self._last + 1, int(now * 1e9))
        return f"{self._last:018X}"


def event_bytes(record: dict[str, Any]) -> bytes:
    return orjson.dumps({"Records": [record]})


def record_of(
    change: Change,
    *,
    bucket: str,
    owner: Scope,
    caller: str,
    source_ip: str,
    request_id: str,
    now: float,
    sequencer: str,
) -> dict[str, Any]:
    """Return the record of a change; what depends on who hears of it is added by `told_to`."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": owner.region,
        "eventTime": _time(now),
        "eventName": change.event,
        "userIdentity": {"principalId": f"AWS:{caller}"},
        "requestParameters": {"sourceIPAddress": source_ip},
        "responseElements": {
            "x-amz-request-id": request_id,
            "x-amz-id-2": base64.b64encode(hashlib.sha512(request_id.encode()).digest()).decode(),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": owner.account},
                "arn": f"arn:aws:s3:::{bucket}",
            },
            "object": _object(change, sequencer),
        },
    }


def told_to(record: dict[str, Any], configuration_id: str) -> dict[str, Any]:
    """Return the record for whom the configuration of this id is about."""
    return {**record, "s3": {**record["s3"], "configurationId": configuration_id}}


def _object(change: Change, sequencer: str) -> dict[str, Any]:
    known = {"size": change.size, "eTag": change.etag, "versionId": change.version_id}
    return {
        "key": quote_plus(change.key, safe="/"),
        **{name: value for name, value in known.items() if value is not None},
        "sequencer": sequencer,
    }


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
