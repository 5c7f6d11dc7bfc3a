"""What leads to a function and what follows it, for the drawing of source → function → outcome.

An end knows what may be done with it: a mapping and a rule are switched off and on, a
notification is removed, a statement of the policy without a source stands below "Permissions".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from lambdabox.console.trigger_kinds.workbench import source_arn
from lambdabox.domain.function_sources import FunctionSource
from lambdabox.domain.http_apis import domain_name, is_api_id

_SERVICES = {
    "s3.amazonaws.com": "S3",
    "sns.amazonaws.com": "SNS",
    "events.amazonaws.com": "EventBridge",
    "scheduler.amazonaws.com": "Schedule",
    "apigateway.amazonaws.com": "API Gateway",
    "logs.amazonaws.com": "Logs",
    "sqs.amazonaws.com": "SQS",
}
_TITLES = {"s3": "S3", "sns": "SNS", "events": "EventBridge", "scheduler": "Schedule"}
_MAPPED = {
    "sqs": "SQS",
    "kinesis": "Kinesis",
    "dynamodb": "DynamoDB",
    "mq": "RabbitMQ",
    "kafka": "Kafka",
}


@dataclass(frozen=True, slots=True)
class End:
    """One end of the drawing."""

    kind: str
    name: str
    detail: str = ""
    """How it stands."""
    what: str = ""
    """What of it invokes the function."""
    qualifier: str = ""
    """The version or alias that it invokes."""
    is_enabled: bool | None = None
    """None for what is not switched off."""
    mapping: str = ""
    """The id of an event source mapping."""
    source: FunctionSource | None = field(default=None)
    api: str = ""
    """The id of an HTTP API."""


@dataclass(frozen=True, slots=True)
class Sources:
    before: Sequence[End]
    after: Sequence[End]


def sources_of(
    mappings: Sequence[Mapping[str, Any]],
    policy: str | None,
    url: Mapping[str, Any] | None,
    asynchronous: Mapping[str, Any] | None,
    *,
    others: Sequence[FunctionSource] = (),
    dead_letters: str = "",
    alias_policies: Mapping[str, str] = MappingProxyType({}),
    port: str = "",
) -> Sources:
    """Return both ends, from what the operations of the API answer and what the node keeps.

    `port` is the node's, for the addresses of APIs.
    """
    before = [_of_mapping(mapping) for mapping in mappings]
    before += [_of_source(source) for source in others]
    known = {source.arn for source in others}
    for qualifier, document in {**({"": policy} if policy else {}), **alias_policies}.items():
        before += [end for end in _of_policy(document, qualifier, port) if end.name not in known]
    if url is not None:
        before.append(End("URL", url["FunctionUrl"], url["AuthType"]))
    destinations = (asynchronous or {}).get("DestinationConfig") or {}
    after = [
        End(title, destinations[kind]["Destination"])
        for kind, title in (("OnSuccess", "On success"), ("OnFailure", "On failure"))
        if (destinations.get(kind) or {}).get("Destination")
    ]
    if dead_letters:
        after.append(End("Dead letters", dead_letters))
    return Sources(before, after)


def _of_mapping(mapping: Mapping[str, Any]) -> End:
    arn = mapping.get("EventSourceArn") or ""
    kind = _MAPPED.get(arn.split(":")[2], arn.split(":")[2]) if arn else "Kafka"
    state = mapping["State"]
    return End(
        kind,
        arn or ", ".join(mapping.get("Topics") or ()),
        state,
        what=mapping.get("LastProcessingResult") or "",
        qualifier=_qualifier(mapping["FunctionArn"]),
        is_enabled=state not in ("Disabled", "Disabling"),
        mapping=mapping.get("UUID") or "",
    )


def _of_source(source: FunctionSource) -> End:
    has_switch = source.service in ("events", "scheduler")
    return End(
        _TITLES.get(source.service, "Logs"),
        source.name,
        ("Enabled" if source.is_enabled else "Disabled") if has_switch else "",
        what=source.what,
        qualifier=_qualifier(source.function_arn),
        is_enabled=source.is_enabled if has_switch else None,
        source=source,
    )


def _qualifier(function_arn: str) -> str:
    # An ARN of a function has seven parts; the eighth is the version or alias that it leads to.
    return "".join(function_arn.split(":")[7:])


def _of_policy(document: str, qualifier: str, port: str) -> Iterator[End]:
    for statement in orjson.loads(document)["Statement"]:
        principal = statement.get("Principal")
        service = principal.get("Service") if isinstance(principal, dict) else None
        if isinstance(service, str):
            arn, kind = source_arn(statement), _SERVICES.get(service, service)
            api, address = _api(arn, port) if service == "apigateway.amazonaws.com" else ("", "")
            yield End(kind, arn or "any", "may invoke", address, qualifier=qualifier, api=api)


def _api(arn: str, port: str) -> tuple[str, str]:
    """Return the id of an API and where it answers, from the ARN of what may be invoked of it."""
    parts = arn.split(":", 5)
    api = parts[-1].split("/")[0]
    if len(parts) < 6 or parts[2] != "execute-api" or not is_api_id(api):
        return "", ""
    return api, f"http://{domain_name(api, parts[3])}{f':{port}' if port else ''}/"
