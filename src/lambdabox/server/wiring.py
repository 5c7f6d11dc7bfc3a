"""Build every object of a node once, by hand, from the bottom up.

The one place that knows which technology stands behind each port.
"""

import os
import secrets
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lambdabox.api.app import ServiceFrontEnd, scoped
from lambdabox.api.calls import ApiCalls
from lambdabox.api.code_links import CodeLinks
from lambdabox.api.logs import LogsOperations
from lambdabox.api.logs_subscriptions import SubscriptionOperations
from lambdabox.api.model import ServiceApi
from lambdabox.aws_ports import SigningKey
from lambdabox.backends import sqlite_queue
from lambdabox.backends.aws_services import BotoServices
from lambdabox.backends.bus import LocalBus
from lambdabox.backends.cipher import KeyFileCipher
from lambdabox.backends.clock import SystemClock
from lambdabox.backends.database import SqliteDatabase
from lambdabox.backends.files import FileBlobStore
from lambdabox.backends.neighbours import LocalNeighbours
from lambdabox.backends.s3_fetcher import S3Fetcher
from lambdabox.backends.sqlite_queue import TableQueue
from lambdabox.control.reconcile import FUNCTION_CHANGED, Reconciler
from lambdabox.domain.metrics import THROTTLES
from lambdabox.events.destinations import DestinationSender
from lambdabox.execution.local import LocalExecutor
from lambdabox.gateway.app import Gateway
from lambdabox.gateway.platform import PlatformPages
from lambdabox.gateway.relay import Relay
from lambdabox.gateway.url_signatures import UrlSignatures
from lambdabox.gateway.urls import UrlFrontEnd
from lambdabox.gateway.warm import WarmInvoke
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.asynchronous import AsyncIntake
from lambdabox.invoke.consumer import AsyncConsumer
from lambdabox.invoke.event_rules import RuleBook
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.resolve import Resolver
from lambdabox.isolation.namespaces import NamespaceDriver
from lambdabox.isolation.process import ProcessDriver
from lambdabox.repositories import journal_tables, tables
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.event_rules import EventRulesRepository
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.log_groups import LogGroups
from lambdabox.repositories.rows import VersionRows
from lambdabox.repositories.sums import Sums
from lambdabox.runtime.staging import Staging
from lambdabox.server.apis import build_apis
from lambdabox.server.config import Settings
from lambdabox.server.console import build_console
from lambdabox.server.engine import build_engine
from lambdabox.server.isolation import NONE, Isolation
from lambdabox.server.lambda_api import Core, Serve, build_lambda_api
from lambdabox.server.metrics import build_journal, build_metrics
from lambdabox.server.stacks import CloudFormation
from lambdabox.server.triggers import build_triggers
from lambdabox.telemetry.function_metrics import FunctionMetrics
from lambdabox.telemetry.journal import BufferedJournal
from lambdabox.telemetry.retention import RetentionSweeper
from lambdabox.telemetry.usage_queries import UsageQueries


@dataclass(frozen=True, slots=True)
class Parts:
    """What `node` runs and stops."""

    state: SqliteDatabase
    journal_database: SqliteDatabase
    journal: BufferedJournal
    queue: TableQueue
    driver: ProcessDriver | NamespaceDriver
    executor: LocalExecutor
    reconciler: Reconciler
    resolver: Resolver
    consumer: AsyncConsumer
    sweeper: RetentionSweeper
    services: tuple[Serve, ...]
    """What runs for the API's resources, once what runs functions does."""
    repository: FunctionRepository
    staging: Staging
    blobs: FileBlobStore
    gateway: Gateway
    warm_path: WarmInvoke


def build(
    settings: Settings,
    *,
    address: str,
    functions_address: str | None = None,
    isolation: Isolation = NONE,
) -> Parts:
    """Build a node that clients reach at `address` (host:port), and functions too if not given.

    Without a given `isolation` functions are plain processes.
    """
    data = settings.data_dir
    clock, bus = SystemClock(), LocalBus()

    state = SqliteDatabase(data / "state.db", "state", (tables.metadata, sqlite_queue.metadata))
    journal_database = SqliteDatabase(
        data / "journal.db", "journal", (journal_tables.metadata,), synchronous="NORMAL"
    )
    blobs = FileBlobStore(data / "blobs")
    queue = TableQueue(state, clock)
    cipher = KeyFileCipher(data / "environment.key")
    rows = VersionRows(cipher)
    repository = FunctionRepository(state, rows)
    aliases = AliasRepository(state, rows)
    journal, tracer = build_journal(settings, journal_database, clock)
    metrics = FunctionMetrics(journal)

    functions_url = settings.function_endpoint or f"http://{functions_address or address}"
    engine = build_engine(settings, isolation, blobs, journal, clock, functions_url=functions_url)
    executor = engine.executor
    reconciler = Reconciler(repository, executor, bus)
    ledger = LocalLedger(
        account_concurrency=settings.account_concurrency,
        requests_per_concurrency=settings.requests_per_concurrency,
        scaling_environments=settings.scaling_environments,
        idle_seconds=settings.idle_seconds,
        now=clock.monotonic,
        on_throttle=lambda deployment, _reason: metrics.add(
            deployment.key, THROTTLES, resource=deployment.version
        ),
    )
    resolver = Resolver(repository, aliases, bus, changes=FUNCTION_CHANGED)
    rules = RuleBook(EventRulesRepository(state), bus, changes=FUNCTION_CHANGED)
    invoker = Invoker(resolver, ledger, executor, rules, tracer)
    intake = AsyncIntake(queue, clock)
    aws = BotoServices(f"http://{address}")
    destinations = DestinationSender(aws, invoker, intake, clock)
    consumer = AsyncConsumer(
        queue,
        invoker,
        rules,
        destinations,
        metrics,
        clock,
        retry_delays=settings.async_retry_delays,
    )

    secret = _secret(data / "secret.key")
    links = CodeLinks(blobs, clock, secret=secret)

    neighbours = LocalNeighbours(settings.service_endpoints, _signing_key(settings))
    core = Core(
        settings=settings,
        state=state,
        blobs=blobs,
        objects=S3Fetcher(f"http://{address}"),
        aws=aws,
        destinations=destinations,
        clock=clock,
        bus=bus,
        repository=repository,
        aliases=aliases,
        reconciler=reconciler,
        executor=executor,
        ledger=ledger,
        invoker=invoker,
        intake=intake,
        links=links,
        usage=UsageQueries(journal_database, journal.flush, clock),
        metrics=metrics,
    )
    resources = build_lambda_api(core)
    triggers = build_triggers(core, resources.permissions, journal_database)
    apis, serve_apis = build_apis(core, triggers.apis, resources.permissions)
    counts = Counter[str]()
    figures = build_metrics(core, journal_database, journal, tracer, queue, executor, counts)
    relay = Relay(neighbours, {**triggers.interceptors, **figures.interceptors}, clock)
    cloudformation = CloudFormation(core, cipher, functions_url)

    def status() -> dict[str, Any]:
        return {
            "services": {"lambda": "ready", "logs": "ready", "cloudformation": "ready"},
            "neighbours": neighbours.status(),
            "isolation": engine.driver.name,
            "network": isolation.network,
            "lacks": list(isolation.lacks),
            "environments": executor.environment_count,
            "outcomes": {
                "delivered": destinations.delivered,
                "undelivered": destinations.failed,
            },
            "dropped": {
                "log_lines": journal.dropped_lines,
                "usage_records": journal.dropped_usages,
            },
        }

    lambda_api = ServiceApi.load("lambda")
    front_end = ServiceFrontEnd(lambda: lambda_api, resources.handlers)
    console = build_console(
        core,
        ApiCalls(lambda_api, resources.handlers),
        sources=triggers.sources,
        journal=journal_database,
        flush=journal.flush,
        interpreters=engine.interpreters,
        secret=secret,
    )
    gateway = Gateway(
        urls=UrlFrontEnd(
            resources.urls,
            resources.permissions,
            UrlSignatures(settings.access_keys, clock),
            invoker,
            clock,
        ),
        apis=apis,
        functions=front_end,
        logs=ServiceFrontEnd(
            partial(ServiceApi.load, "logs"),
            scoped(
                {
                    **LogsOperations(
                        journal_database,
                        journal.flush,
                        clock,
                        group_deleted=triggers.log_groups.forget,
                    ).handlers(),
                    **SubscriptionOperations(
                        triggers.log_groups, journal_database, journal.flush, clock
                    ).handlers(),
                }
            ),
        ),
        platform=PlatformPages(
            links,
            figures.pages,
            status,
            triggers.buckets.hear,
            cloudformation.answers.take,
        ),
        cloudformation=cloudformation,
        relay=relay,
        console=console,
        default_region=settings.region,
        allowed_origins=settings.allowed_origins,
        default_address=address,
        requests=counts,
    )
    warm_path = WarmInvoke(
        lambda_api,
        front_end,
        invoker,
        intake,
        clock,
        default_region=settings.region,
        requests=counts,
    )
    return Parts(
        state=state,
        journal_database=journal_database,
        journal=journal,
        queue=queue,
        driver=engine.driver,
        executor=executor,
        reconciler=reconciler,
        resolver=resolver,
        consumer=consumer,
        sweeper=RetentionSweeper(LogGroups(journal_database), Sums(journal_database), clock),
        services=(
            *figures.services,
            neighbours.serve,
            relay.serve,
            serve_apis,
            console.serve,
            *triggers.services,
            *resources.services,
            cloudformation.serve,
        ),
        repository=repository,
        staging=engine.staging,
        blobs=blobs,
        gateway=gateway,
        warm_path=warm_path,
    )


def _signing_key(settings: Settings) -> SigningKey | None:
    credentials = settings.endpoint_credentials
    return SigningKey(*credentials.split(":")) if credentials else None


def _secret(path: Path) -> str:
    """Return the node's own signing secret, made at its first start."""
    try:
        return path.read_text()
    except FileNotFoundError:
        secret = secrets.token_hex(32)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret)
        return secret
