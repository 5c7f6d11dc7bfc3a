"""The context object, AWS's second argument to every handler."""

import json
import os
import time

from .channel import Invocation
from .faults import Fault
from .output import Log

W3C_FIELDS = ("traceparent", "tracestate", "baggage")


class _Fields:
    """An object with a fixed set of attributes, each None unless given."""

    __slots__: "tuple[str, ...]" = ()

    def __init__(self, values: "dict[str, object]") -> None:
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self) -> str:
        return _representation(self, self.__slots__)


class CognitoIdentity(_Fields):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(_Fields):
    __slots__ = (  # noqa: RUF023  # the order in which AWS prints them
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    )


class ClientContext(_Fields):
    __slots__ = ("custom", "env", "client")  # noqa: RUF023  # as above


class Surroundings:
    """What stays the same from one invocation to the next. Looking it up each time took a
    quarter of the time that an invocation takes here."""

    __slots__ = (
        "function_name",
        "function_version",
        "log_group_name",
        "log_stream_name",
        "memory_limit_in_mb",
    )

    def __init__(self) -> None:
        environ = os.environ
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")


class LambdaContext:
    """What a handler may ask about its invocation."""

    def __init__(self, invocation: Invocation, log: Log, surroundings: Surroundings) -> None:
        self.aws_request_id = invocation.request_id
        self.log_group_name = surroundings.log_group_name
        self.log_stream_name = surroundings.log_stream_name
        self.function_name = surroundings.function_name
        self.memory_limit_in_mb = surroundings.memory_limit_in_mb
        self.function_version = surroundings.function_version
        self.invoked_function_arn = invocation.invoked_arn
        self.tenant_id = invocation.tenant_id or None
        client_context = _parse(invocation.client_context, "Client Context")
        self.client_context = _client_context(client_context)
        self.identity = _identity(invocation.identity)
        self._w3c_fields = _w3c_fields(client_context)
        self._deadline_ms = invocation.deadline_ms
        self._log = log

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._deadline_ms - int(time.time() * 1000))

    def log(self, msg: object) -> None:
        self._log.write(str(msg))

    def w3c(self) -> "dict[str, str]":
        """Return the W3C trace context that came with the invocation."""
        return dict(self._w3c_fields)

    def __repr__(self) -> str:
        return _representation(
            self,
            (
                "aws_request_id",
                "log_group_name",
                "log_stream_name",
                "function_name",
                "memory_limit_in_mb",
                "function_version",
                "invoked_function_arn",
                "client_context",
                "identity",
                "tenant_id",
            ),
        )


def _representation(value: object, names: "tuple[str, ...]") -> str:
    fields = ",".join(f"{name}={getattr(value, name)}" for name in names)
    return f"{type(value).__name__}([{fields}])"


def _parse(text: str, name: str) -> "dict[str, object] | None":
    if not text:
        return None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unusable(name, str(error)) from None
    if parsed is not None and not isinstance(parsed, dict):
        raise _unusable(name, f"an object is expected, not {type(parsed).__name__}")
    return parsed


def _unusable(name: str, reason: str) -> Fault:
    return Fault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {name} JSON: {reason}")


def _client_context(values: "dict[str, object] | None") -> "ClientContext | None":
    if values is None:
        return None
    context = ClientContext(values)
    client = values.get("client")
    context.client = Client(client) if isinstance(client, dict) else None  # type: ignore[attr-defined]  # set through __slots__
    return context


def _identity(text: str) -> CognitoIdentity:
    values = _parse(text, "Cognito Identity")
    if not values:
        return CognitoIdentity({})
    return CognitoIdentity(
        {
            "cognito_identity_id": values.get("cognitoIdentityId"),
            "cognito_identity_pool_id": values.get("cognitoIdentityPoolId"),
        }
    )


def _w3c_fields(client_context: "dict[str, object] | None") -> "dict[str, str]":
    given = client_context.get("w3c") if client_context else None
    if not isinstance(given, dict):
        return {}
    found = {name: given.get(name) for name in W3C_FIELDS}
    return {name: value for name, value in found.items() if isinstance(value, str)}
