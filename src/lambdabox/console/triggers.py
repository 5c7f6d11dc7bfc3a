"""What leads to a function and what follows it, for the drawing of source → function → outcome."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

_SERVICES = {
    "s3.amazonaws.com": "S3",
    "sns.amazonaws.com": "SNS",
    "events.amazonaws.com": "EventBridge",
    "scheduler.amazonaws.com": "Schedule",
    "apigateway.amazonaws.com": "API Gateway",
    "logs.amazonaws.com": "Logs",
    "sqs.amazonaws.com": "SQS",
}


@dataclass(frozen=True, slots=True)
class End:
    """One end of the drawing."""

    kind: str
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sources:
    before: Sequence[End]
    after: Sequence[End]


def sources_of(
    mappings: Sequence[Mapping[str, Any]],
    policy: str | None,
    url: Mapping[str, Any] | None,
    asynchronous: Mapping[str, Any] | None,
) -> Sources:
    """Return both ends, from what the operations of the API answer."""
    before = [_of_mapping(mapping) for mapping in mappings]
    before += _of_policy(policy) if policy else ()
    if url is not None:
        before.append(End("URL", url["FunctionUrl"], url["AuthType"]))
    destinations = (asynchronous or {}).get("DestinationConfig") or {}
    after = [
        End(title, destinations[kind]["Destination"])
        for kind, title in (("OnSuccess", "On success"), ("OnFailure", "On failure"))
        if (destinations.get(kind) or {}).get("Destination")
    ]
    return Sources(before, after)


def _of_mapping(mapping: Mapping[str, Any]) -> End:
    arn = mapping.get("EventSourceArn") or ""
    service = arn.split(":")[2].upper() if arn else "Kafka"
    # An ARN of a function has seven parts; the eighth is the version or alias that it leads to.
    qualifier = "".join(mapping["FunctionArn"].split(":")[7:])
    detail = f"{mapping['State']}, for {qualifier}" if qualifier else mapping["State"]
    return End(service, arn or ", ".join(mapping.get("Topics") or ()), detail)


def _of_policy(document: str) -> Iterator[End]:
    for statement in orjson.loads(document)["Statement"]:
        principal = statement.get("Principal")
        service = principal.get("Service") if isinstance(principal, dict) else None
        if isinstance(service, str):
            yield End(_SERVICES.get(service, service), _source_arn(statement), "may invoke")


def _source_arn(statement: Mapping[str, Any]) -> str:
    for condition in (statement.get("Condition") or {}).values():
        for name, value in condition.items():
            if name.lower() == "aws:sourcearn":
                return str(value)
    return "any"
