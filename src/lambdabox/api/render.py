"""From the platform's records to the shapes of the Lambda API.

Key sets are exact: what AWS leaves out is absent here, not empty, because infrastructure
tools compare what they get with what they asked for. Members that are None are dropped
when the output is written.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambdabox.domain.functions import (
    FunctionSettings,
    State,
    Status,
    UnreadableVariables,
    Version,
)
from lambdabox.domain.runtimes import CREATABLE


def configuration(version: Version, *, arn: str) -> dict[str, Any]:
    """Return the FunctionConfiguration of a version, under the ARN it was asked for by."""
    return {
        **_listed(version, arn=arn),
        **_status(version.status),
        "RuntimeVersionConfig": _runtime_version(version),
    }


def listed_configuration(version: Version, *, arn: str) -> dict[str, Any]:
    """As `configuration`, for lists, which leave state and runtime version out."""
    return _listed(version, arn=arn)


def timestamp(seconds: float) -> str:
    """`2026-11-23T06:00:00.123+0000`, the form functions use."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"


def _listed(version: Version, *, arn: str) -> dict[str, Any]:
    settings = version.settings
    return {
        "FunctionName": version.key.name,
        "FunctionArn": arn,
        "Runtime": settings.runtime,
        "Role": settings.role,
        "Handler": settings.handler,
        "CodeSize": version.code.size_bytes,
        "Description": settings.description,
        "Timeout": settings.timeout_seconds,
        "MemorySize": settings.memory_mib,
        "LastModified": timestamp(version.last_modified),
        "CodeSha256": version.code.sha256_base64,
        "Version": version.number,
        "RevisionId": version.revision_id,
        "PackageType": settings.package_type,
        "Architectures": [settings.architecture],
        "TracingConfig": {"Mode": settings.tracing_mode},
        "EphemeralStorage": {"Size": settings.ephemeral_storage_mib},
        "SnapStart": _snap_start(version),
        "LoggingConfig": _logging(version),
        **_optional(settings),
    }


def _optional(settings: FunctionSettings) -> dict[str, Any]:
    """Members that are present only when they were set."""
    members: dict[str, Any] = {
        "KMSKeyArn": settings.kms_key_arn,
        "SigningProfileVersionArn": settings.signing_profile_version_arn,
        "Environment": _environment(settings),
        "DeadLetterConfig": _present(settings.dead_letter_arn, "TargetArn"),
        "TenancyConfig": _present(settings.tenant_isolation, "TenantIsolationMode"),
        "AcceleratorConfig": _present(settings.accelerator_memory_mib, "AcceleratorMemorySize"),
    }
    if settings.layers:
        members["Layers"] = [
            {"Arn": layer.arn, "CodeSize": layer.size_bytes} for layer in settings.layers
        ]
    if settings.vpc is not None:
        members["VpcConfig"] = {
            "SubnetIds": list(settings.vpc.subnet_ids),
            "SecurityGroupIds": list(settings.vpc.security_group_ids),
            "VpcId": "",
            "Ipv6AllowedForDualStack": settings.vpc.ipv6_allowed,
        }
    if settings.file_systems:
        members["FileSystemConfigs"] = [
            {
                "Arn": system.arn,
                "LocalMountPath": system.local_mount_path,
                **(
                    {"S3FilesConfig": {"DirectS3Read": system.direct_s3_read}}
                    if system.direct_s3_read
                    else {}
                ),
            }
            for system in settings.file_systems
        ]
    members.update(_special(settings))
    return members


def _environment(settings: FunctionSettings) -> dict[str, Any] | None:
    """The variables, or why they cannot be shown."""
    if isinstance(settings.environment, UnreadableVariables):
        error = settings.environment.error
        return {"Error": {"ErrorCode": error.code, "Message": error.message}}
    return _present(settings.environment, "Variables")


def _special(settings: FunctionSettings) -> dict[str, Any]:
    """Settings of capabilities that later releases run: kept and shown as they were given."""
    members: dict[str, Any] = {}
    if settings.image is not None:
        image = {
            "EntryPoint": _items(settings.image.entry_point),
            "Command": _items(settings.image.command),
            "WorkingDirectory": settings.image.working_directory,
        }
        members["ImageConfigResponse"] = {"ImageConfig": _without_none(image)}
    if settings.durable is not None:
        members["DurableConfig"] = _without_none(
            {
                "KMSKeyArn": settings.durable.kms_key_arn,
                "RetentionPeriodInDays": settings.durable.retention_days,
                "ExecutionTimeout": settings.durable.execution_timeout_seconds,
            }
        )
    if settings.capacity_provider is not None:
        provider = settings.capacity_provider
        members["CapacityProviderConfig"] = {
            "LambdaManagedInstancesCapacityProviderConfig": _without_none(
                {
                    "CapacityProviderArn": provider.arn,
                    "PerExecutionEnvironmentMaxConcurrency": provider.max_concurrency,
                    "ExecutionEnvironmentMemoryGiBPerVCpu": provider.memory_gib_per_vcpu,
                }
            )
        }
    if settings.custom_runtime is not None:
        members["RuntimeConfig"] = {
            "RuntimeArn": settings.custom_runtime.arn,
            "RuntimeAlias": settings.custom_runtime.alias,
        }
    return members


def _status(status: Status) -> dict[str, Any]:
    return {
        "State": status.state.value,
        "StateReason": status.state_reason,
        "StateReasonCode": status.state_reason_code,
        "LastUpdateStatus": status.update.value if status.update else None,
        "LastUpdateStatusReason": status.update_reason,
        "LastUpdateStatusReasonCode": status.update_reason_code,
    }


def _snap_start(version: Version) -> dict[str, str]:
    is_taken = version.has_snapshot and version.status.state is State.ACTIVE
    return {
        "ApplyOn": version.settings.snap_start,
        "OptimizationStatus": "On" if is_taken else "Off",
    }


def _logging(version: Version) -> dict[str, Any]:
    logging = version.settings.logging
    group = logging.group or f"/aws/lambda/{version.key.name}"
    return _without_none(
        {
            "LogFormat": logging.format,
            "ApplicationLogLevel": logging.application_level,
            "SystemLogLevel": logging.system_level,
            "LogGroup": group,
        }
    )


def _runtime_version(version: Version) -> dict[str, str] | None:
    runtime = CREATABLE.get(version.settings.runtime or "")
    if runtime is None:
        return None
    return {"RuntimeVersionArn": runtime.release_arn(version.key.region)}


def _present(value: Any, name: str) -> dict[str, Any] | None:
    return None if value is None else {name: value}


def _items(value: tuple[str, ...] | None) -> list[str] | None:
    return None if value is None else list(value)


def _without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
