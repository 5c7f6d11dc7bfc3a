"""Event source mappings between the API's spelling and the platform's.

What a mapping shows depends on its source: AWS leaves out what does not apply to a queue, and
shows every default of a stream.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambdabox.api.changed_fields import Fields, changed_fields
from lambdabox.domain.mappings import (
    NO_RECORDS,
    DocumentDbSource,
    EventSourceMapping,
    MappingSettings,
    ProvisionedPollers,
    SourceAccess,
    SourceKind,
)

Members = Mapping[str, Any]


def changes(parameters: Members) -> dict[str, Any]:
    """Return the fields of MappingSettings that `parameters` set, with their new values."""
    changed = changed_fields(parameters, _FIELDS)
    for member in ("AmazonManagedKafkaEventSourceConfig", "SelfManagedKafkaEventSourceConfig"):
        changed.update(_kafka(parameters.get(member, {})))
    return changed


def _kafka(value: Members) -> dict[str, Any]:
    names = {
        "ConsumerGroupId": "consumer_group",
        "SchemaRegistryConfig": "schema_registry",
        "ConsumptionMode": "consumption_mode",
    }
    return {field: value[name] for name, field in names.items() if name in value}


def _access(value: list[Members]) -> tuple[SourceAccess, ...]:
    return tuple(SourceAccess(item.get("Type", ""), item.get("URI", "")) for item in value)


def _pollers(value: Members) -> ProvisionedPollers | None:
    if not value:
        return None
    return ProvisionedPollers(
        value.get("MinimumPollers"), value.get("MaximumPollers"), value.get("PollerGroupName")
    )


def _document_db(value: Members) -> DocumentDbSource:
    return DocumentDbSource(
        value.get("DatabaseName"), value.get("CollectionName"), value.get("FullDocument")
    )


_FIELDS: Fields = {
    "Enabled": ("is_enabled", bool),
    "BatchSize": ("batch_size", int),
    "MaximumBatchingWindowInSeconds": ("window_seconds", int),
    "FilterCriteria": (
        "filters",
        lambda value: tuple(item.get("Pattern", "") for item in value.get("Filters", ())),
    ),
    "FunctionResponseTypes": ("response_types", tuple),
    "ScalingConfig": ("maximum_concurrency", lambda value: value.get("MaximumConcurrency")),
    "ProvisionedPollerConfig": ("pollers", _pollers),
    "DestinationConfig": (
        "on_failure",
        lambda value: value.get("OnFailure", {}).get("Destination") or None,
    ),
    "StartingPosition": ("starting_position", str),
    "StartingPositionTimestamp": ("starting_timestamp", datetime.timestamp),
    "ParallelizationFactor": ("parallelization_factor", int),
    "BisectBatchOnFunctionError": ("bisects", bool),
    "MaximumRecordAgeInSeconds": ("maximum_record_age_seconds", int),
    "MaximumRetryAttempts": ("maximum_retry_attempts", int),
    "TumblingWindowInSeconds": ("tumbling_window_seconds", int),
    "Topics": ("topics", tuple),
    "Queues": ("queues", tuple),
    "SourceAccessConfigurations": ("source_access", _access),
    "SelfManagedEventSource": (
        "bootstrap_servers",
        lambda value: tuple(value.get("Endpoints", {}).get("KAFKA_BOOTSTRAP_SERVERS", ())),
    ),
    "DocumentDBEventSourceConfig": ("document_db", _document_db),
    "KMSKeyArn": ("kms_key_arn", lambda value: value or None),
    "MetricsConfig": ("metrics", lambda value: tuple(value.get("Metrics", ()))),
    "LoggingConfig": ("log_level", lambda value: value.get("SystemLogLevel")),
}


def configuration(mapping: EventSourceMapping) -> dict[str, Any]:
    """Return the EventSourceMappingConfiguration of a mapping."""
    settings = mapping.settings
    return {
        "UUID": mapping.id,
        "EventSourceMappingArn": mapping.arn,
        "EventSourceArn": mapping.source_arn,
        "FunctionArn": mapping.function_arn,
        "LastModified": datetime.fromtimestamp(mapping.last_modified, UTC),
        "State": mapping.state.value,
        "StateTransitionReason": "User action" if mapping.kind.is_stream else "USER_INITIATED",
        "BatchSize": settings.batch_size,
        "MaximumBatchingWindowInSeconds": settings.window_seconds,
        "FilterCriteria": _filters(settings),
        "KMSKeyArn": settings.kms_key_arn,
        "MetricsConfig": {"Metrics": list(settings.metrics)} if settings.metrics else None,
        "LoggingConfig": {"SystemLogLevel": settings.log_level} if settings.log_level else None,
        "ProvisionedPollerConfig": _shown_pollers(settings.pollers),
        **_special(mapping),
    }


def _special(mapping: EventSourceMapping) -> dict[str, Any]:
    """Return the members that only some sources have."""
    settings, kind = mapping.settings, mapping.kind
    access = [{"Type": item.type, "URI": item.uri} for item in settings.source_access]
    match kind:
        case SourceKind.SQS:
            maximum = settings.maximum_concurrency
            return {
                "FunctionResponseTypes": list(settings.response_types),
                "ScalingConfig": None if maximum is None else {"MaximumConcurrency": maximum},
                # Not on AWS, where queues do not vanish with a process: only while one is missed.
                "LastProcessingResult": (
                    None if mapping.last_result == NO_RECORDS else mapping.last_result
                ),
            }
        case SourceKind.KINESIS | SourceKind.DYNAMODB:
            return {
                **_positioned(mapping),
                **_retried(settings),
                "ParallelizationFactor": settings.parallelization_factor,
                "TumblingWindowInSeconds": settings.tumbling_window_seconds,
            }
        case SourceKind.MSK | SourceKind.KAFKA:
            return {
                **_positioned(mapping),
                **(_retried(settings) if settings.pollers else _destination(settings)),
                "Topics": list(settings.topics),
                "SourceAccessConfigurations": access or None,
                **_shown_kafka(mapping),
            }
        case SourceKind.MQ:
            return {
                "LastProcessingResult": mapping.last_result,
                "Queues": list(settings.queues),
                "SourceAccessConfigurations": access,
            }
        case SourceKind.DOCUMENTDB:
            return {
                **_positioned(mapping),
                "SourceAccessConfigurations": access,
                "DocumentDBEventSourceConfig": _shown_document_db(settings.document_db),
                **_destination(settings),
            }


def _positioned(mapping: EventSourceMapping) -> dict[str, Any]:
    timestamp = mapping.settings.starting_timestamp
    return {
        "StartingPosition": mapping.settings.starting_position,
        "StartingPositionTimestamp": (
            None if timestamp is None else datetime.fromtimestamp(timestamp, UTC)
        ),
        "LastProcessingResult": mapping.last_result,
    }


def _retried(settings: MappingSettings) -> dict[str, Any]:
    return {
        **_destination(settings),
        "FunctionResponseTypes": list(settings.response_types),
        "BisectBatchOnFunctionError": settings.bisects,
        "MaximumRecordAgeInSeconds": settings.maximum_record_age_seconds,
        "MaximumRetryAttempts": settings.maximum_retry_attempts,
    }


def _destination(settings: MappingSettings) -> dict[str, Any]:
    arn = settings.on_failure
    return {"DestinationConfig": {"OnFailure": {"Destination": arn} if arn else {}}}


def _filters(settings: MappingSettings) -> dict[str, Any] | None:
    if not settings.filters:
        return None
    return {"Filters": [{"Pattern": text} for text in settings.filters]}


def _shown_pollers(pollers: ProvisionedPollers | None) -> dict[str, Any] | None:
    if pollers is None:
        return None
    members = {
        "MinimumPollers": pollers.minimum,
        "MaximumPollers": pollers.maximum,
        "PollerGroupName": pollers.group,
    }
    return {name: value for name, value in members.items() if value is not None}


def _shown_kafka(mapping: EventSourceMapping) -> dict[str, Any]:
    settings = mapping.settings
    members = {
        "ConsumerGroupId": settings.consumer_group,
        "SchemaRegistryConfig": settings.schema_registry,
        "ConsumptionMode": settings.consumption_mode,
    }
    config = {name: value for name, value in members.items() if value is not None}
    if mapping.kind is SourceKind.MSK:
        return {"AmazonManagedKafkaEventSourceConfig": config}
    servers = list(settings.bootstrap_servers)
    return {
        "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": servers}},
        "SelfManagedKafkaEventSourceConfig": config,
    }


def _shown_document_db(source: DocumentDbSource | None) -> dict[str, Any] | None:
    if source is None:
        return None
    members = {
        "DatabaseName": source.database,
        "CollectionName": source.collection,
        "FullDocument": source.full_document,
    }
    return {name: value for name, value in members.items() if value is not None}
