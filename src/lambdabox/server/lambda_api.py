"""Build Lambda's API: what each operation works on, and what runs beside it.

One half of the wiring: `wiring.py` chooses technology and builds what runs functions, and
this the resources that the API shows.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdabox.api.code_links import CodeLinks
from lambdabox.api.operations.account import AccountOperations
from lambdabox.api.operations.aliases import AliasOperations
from lambdabox.api.operations.code_signing import CodeSigningOperations
from lambdabox.api.operations.concurrency import ConcurrencyOperations
from lambdabox.api.operations.event_invoke import EventInvokeOperations
from lambdabox.api.operations.functions import FunctionOperations
from lambdabox.api.operations.invoke import InvokeOperations
from lambdabox.api.operations.layers import LayerOperations
from lambdabox.api.operations.mappings import MappingOperations
from lambdabox.api.operations.permissions import PermissionOperations
from lambdabox.api.operations.recursion import RecursionOperations
from lambdabox.api.operations.runtime_management import RuntimeManagementOperations
from lambdabox.api.operations.tags import TagOperations
from lambdabox.api.operations.urls import UrlOperations
from lambdabox.api.operations.versions import VersionOperations
from lambdabox.api.request import Handler
from lambdabox.aws_ports import AwsServices, Destinations
from lambdabox.backends.signing_keys import PemSigningKeys
from lambdabox.control.account import Account
from lambdabox.control.aliases import Aliases
from lambdabox.control.allotments import Allotments
from lambdabox.control.code import CodeIntake
from lambdabox.control.code_signing import CodeSigning
from lambdabox.control.code_verification import Verification
from lambdabox.control.event_invoke import EventInvoke
from lambdabox.control.functions import Functions
from lambdabox.control.layer_permissions import LayerPermissions
from lambdabox.control.layers import Layers
from lambdabox.control.permissions import POLICY_CHANGED, ResourcePolicies
from lambdabox.control.provisioned_concurrency import ProvisionedConcurrency
from lambdabox.control.reconcile import FUNCTION_CHANGED, Reconciler
from lambdabox.control.recursion import Recursion
from lambdabox.control.reserved_concurrency import ReservedConcurrency
from lambdabox.control.runtime_management import RuntimeUpdates
from lambdabox.control.scaling import FunctionScaling
from lambdabox.control.tags import Tags
from lambdabox.control.urls import FunctionUrls
from lambdabox.control.versions import Versions
from lambdabox.domain.code_signatures import CodeSigningConfig, CodeSigningUse
from lambdabox.domain.event_invoke import EventInvokeConfig, RecursionConfig, RuntimeManagement
from lambdabox.domain.urls import FunctionUrl
from lambdabox.execution_ports import Executor
from lambdabox.invoke.admission import LocalLedger
from lambdabox.invoke.asynchronous import AsyncIntake
from lambdabox.invoke.invoker import Invoker
from lambdabox.invoke.permissions import Permissions
from lambdabox.ports import BlobStore, Bus, Clock, Database, ObjectFetcher
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.concurrency import ConcurrencyRepository
from lambdabox.repositories.event_rules import EVENT_INVOKE, RECURSION
from lambdabox.repositories.function_records import FunctionRecords
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.layers import LayerRepository
from lambdabox.repositories.policies import policy_records
from lambdabox.repositories.tags import TagRepository
from lambdabox.server.config import Settings
from lambdabox.server.event_sources import build_event_sources
from lambdabox.telemetry.function_metrics import FunctionMetrics
from lambdabox.telemetry.usage_queries import UsageQueries

Serve = Callable[..., Coroutine[Any, Any, None]]
"""An async `serve(*, task_status)` that runs until cancelled."""


@dataclass(frozen=True, slots=True)
class Core:
    """What the API's resources are built on."""

    settings: Settings
    state: Database
    blobs: BlobStore
    objects: ObjectFetcher
    aws: AwsServices
    destinations: Destinations
    clock: Clock
    bus: Bus
    repository: FunctionRepository
    aliases: AliasRepository
    reconciler: Reconciler
    executor: Executor
    ledger: LocalLedger
    invoker: Invoker
    intake: AsyncIntake
    links: CodeLinks
    usage: UsageQueries
    metrics: FunctionMetrics


@dataclass(frozen=True, slots=True)
class LambdaApi:
    handlers: Mapping[str, Handler]
    urls: FunctionUrls
    permissions: Permissions
    """Asked before a service, or a caller of a function's URL, gets in."""
    services: tuple[Serve, ...] = field(default=())
    """What runs for as long as the node does."""


def build_lambda_api(core: Core) -> LambdaApi:
    tag_records = TagRepository(core.state)
    signing = CodeSigning(
        AccountRecords(core.state, "code-signing-config", CodeSigningConfig),
        FunctionRecords(
            core.state, "code-signing", CodeSigningUse, lookup=lambda use: use.config_arn
        ),
        core.repository,
        tag_records,
        Verification(core.blobs, PemSigningKeys(core.settings.signing_keys), core.clock),
        core.clock,
    )
    versions = Versions(core.repository, core.reconciler, core.clock)
    code = CodeIntake(core.blobs, core.objects)
    stored_layers = LayerRepository(core.state)
    layers = Layers(
        stored_layers,
        core.repository,
        code,
        core.reconciler,
        core.clock,
        organization=core.settings.organization,
    )
    functions = Functions(
        core.repository,
        core.aliases,
        versions,
        code,
        core.reconciler,
        core.clock,
        signing=signing,
        layers=layers,
    )
    shares = ConcurrencyRepository(core.state)
    aliases = Aliases(core.repository, core.aliases, shares, core.bus)
    allotments = Allotments(
        shares, core.repository, core.aliases, core.executor, core.ledger, core.bus
    )
    limit = core.settings.account_concurrency
    reserved = ReservedConcurrency(shares, allotments, account_concurrency=limit)
    provisioned = ProvisionedConcurrency(
        core.repository, core.aliases, shares, allotments, core.clock, account_concurrency=limit
    )
    scaling = FunctionScaling(core.repository)
    account = Account(core.repository, reserved)
    invoke_configs = FunctionRecords(core.state, EVENT_INVOKE, EventInvokeConfig)
    event_invoke = EventInvoke(invoke_configs, core.repository, core.bus, core.clock)
    recursion = Recursion(
        FunctionRecords(core.state, RECURSION, RecursionConfig), core.repository, core.bus
    )
    runtime_updates = RuntimeUpdates(
        FunctionRecords(core.state, "runtime-management", RuntimeManagement), core.repository
    )
    url_records = FunctionRecords(core.state, "url", FunctionUrl, lookup=lambda url: url.id)
    urls = FunctionUrls(url_records, core.repository, core.bus, core.clock)
    records = policy_records(core.state)
    policies = ResourcePolicies(core.repository, records, core.bus)
    mappings, pollers = build_event_sources(core, functions)
    others = {"code-signing-config": signing.has, "event-source-mapping": mappings.has}
    tags = Tags(core.repository, tag_records, others)
    return LambdaApi(
        handlers={
            **FunctionOperations(functions, tags, reserved, core.links).handlers(),
            **VersionOperations(versions).handlers(),
            **AliasOperations(aliases).handlers(),
            **InvokeOperations(core.invoker, core.intake, core.clock).handlers(),
            **EventInvokeOperations(event_invoke).handlers(),
            **RecursionOperations(recursion).handlers(),
            **RuntimeManagementOperations(runtime_updates).handlers(),
            **LayerOperations(layers, LayerPermissions(stored_layers), core.links).handlers(),
            **TagOperations(tags).handlers(),
            **ConcurrencyOperations(reserved, provisioned, scaling).handlers(),
            **AccountOperations(account).handlers(),
            **CodeSigningOperations(signing).handlers(),
            **UrlOperations(urls).handlers(),
            **PermissionOperations(policies).handlers(),
            **MappingOperations(mappings).handlers(),
        },
        urls=urls,
        permissions=Permissions(records, core.bus, changes=(FUNCTION_CHANGED, POLICY_CHANGED)),
        services=(allotments.serve, pollers.serve),
    )
