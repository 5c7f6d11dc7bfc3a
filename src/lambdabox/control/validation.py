"""Rules across fields that the service model cannot state, with AWS's messages.

The model's own constraints (length, pattern, range, enum) were checked before; what is
here is what Lambda answers with InvalidParameterValueException.
"""

import re
from collections.abc import Collection, Mapping

import orjson

from lambdabox.domain import limits
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import InvalidParameterValueException, NotImplementedException
from lambdabox.domain.functions import (
    SNAP_START,
    FunctionSettings,
    LayerUse,
    LoggingSettings,
    UnreadableVariables,
)
from lambdabox.domain.runtimes import CREATABLE, DEPRECATED, has_snap_start

RESERVED_VARIABLES = frozenset({
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
    "AWS_LAMBDA_MAX_CONCURRENCY", "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN",
})  # fmt: skip


_KMS_KEY = re.compile(
    r"arn:aws[a-zA-Z-]*:kms:[a-z0-9-]+:\d{12}:(key/[a-zA-Z0-9-]+|alias/[a-zA-Z0-9:/_-]+)"
)


def check_name(name: str) -> None:
    """A name may be 140 characters long in other operations, 64 when it is created."""
    if len(name) > limits.FUNCTION_NAME_CHARS:
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy "
            "constraint: Member must have length less than or equal to 64"
        )


def check_settings(settings: FunctionSettings, scope: Scope) -> None:
    """Raise InvalidParameterValueException for the first rule that `settings` violate."""
    if settings.package_type == "Image":
        raise NotImplementedException(
            "Functions from container images are not implemented in this release of lambdabox; "
            "use PackageType Zip."
        )
    if not settings.runtime or not settings.handler:
        raise InvalidParameterValueException(
            "Runtime and Handler are mandatory parameters for functions created with deployment "
            "packages."
        )
    _check_runtime(settings.runtime)
    _check_sizes(settings)
    if not isinstance(settings.environment, UnreadableVariables):
        _check_environment(settings.environment or {})
    _check_kms_key(settings.kms_key_arn)
    check_layers(settings.layers, scope)
    _check_snap_start(settings)
    _check_logging(settings.logging)


def check_tags(tags: Collection[str] | Mapping[str, str]) -> None:
    if len(tags) > limits.TAGS:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")
    check_tag_keys(tags)


def check_tag_keys(keys: Collection[str] | Mapping[str, str]) -> None:
    reserved = sorted(key for key in keys if key.lower().startswith("aws:"))
    if reserved:
        raise InvalidParameterValueException(
            f"The tag key {reserved[0]} cannot be used: keys that start with aws: are reserved "
            "for system use."
        )


def _check_runtime(runtime: str) -> None:
    if runtime in DEPRECATED:
        raise InvalidParameterValueException(
            f"The runtime parameter of {runtime} is no longer supported for creating or updating "
            "AWS Lambda functions. We recommend you use a supported runtime while creating or "
            "updating functions."
        )
    if runtime not in CREATABLE:
        raise InvalidParameterValueException(
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum "
            f"value set: [{', '.join(CREATABLE)}] or be a valid ARN"
        )


def _check_sizes(settings: FunctionSettings) -> None:
    for name, value, maximum in (
        ("MemorySize", settings.memory_mib, limits.MAX_MEMORY_MIB),
        ("Timeout", settings.timeout_seconds, limits.MAX_TIMEOUT_SECONDS),
        (
            "EphemeralStorage.Size",
            settings.ephemeral_storage_mib,
            limits.MAX_EPHEMERAL_STORAGE_MIB,
        ),
    ):
        if value > maximum:
            raise InvalidParameterValueException(
                f"'{name}' value failed to satisfy constraint: Member must have value less than "
                f"or equal to {maximum}"
            )


def _check_environment(variables: Mapping[str, str]) -> None:
    reserved = sorted(RESERVED_VARIABLES & variables.keys())
    if reserved:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided contains reserved keys that are currently not supported "
            f"for modification. Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = orjson.dumps(variables)
    if len(measured) > limits.ENVIRONMENT_BYTES:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment "
            "variables you have provided exceeded the 4KB limit. String measured: "
            f"{measured.decode()}"
        )


def _check_kms_key(arn: str | None) -> None:
    if arn is not None and not _KMS_KEY.fullmatch(arn):
        raise InvalidParameterValueException(
            "Lambda was unable to configure access to your environment variables because the KMS "
            "key is invalid. Please check your KMS key settings. KMS Exception: "
            f"InvalidArnException KMS Message: Invalid arn {arn}"
        )


def check_layers(layers: Collection[LayerUse], scope: Scope) -> None:
    """Check what can be told of layers without looking at them."""
    if len(layers) > limits.LAYERS:
        raise InvalidParameterValueException("Cannot reference more than 5 layers.")
    seen: dict[str, str] = {}
    for layer in layers:
        name, region = layer.arn.rpartition(":")[0], layer.arn.split(":")[3]
        if region != scope.region:
            raise InvalidParameterValueException(
                "Layers are not in the same region as the function. Layers are expected to be in "
                f"region {scope.region}."
            )
        if name in seen:
            raise InvalidParameterValueException(
                "Two different versions of the same layer are not allowed to be referenced in the "
                f"same function. {seen[name]} and {layer.arn} are versions of the same layer."
            )
        seen[name] = layer.arn


def _check_snap_start(settings: FunctionSettings) -> None:
    if settings.snap_start != SNAP_START or not settings.runtime:
        return
    if not has_snap_start(CREATABLE[settings.runtime]):
        raise InvalidParameterValueException(
            f"{settings.runtime} is not supported for SnapStart enabled functions."
        )
    if settings.ephemeral_storage_mib > limits.DEFAULT_EPHEMERAL_STORAGE_MIB:
        raise InvalidParameterValueException(
            f"EphemeralStorage of {settings.ephemeral_storage_mib} MB is not supported for "
            "SnapStart enabled functions. Set Size to 512, or SnapStart to None."
        )
    if settings.file_systems:
        raise InvalidParameterValueException(
            "FileSystemConfigs is not supported for SnapStart enabled functions. Remove it, or "
            "set SnapStart to None."
        )
    if settings.tenant_isolation is not None:
        raise InvalidParameterValueException(
            "TenancyConfig is not supported for SnapStart enabled functions. Set SnapStart to None."
        )


def _check_logging(logging: LoggingSettings) -> None:
    if logging.format == "Text" and (logging.application_level or logging.system_level):
        raise InvalidParameterValueException(
            'Log Level is not supported when log format is set to "Text". Please remove log level '
            'from your request or change the log format to "JSON" and try again.'
        )
    if logging.group is not None and logging.group.startswith("aws/"):
        raise InvalidParameterValueException(
            f"The log group name '{logging.group}' is not valid. Log group names that begin with "
            "aws/ are reserved."
        )
