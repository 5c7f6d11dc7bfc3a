"""From the API's spelling of a function's settings to the platform's.

A request names only some settings; what it names is returned as changed fields of
`FunctionSettings`. Empty values that AWS takes as "remove this" become None here.
"""

from collections.abc import Mapping
from typing import Any

from lambdabox.api.changed_fields import Fields, changed_fields
from lambdabox.domain.functions import (
    CapacityProviderSettings,
    CustomRuntimeSettings,
    DurableSettings,
    FileSystemSettings,
    ImageSettings,
    LayerUse,
    LoggingSettings,
    VpcSettings,
)

Members = Mapping[str, Any]


def changes(parameters: Members) -> dict[str, Any]:
    """Return the fields of FunctionSettings that `parameters` set, with their new values."""
    return changed_fields(parameters, _FIELDS)


def _same(value: Any) -> Any:
    return value


def _or_none(value: str) -> str | None:
    return value or None


def _vpc(value: Members) -> VpcSettings:
    return VpcSettings(
        tuple(value.get("SubnetIds", ())),
        tuple(value.get("SecurityGroupIds", ())),
        bool(value.get("Ipv6AllowedForDualStack", False)),
    )


def _layers(value: list[str]) -> tuple[LayerUse, ...]:
    return tuple(LayerUse(arn) for arn in value)


def _file_systems(value: list[Members]) -> tuple[FileSystemSettings, ...]:
    return tuple(
        FileSystemSettings(
            system["Arn"],
            system["LocalMountPath"],
            system.get("S3FilesConfig", {}).get("DirectS3Read"),
        )
        for system in value
    )


def _logging(value: Members) -> LoggingSettings:
    log_format = value.get("LogFormat", "Text")
    default = "INFO" if log_format == "JSON" else None
    return LoggingSettings(
        format=log_format,
        application_level=value.get("ApplicationLogLevel", default),
        system_level=value.get("SystemLogLevel", default),
        group=value.get("LogGroup"),
    )


def _image(value: Members) -> ImageSettings:
    return ImageSettings(
        _tuple(value.get("EntryPoint")), _tuple(value.get("Command")), value.get("WorkingDirectory")
    )


def _durable(value: Members) -> DurableSettings:
    return DurableSettings(
        value.get("RetentionPeriodInDays"), value.get("ExecutionTimeout"), value.get("KMSKeyArn")
    )


def _capacity_provider(value: Members) -> CapacityProviderSettings:
    provider = value["LambdaManagedInstancesCapacityProviderConfig"]
    return CapacityProviderSettings(
        provider["CapacityProviderArn"],
        provider.get("PerExecutionEnvironmentMaxConcurrency"),
        provider.get("ExecutionEnvironmentMemoryGiBPerVCpu"),
    )


def _tuple(value: list[str] | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(value)


_FIELDS: Fields = {
    "Runtime": ("runtime", _same),
    "Role": ("role", _same),
    "Handler": ("handler", _same),
    "Description": ("description", _same),
    "Timeout": ("timeout_seconds", _same),
    "MemorySize": ("memory_mib", _same),
    "PackageType": ("package_type", _same),
    "Architectures": ("architecture", lambda value: value[0]),
    "EphemeralStorage": ("ephemeral_storage_mib", lambda value: value["Size"]),
    "Environment": ("environment", lambda value: value.get("Variables") or None),
    "KMSKeyArn": ("kms_key_arn", _or_none),
    "TracingConfig": ("tracing_mode", lambda value: value.get("Mode", "PassThrough")),
    "Layers": ("layers", _layers),
    "VpcConfig": ("vpc", _vpc),
    "DeadLetterConfig": ("dead_letter_arn", lambda value: value.get("TargetArn") or None),
    "FileSystemConfigs": ("file_systems", _file_systems),
    "SnapStart": ("snap_start", lambda value: value.get("ApplyOn", "None")),
    "LoggingConfig": ("logging", _logging),
    "ImageConfig": ("image", _image),
    "TenancyConfig": ("tenant_isolation", lambda value: value["TenantIsolationMode"]),
    "DurableConfig": ("durable", _durable),
    "CapacityProviderConfig": ("capacity_provider", _capacity_provider),
    "RuntimeConfig": (
        "custom_runtime",
        lambda value: CustomRuntimeSettings(value["RuntimeArn"], value["RuntimeAlias"]),
    ),
    "AcceleratorConfig": (
        "accelerator_memory_mib",
        lambda value: value["AcceleratorMemorySize"],
    ),
}
