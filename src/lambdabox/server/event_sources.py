"""Build event source mappings and what polls for them."""

from functools import partial
from typing import TYPE_CHECKING

from lambdabox.backends.kafka import open_topics
from lambdabox.backends.rabbitmq import open_queue
from lambdabox.control.functions import Functions
from lambdabox.control.mapping_sources import MappingSources
from lambdabox.control.mappings import Mappings
from lambdabox.domain.mappings import EventSourceMapping, SourceKind
from lambdabox.events.batches import Batches
from lambdabox.events.broker_access import BrokerPlaces
from lambdabox.events.checkpoints import Checkpoint, Checkpoints
from lambdabox.events.dynamodb import DynamoDbSource
from lambdabox.events.failures import Failures
from lambdabox.events.kafka import KafkaPoller
from lambdabox.events.kinesis import KinesisSource
from lambdabox.events.pollers import Poller, Pollers, Report
from lambdabox.events.rabbitmq import RabbitMqPoller
from lambdabox.events.shards import ShardReader
from lambdabox.events.sqs import SqsPoller
from lambdabox.events.stream_batches import StreamBatches
from lambdabox.events.stream_source import StreamSource
from lambdabox.events.streams import StreamPoller
from lambdabox.events.unpolled import Unpolled
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.tags import TagRepository

if TYPE_CHECKING:
    from lambdabox.server.lambda_api import Core


def build_event_sources(core: "Core", functions: Functions) -> tuple[Mappings, Pollers]:
    records = AccountRecords(
        core.state,
        "event-source-mapping",
        EventSourceMapping,
        lookup=lambda mapping: mapping.function_arn,
    )
    batches = Batches(core.invoker, core.metrics, core.clock)
    checkpoints = Checkpoints(core.state)
    places = BrokerPlaces(core.settings.brokers, core.aws)

    def stream(mapping: EventSourceMapping, source: StreamSource, report: Report) -> StreamPoller:
        failures = Failures(mapping, core.destinations, core.clock)
        handler = StreamBatches(mapping, batches, failures, report, core.clock)

        def reader(checkpoint: Checkpoint, is_closed: bool) -> ShardReader:
            return ShardReader(
                mapping,
                checkpoint,
                is_closed=is_closed,
                source=source,
                checkpoints=checkpoints,
                handler=handler,
                batches=batches,
                report=report,
                clock=core.clock,
            )

        return StreamPoller(mapping, source, checkpoints, reader, report, core.clock)

    def make(mapping: EventSourceMapping, report: Report) -> Poller:
        match mapping.kind:
            case SourceKind.SQS:
                return SqsPoller(mapping, core.aws, batches, report, core.clock)
            case SourceKind.KINESIS:
                role = partial(batches.role, mapping)
                return stream(mapping, KinesisSource(mapping, core.aws, role), report)
            case SourceKind.DYNAMODB:
                return stream(mapping, DynamoDbSource(mapping, core.aws), report)
            case SourceKind.MQ:
                return RabbitMqPoller(mapping, places, open_queue, batches, report, core.clock)
            case SourceKind.MSK | SourceKind.KAFKA:
                failures = Failures(mapping, core.destinations, core.clock)
                return KafkaPoller(
                    mapping, places, open_topics, batches, failures, report, core.clock
                )
            case SourceKind.DOCUMENTDB:
                return Unpolled(mapping, report)

    sources = MappingSources(core.aws)
    mappings = Mappings(
        records, functions, sources, TagRepository(core.state), core.bus, core.clock
    )
    return mappings, Pollers(records, make, core.bus, core.clock)
