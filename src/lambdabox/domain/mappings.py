"""Event source mappings: what is polled, for which function, and how.

A mapping's state says what was asked for last. A request stores one of the states on the
way, and whoever polls moves the mapping on when that is in effect, so that a restart in
between goes on where it stopped.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from lambdabox.domain.arn import FunctionKey, FunctionReference, Scope
from lambdabox.domain.values import dataclass

MAPPING_CHANGED = "event-source-mapping-changed"
"""A bus topic; its subject is the mapping's ARN."""

NO_RECORDS = "No records processed"
PARTIAL_FAILURES = "ReportBatchItemFailures"


class SourceKind(StrEnum):
    SQS = "SQS"
    KINESIS = "Kinesis"
    DYNAMODB = "DynamoDB"
    MSK = "MSK"
    KAFKA = "Kafka"
    MQ = "MQ"
    DOCUMENTDB = "DocumentDB"

    @property
    def is_stream(self) -> bool:
        return self in (SourceKind.KINESIS, SourceKind.DYNAMODB)

    @property
    def is_kafka(self) -> bool:
        return self in (SourceKind.MSK, SourceKind.KAFKA)


class MappingState(StrEnum):
    CREATING = "Creating"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    UPDATING = "Updating"
    DISABLING = "Disabling"
    DISABLED = "Disabled"
    DELETING = "Deleting"

    @property
    def is_settled(self) -> bool:
        return self in (MappingState.ENABLED, MappingState.DISABLED)


@dataclass(frozen=True, slots=True)
class SourceAccess:
    """How to authenticate to a broker, or where it is: a `type` and a secret's ARN or a name."""

    type: str
    uri: str


@dataclass(frozen=True, slots=True)
class ProvisionedPollers:
    minimum: int | None = None
    maximum: int | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentDbSource:
    database: str | None = None
    collection: str | None = None
    full_document: str | None = None


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """What a request sets. A member that does not apply to the source has its default."""

    batch_size: int
    is_enabled: bool = True
    window_seconds: int | None = None
    """None stands for the half second of brokers."""
    filters: tuple[str, ...] = ()
    """JSON text; a record that any of them matches gets through, and every one if there is none."""
    response_types: tuple[str, ...] = ()
    maximum_concurrency: int | None = None
    pollers: ProvisionedPollers | None = None
    on_failure: str | None = None
    starting_position: str | None = None
    starting_timestamp: float | None = None
    parallelization_factor: int = 1
    bisects: bool = False
    maximum_record_age_seconds: int = -1
    maximum_retry_attempts: int = -1
    tumbling_window_seconds: int = 0
    topics: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    source_access: tuple[SourceAccess, ...] = ()
    bootstrap_servers: tuple[str, ...] = ()
    consumer_group: str | None = None
    consumption_mode: str | None = None
    schema_registry: Mapping[str, Any] | None = None
    document_db: DocumentDbSource | None = None
    kms_key_arn: str | None = None
    metrics: tuple[str, ...] = ()
    log_level: str | None = None

    @property
    def reports_failures(self) -> bool:
        """Whether the function says which records of a batch have failed."""
        return PARTIAL_FAILURES in self.response_types


@dataclass(frozen=True, slots=True)
class EventSourceMapping:
    id: str
    function_arn: str
    """Qualified if the request was."""
    source_arn: str | None
    """None for Kafka of one's own, which `bootstrap_servers` names."""
    kind: SourceKind
    settings: MappingSettings
    state: MappingState
    last_modified: float
    last_result: str = NO_RECORDS

    @property
    def scope(self) -> Scope:
        parts = self.function_arn.split(":")
        return Scope(parts[4], parts[3])

    @property
    def arn(self) -> str:
        return mapping_arn(self.scope, self.id)

    @property
    def function(self) -> FunctionReference:
        parts = self.function_arn.split(":")
        key = FunctionKey(parts[4], parts[3], parts[6])
        return FunctionReference(key, parts[7] if len(parts) > 7 else None)

    @property
    def source_scope(self) -> Scope:
        """Whose queue or stream it is: perhaps another account's."""
        parts = (self.source_arn or self.function_arn).split(":")
        return Scope(parts[4], parts[3])

    @property
    def is_fifo(self) -> bool:
        return self.kind is SourceKind.SQS and is_fifo(self.source_arn)

    def settled(self) -> "EventSourceMapping | None":
        """Return what the mapping is once its request is in effect; None if it is gone."""
        if self.state is MappingState.DELETING:
            return None
        is_enabled = self.settings.is_enabled
        return replace(self, state=MappingState.ENABLED if is_enabled else MappingState.DISABLED)


def mapping_arn(scope: Scope, id: str) -> str:
    return f"arn:aws:lambda:{scope.region}:{scope.account}:event-source-mapping:{id}"


def is_fifo(source_arn: str | None) -> bool:
    return bool(source_arn and source_arn.endswith(".fifo"))


def kind_of(source_arn: str | None) -> SourceKind | None:
    """Return what an ARN names, if it can be polled."""
    parts = (source_arn or "").split(":", 5)
    if len(parts) < 6:
        return None
    service, resource = parts[2], parts[5]
    start = _RESOURCES.get(service)
    if start is None or not resource.startswith(start[1]):
        return None
    if service == "dynamodb" and "/stream/" not in resource:
        return None
    return start[0]


_RESOURCES = {
    "sqs": (SourceKind.SQS, ""),
    "kinesis": (SourceKind.KINESIS, "stream/"),
    "dynamodb": (SourceKind.DYNAMODB, "table/"),
    "kafka": (SourceKind.MSK, "cluster/"),
    "mq": (SourceKind.MQ, "broker:"),
    "rds": (SourceKind.DOCUMENTDB, "cluster:"),
}


def default_settings(kind: SourceKind) -> MappingSettings:
    if kind is SourceKind.SQS:
        return MappingSettings(batch_size=10, window_seconds=0)
    return MappingSettings(batch_size=100, window_seconds=0 if kind.is_stream else None)


def transition(before: MappingSettings, after: MappingSettings) -> MappingState:
    """Return the state that a change of settings puts a mapping in."""
    if before.is_enabled == after.is_enabled:
        return MappingState.UPDATING
    return MappingState.ENABLING if after.is_enabled else MappingState.DISABLING
