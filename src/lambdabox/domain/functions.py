"""What a function is: its settings, its code, its versions and their states.

`FunctionSettings` is what a user decides; `Version` adds what the platform knows. The
version that is shown (`Version.settings`) may be ahead of the one that runs while an
update is in progress: a `Deployment` is what invocations use, and a new one begins
whenever code or settings take effect.
"""

import base64
from collections.abc import Mapping
from dataclasses import field, replace
from enum import StrEnum

from lambdabox.domain import limits
from lambdabox.domain.arn import LATEST, FunctionKey
from lambdabox.domain.errors import KMSException
from lambdabox.domain.values import dataclass


class State(StrEnum):
    PENDING = "Pending"
    ACTIVE = "Active"
    INACTIVE = "Inactive"
    FAILED = "Failed"


class UpdateStatus(StrEnum):
    SUCCESSFUL = "Successful"
    FAILED = "Failed"
    IN_PROGRESS = "InProgress"


@dataclass(frozen=True, slots=True)
class Status:
    """Where a version stands: usable at all, and the outcome of its last update."""

    state: State
    state_reason: str | None = None
    state_reason_code: str | None = None
    update: UpdateStatus | None = None
    update_reason: str | None = None
    update_reason_code: str | None = None


CREATING = Status(State.PENDING, "The function is being created.", "Creating")
READY = Status(State.ACTIVE, update=UpdateStatus.SUCCESSFUL)
UPDATING = Status(
    State.ACTIVE,
    update=UpdateStatus.IN_PROGRESS,
    update_reason="The function is being created.",
    update_reason_code="Creating",
)


@dataclass(frozen=True, slots=True)
class Code:
    """A deployment package, named by its content."""

    digest: str
    """SHA-256 of the zip, hexadecimal: the blob's name."""
    size_bytes: int

    @property
    def sha256_base64(self) -> str:
        return base64.b64encode(bytes.fromhex(self.digest)).decode()


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    format: str = "Text"
    application_level: str | None = None
    system_level: str | None = None
    group: str | None = None
    """None means /aws/lambda/{name}."""


@dataclass(frozen=True, slots=True)
class VpcSettings:
    subnet_ids: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    ipv6_allowed: bool = False


@dataclass(frozen=True, slots=True)
class FileSystemSettings:
    arn: str
    local_mount_path: str
    direct_s3_read: str | None = None


@dataclass(frozen=True, slots=True)
class ImageSettings:
    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_directory: str | None = None


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer version as a function refers to it."""

    arn: str
    size_bytes: int = 0
    digest: str = ""
    """SHA-256 of its zip: a function goes on when the layer version is deleted."""
    unzipped_bytes: int = 0


@dataclass(frozen=True, slots=True)
class DurableSettings:
    retention_days: int | None = None
    execution_timeout_seconds: int | None = None
    kms_key_arn: str | None = None


@dataclass(frozen=True, slots=True)
class CapacityProviderSettings:
    arn: str
    max_concurrency: int | None = None
    memory_gib_per_vcpu: float | None = None


@dataclass(frozen=True, slots=True)
class CustomRuntimeSettings:
    arn: str
    alias: str


@dataclass(frozen=True, slots=True)
class UnreadableVariables:
    """Environment variables that cannot be decrypted. They are kept as they are stored."""

    sealed: str
    error: KMSException = field(compare=False)

    def told(self) -> KMSException:
        """Return what whoever needs them is told."""
        return type(self.error)(self.error.message)


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """Everything a user decides about a function, with AWS's defaults."""

    role: str
    runtime: str | None = None
    handler: str | None = None
    description: str = ""
    timeout_seconds: int = limits.DEFAULT_TIMEOUT_SECONDS
    memory_mib: int = limits.DEFAULT_MEMORY_MIB
    package_type: str = "Zip"
    architecture: str = "x86_64"
    ephemeral_storage_mib: int = limits.DEFAULT_EPHEMERAL_STORAGE_MIB
    environment: Mapping[str, str] | UnreadableVariables | None = field(default=None, repr=False)
    kms_key_arn: str | None = None
    tracing_mode: str = "PassThrough"
    layers: tuple[LayerUse, ...] = ()
    vpc: VpcSettings | None = None
    dead_letter_arn: str | None = None
    file_systems: tuple[FileSystemSettings, ...] = ()
    snap_start: str = "None"
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    image: ImageSettings | None = None
    tenant_isolation: str | None = None
    durable: DurableSettings | None = None
    capacity_provider: CapacityProviderSettings | None = None
    custom_runtime: CustomRuntimeSettings | None = None
    accelerator_memory_mib: int | None = None
    signing_profile_version_arn: str | None = None
    """Who signed the code, if that was looked at: goes with it from version to version."""

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment variables. Raises KMSException if they cannot be decrypted."""
        if isinstance(self.environment, UnreadableVariables):
            raise self.environment.told()
        return self.environment or {}


SNAP_START = "PublishedVersions"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What invocations of a version use: one code with one set of settings.

    Execution environments belong to a deployment and are retired with it.
    """

    id: str
    key: FunctionKey
    version: str
    settings: FunctionSettings
    code: Code

    @property
    def arn(self) -> str:
        return self.key.qualified_arn(self.version)

    def at_memory(self, memory_mib: int) -> "Deployment":
        """Return what would run with this memory: a deployment of its own, stored nowhere."""
        settings = replace(self.settings, memory_mib=memory_mib)
        return replace(self, id=f"{self.id}@{memory_mib}", settings=settings)

    @property
    def digests(self) -> tuple[str, ...]:
        """The content that it runs: its code, and its layers in their order."""
        return (self.code.digest, *self.layer_digests)

    @property
    def layer_digests(self) -> tuple[str, ...]:
        """Of two layers with the same content only the last, which decides where it lies.

        Layers that were named before there were any have none.
        """
        latest_first = dict.fromkeys(use.digest for use in reversed(self.settings.layers))
        return tuple(digest for digest in reversed(latest_first) if digest)

    @property
    def has_snapshot(self) -> bool:
        """Whether its environments are restored: published versions alone are."""
        return self.version != LATEST and self.settings.snap_start == SNAP_START

    @property
    def log_group(self) -> str:
        return self.settings.logging.group or f"/aws/lambda/{self.key.name}"


@dataclass(frozen=True, slots=True)
class Version:
    """A version as the control plane shows it. `deployment` is None until it can run."""

    key: FunctionKey
    number: str
    settings: FunctionSettings
    code: Code
    status: Status
    revision_id: str
    last_modified: float
    """Seconds since the epoch."""
    deployment: Deployment | None = None

    @property
    def is_latest(self) -> bool:
        return self.number == LATEST

    @property
    def has_snapshot(self) -> bool:
        return not self.is_latest and self.settings.snap_start == SNAP_START

    @property
    def is_updating(self) -> bool:
        return self.status.update is UpdateStatus.IN_PROGRESS
