"""Which settings an event source mapping may have, by its source, with AWS's messages.

The service model knows one shape for every source; what applies to which, and what must be
there, is here. Messages that were never recorded follow the wording of those that were.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict

from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.event_conditions import BadPattern
from lambdabox.domain.event_filters import Leaf, compile_pattern
from lambdabox.domain.mappings import MappingSettings, SourceKind, is_fifo

FILTERS = 5
FIFO_BATCH = 10
UNWINDOWED_BATCH = 10
LEAST_RECORD_AGE_SECONDS = 60

_SQS = frozenset({SourceKind.SQS})
_STREAMS = frozenset({SourceKind.KINESIS, SourceKind.DYNAMODB})
_KAFKA = frozenset({SourceKind.MSK, SourceKind.KAFKA})
_MQ = frozenset({SourceKind.MQ})
_DOCUMENTDB = frozenset({SourceKind.DOCUMENTDB})

_APPLIES: Mapping[str, tuple[str, Collection[SourceKind]]] = {
    "response_types": ("FunctionResponseTypes", _SQS | _STREAMS | _KAFKA),
    "maximum_concurrency": ("ScalingConfig", _SQS),
    "pollers": ("ProvisionedPollerConfig", _SQS | _KAFKA),
    "on_failure": ("DestinationConfig", _STREAMS | _KAFKA | _DOCUMENTDB),
    "starting_position": ("StartingPosition", _STREAMS | _KAFKA | _DOCUMENTDB),
    "starting_timestamp": ("StartingPositionTimestamp", _STREAMS | _KAFKA | _DOCUMENTDB),
    "parallelization_factor": ("ParallelizationFactor", _STREAMS),
    "bisects": ("BisectBatchOnFunctionError", _STREAMS | _KAFKA),
    "maximum_record_age_seconds": ("MaximumRecordAgeInSeconds", _STREAMS | _KAFKA),
    "maximum_retry_attempts": ("MaximumRetryAttempts", _STREAMS | _KAFKA),
    "tumbling_window_seconds": ("TumblingWindowInSeconds", _STREAMS),
    "topics": ("Topics", _KAFKA),
    "queues": ("Queues", _MQ),
    "source_access": ("SourceAccessConfigurations", _KAFKA | _MQ | _DOCUMENTDB),
    "consumer_group": ("ConsumerGroupId", _KAFKA),
    "consumption_mode": ("ConsumptionMode", frozenset({SourceKind.KAFKA})),
    "schema_registry": ("SchemaRegistryConfig", _KAFKA),
    "document_db": ("DocumentDBEventSourceConfig", _DOCUMENTDB),
}
_MAXIMUM_POLLERS = {SourceKind.SQS: 10_000, SourceKind.MSK: 2_000, SourceKind.KAFKA: 2_000}
_DATA_KEYS = {SourceKind.KINESIS: "data", SourceKind.DYNAMODB: "dynamodb"}


def check_settings(
    kind: SourceKind,
    source_arn: str | None,
    settings: MappingSettings,
    given: Mapping[str, object],
    *,
    now: float,
) -> None:
    """Raise InvalidParameterValueException for the first rule that is violated.

    `given` are the fields that the request sets: others may have values from before.
    """
    _check_position(kind, source_arn, settings, now)
    default = asdict(MappingSettings(batch_size=1))
    for field, (member, kinds) in _APPLIES.items():
        if given.get(field, default[field]) != default[field] and kind not in kinds:
            raise _refused(f"Unsupported {member} parameter for given event source mapping type.")
    _check_batch(kind, source_arn, settings)
    _check_limits(kind, settings)
    _check_broker(kind, settings)
    _check_destination(kind, settings.on_failure)
    _check_filters(kind, settings.filters)


def _check_position(
    kind: SourceKind, source_arn: str | None, settings: MappingSettings, now: float
) -> None:
    position, timestamp = settings.starting_position, settings.starting_timestamp
    if kind is SourceKind.SQS:
        if position is not None:
            raise _refused("StartingPosition is not valid for SQS event sources.")
        return
    if position is None and kind is not SourceKind.MQ:
        raise _refused(
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy "
            "constraint: Member must not be null."
        )
    if position == "AT_TIMESTAMP":
        if kind is SourceKind.DYNAMODB:
            raise _refused(f"Unsupported starting position for arn type: {source_arn}")
        if timestamp is None:
            raise _refused(
                "StartingPositionTimestamp must be given when StartingPosition is AT_TIMESTAMP."
            )
        if timestamp > now:
            raise _refused("StartingPositionTimestamp cannot be in the future.")
    elif timestamp is not None:
        raise _refused(
            "StartingPositionTimestamp is only valid when StartingPosition is AT_TIMESTAMP."
        )


def _check_batch(kind: SourceKind, source_arn: str | None, settings: MappingSettings) -> None:
    if kind is not SourceKind.SQS:
        return
    if is_fifo(source_arn):
        if settings.batch_size > FIFO_BATCH:
            raise _refused(
                f"Maximum batch size for FIFO queues is {FIFO_BATCH}, not {settings.batch_size}."
            )
        if settings.window_seconds:
            raise _refused("Batching window is not supported for FIFO queues.")
    elif settings.batch_size > UNWINDOWED_BATCH and not settings.window_seconds:
        raise _refused(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is "
            f"greater than {UNWINDOWED_BATCH}"
        )


def _check_limits(kind: SourceKind, settings: MappingSettings) -> None:
    if 0 <= settings.maximum_record_age_seconds < LEAST_RECORD_AGE_SECONDS:
        raise _refused(
            f"MaximumRecordAgeInSeconds must be -1 or at least {LEAST_RECORD_AGE_SECONDS}, not "
            f"{settings.maximum_record_age_seconds}."
        )
    pollers = settings.pollers
    if pollers is None:
        return
    if settings.maximum_concurrency is not None:
        raise _refused("ScalingConfig and ProvisionedPollerConfig cannot be used together.")
    minimum, maximum = pollers.minimum, pollers.maximum
    if kind is SourceKind.SQS and minimum is not None and minimum < 2:
        raise _refused(f"MinimumPollers must be at least 2 for SQS, not {minimum}.")
    limit = _MAXIMUM_POLLERS.get(kind, 0)
    if maximum is not None and maximum > limit:
        raise _refused(f"MaximumPollers must be at most {limit}, not {maximum}.")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise _refused("MinimumPollers must not be greater than MaximumPollers.")


def _check_broker(kind: SourceKind, settings: MappingSettings) -> None:
    if kind.is_kafka and not settings.topics:
        raise _refused("Topics must be given for Kafka event sources.")
    types = {access.type for access in settings.source_access}
    if kind is SourceKind.MQ:
        if not settings.queues:
            raise _refused("Queues must be given for Amazon MQ event sources.")
        if "BASIC_AUTH" not in types:
            raise _refused(
                "SourceAccessConfigurations must have an entry of type BASIC_AUTH for Amazon MQ "
                "event sources."
            )
    if kind is SourceKind.DOCUMENTDB:
        if settings.document_db is None or not settings.document_db.database:
            raise _refused("DatabaseName must be given for DocumentDB event sources.")
        if "BASIC_AUTH" not in types:
            raise _refused(
                "SourceAccessConfigurations must have an entry of type BASIC_AUTH for DocumentDB "
                "event sources."
            )


def _check_destination(kind: SourceKind, arn: str | None) -> None:
    if arn is None:
        return
    parts = arn.split(":")
    is_known = len(parts) > 2 and parts[2] in ("sqs", "sns", "s3")
    if not is_known and not (kind.is_kafka and arn.startswith("kafka://")):
        raise _refused(
            "The provided destination config DestinationConfig(onSuccess=null, onFailure="
            f"OnFailure(destination={arn})) is invalid."
        )


def _check_filters(kind: SourceKind, filters: Collection[str]) -> None:
    if len(filters) > FILTERS:
        raise _refused(f"An event source mapping can have at most {FILTERS} filters.")
    data = _DATA_KEYS.get(kind)
    for text in filters:
        try:
            pattern = compile_pattern(text)
        except BadPattern as exc:
            raise _refused("Invalid filter pattern definition.") from exc
        # What streams carry is JSON or is dropped, so a pattern of plain text matches nothing.
        if data is not None and isinstance(pattern.fields.members.get(data), Leaf):
            raise _refused("Invalid filter pattern definition.")


def _refused(message: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(message)
