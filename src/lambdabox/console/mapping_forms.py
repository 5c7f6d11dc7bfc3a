"""The settings of an event source mapping, from a form: to make one and to change one.

A field that a form does not have is not sent, so that a form shows what its source knows.
"""

import json
from collections.abc import Mapping
from typing import Any

from lambdabox.console.forms import Form, number
from lambdabox.domain.errors import InvalidParameterValueException

_NUMBERS = (
    ("batch", "BatchSize", "The batch size"),
    ("window", "MaximumBatchingWindowInSeconds", "The batch window"),
    ("parallel", "ParallelizationFactor", "Batches at once"),
)
_SIGNED = (
    ("retries", "MaximumRetryAttempts", "Retries"),
    ("age", "MaximumRecordAgeInSeconds", "The age of a record"),
)


def mapping_settings(form: Form) -> dict[str, Any]:
    """Return the members of CreateEventSourceMapping and UpdateEventSourceMapping."""
    settings: dict[str, Any] = {
        member: number(form, field, title) for field, member, title in _NUMBERS if form.text(field)
    }
    for field, member, title in _SIGNED:
        if field in form:  # empty is as many, and as old, as there are
            settings[member] = number(form, field, title) if form.text(field) else -1
    if "filters" in form:
        patterns = [{"Pattern": pattern} for pattern in patterns_of(form["filters"])]
        settings["FilterCriteria"] = {"Filters": patterns}
    if "concurrency" in form:
        at_once = form.text("concurrency")
        most = number(form, "concurrency", "Maximum concurrency") if at_once else None
        settings["ScalingConfig"] = {"MaximumConcurrency": most} if most is not None else {}
    if "has_partial" in form:
        is_partial = form.text("partial") == "on"
        settings["FunctionResponseTypes"] = ["ReportBatchItemFailures"] if is_partial else []
    if "has_bisect" in form:
        settings["BisectBatchOnFunctionError"] = form.text("bisect") == "on"
    if "on_failure" in form:
        target = form.text("on_failure")
        settings["DestinationConfig"] = {"OnFailure": {"Destination": target}} if target else {}
    if "has_enabled" in form:
        settings["Enabled"] = form.text("enabled") == "on"
    return settings


def patterns_of(text: str) -> list[str]:
    """Return the JSON objects of a text, one after the other, as they were written."""
    found, decoder, rest = [], json.JSONDecoder(), text.strip()
    while rest:
        try:
            _, end = decoder.raw_decode(rest)
        except (json.JSONDecodeError, RecursionError) as exc:
            raise InvalidParameterValueException(
                f'The filter is not JSON: {exc}. It looks like {{"body": {{"kind": ["paid"]}}}}.'
            ) from exc
        found.append(rest[:end])
        rest = rest[end:].lstrip(" \t\r\n,")
    return found


def family_of(mapping: Mapping[str, Any]) -> str:
    """Return which settings a mapping's source knows: of `sqs`, `stream`, `kafka` or `mq`."""
    arn = mapping.get("EventSourceArn") or ""
    service = arn.split(":")[2] if arn else "kafka"
    return {"sqs": "sqs", "kinesis": "stream", "dynamodb": "stream", "mq": "mq"}.get(
        service, "kafka"
    )
