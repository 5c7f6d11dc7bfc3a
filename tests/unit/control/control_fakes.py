"""The control plane on a real database, with an executor and a code intake made for tests."""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, cast

import anyio
from support.clock import ManualClock
from support.records import SETTINGS

from lambdabox.backends.bus import LocalBus
from lambdabox.control.aliases import Aliases
from lambdabox.control.code import CodeIntake, CodeSource
from lambdabox.control.code_signing import CodeSigning
from lambdabox.control.code_verification import Verification
from lambdabox.control.functions import CodeUpdate, Functions
from lambdabox.control.layers import Layers
from lambdabox.control.reconcile import Reconciler
from lambdabox.control.versions import Versions
from lambdabox.domain.arn import FunctionKey, FunctionReference, Scope
from lambdabox.domain.code_signatures import CodeSigningConfig, CodeSigningUse
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.functions import Code, Deployment, Version
from lambdabox.domain.invocations import Invocation, Outcome
from lambdabox.domain.provisioned import Provisioned
from lambdabox.execution_ports import ResponseSink, SnapshotFailedError
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords
from lambdabox.repositories.aliases import AliasRepository
from lambdabox.repositories.concurrency import ConcurrencyRepository
from lambdabox.repositories.function_records import FunctionRecords
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.layers import LayerRepository
from lambdabox.repositories.tags import TagRepository

GOOD, BETTER, BAD = b"good", b"better", b"bad"


def code_of(content: bytes) -> Code:
    return Code(hashlib.sha256(content).hexdigest(), len(content))


class FakeExecutor:
    """An `execution_ports.Executor` that finds `BAD` unusable, and may be held or be in trouble."""

    def __init__(self) -> None:
        self.prepared: list[Deployment] = []
        self.retired: list[tuple[str, str | None, str | None]] = []
        self.swept: list[set[str]] = []
        self.troubles: list[Exception] = []
        self.snapshots: list[Deployment] = []
        self.rebuilt: list[Deployment] = []
        self.init_failures: list[str] = []
        self.snapshotting, self.may_snapshot = anyio.Event(), anyio.Event()
        self.may_snapshot.set()
        self.dropped, self.was_asked_to_rebuild = anyio.Event(), anyio.Event()
        self.preparing = anyio.Event()
        self.may_prepare = anyio.Event()
        self.may_prepare.set()

    def begin(self, deployment: Deployment, invocation: Invocation, done: object) -> bool:
        return False

    def provision(self, deployment: Deployment, count: int) -> None:
        raise NotImplementedError

    def provisioned(self, deployment: Deployment) -> Provisioned:
        raise NotImplementedError

    async def run(
        self, deployment: Deployment, invocation: Invocation, sink: ResponseSink | None = None
    ) -> Outcome:
        raise AssertionError("the control plane runs nothing")

    async def prepare(self, deployment: Deployment) -> None:
        self.preparing.set()
        await self.may_prepare.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        if deployment.code == code_of(BAD):
            raise InvalidParameterValueException("Could not unzip uploaded file.")
        self.prepared.append(deployment)

    async def take_snapshot(self, deployment: Deployment) -> None:
        self.snapshots.append(deployment)
        self.snapshotting.set()
        await self.may_snapshot.wait()
        if self.init_failures:
            raise SnapshotFailedError(self.init_failures.pop(0))

    def rebuild_snapshots(self, deployments: Sequence[Deployment]) -> None:
        self.rebuilt.extend(deployments)
        self.was_asked_to_rebuild.set()

    def drop_snapshot(self, deployment: Deployment) -> None:
        self.snapshots.remove(deployment)
        self.dropped.set()

    def retire(
        self, key: FunctionKey, *, number: str | None = None, keep: str | None = None
    ) -> None:
        self.retired.append((key.name, number, keep))

    async def sweep(self, keep: Collection[str]) -> None:
        self.swept.append(set(keep))


class PlainIntake(CodeIntake):
    """Takes any bytes for a package."""

    def __init__(self) -> None:
        super().__init__(cast(Any, None), cast(Any, None))

    async def take(self, source: CodeSource, scope: Scope) -> Code:
        assert source.zip_file is not None
        return code_of(source.zip_file)


def code_signing(database: Database, functions: FunctionRepository, clock: Clock) -> CodeSigning:
    """Code signing on a database, for functions whose code is never looked at."""
    return CodeSigning(
        AccountRecords(database, "code-signing-config", CodeSigningConfig),
        FunctionRecords(
            database, "code-signing", CodeSigningUse, lookup=lambda use: use.config_arn
        ),
        functions,
        TagRepository(database),
        Verification(cast(Any, None), cast(Any, None), clock),
        clock,
    )


class ControlPlane:
    def __init__(self, database: Database) -> None:
        self.executor = FakeExecutor()
        self.clock = ManualClock()
        self.bus = LocalBus()
        self.repository = FunctionRepository(database)
        self.reconciler = Reconciler(self.repository, self.executor, self.bus)
        self.versions = Versions(self.repository, self.reconciler, self.clock)
        code = PlainIntake()
        self.layers = Layers(
            LayerRepository(database), self.repository, code, self.reconciler, self.clock
        )
        self.functions = Functions(
            self.repository,
            AliasRepository(database),
            self.versions,
            code,
            self.reconciler,
            self.clock,
            signing=code_signing(database, self.repository, self.clock),
            layers=self.layers,
        )
        self.aliases = Aliases(
            self.repository,
            AliasRepository(database),
            ConcurrencyRepository(database),
            self.bus,
        )

    async def create(
        self, key: FunctionKey, code: bytes = GOOD, *, publish: bool = False
    ) -> Version:
        source = CodeSource(zip_file=code)
        return await self.functions.create(key, SETTINGS, source, tags={}, publish=publish)

    async def update_code(
        self,
        key: FunctionKey,
        code: bytes,
        *,
        publish: bool = False,
        revision_id: str | None = None,
    ) -> Version:
        source = CodeSource(zip_file=code)
        return await self.functions.update_code(
            key, CodeUpdate(source, publish=publish, revision_id=revision_id)
        )

    async def publish(self, key: FunctionKey, description: str | None = None) -> Version:
        return await self.versions.publish(
            key, description=description, code_sha256=None, revision_id=None
        )

    async def delete(self, key: FunctionKey, number: str | None = None) -> None:
        await self.functions.delete(FunctionReference(key, number))

    async def settle(self) -> None:
        """What the reconciler does when it is woken."""
        await self.reconciler._settle_all()
        await self.reconciler._sweep()

    async def get(self, key: FunctionKey, number: str | None = None) -> Version:
        return await self.functions.get(FunctionReference(key, number))
