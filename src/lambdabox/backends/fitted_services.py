"""Calls whose parameters come from templates, brought into the form that the service wants.

A template writes `Timeout: "30"`, `LogGroupName` for `logGroupName`, and a policy as an object
where the API takes its text. All of that follows from the service's own model, so that it need
not be written down for each type of resource.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope

if TYPE_CHECKING:
    from botocore.model import ServiceModel, Shape

_NUMBERS = {"integer": int, "long": int, "float": float, "double": float}
_BOOLEANS = {"true": True, "false": False}


class _MisfitError(ValueError):
    """What a template gives is not what the service takes."""


class FittedServices:
    """An AwsServices before another."""

    def __init__(self, services: AwsServices) -> None:
        self._services = services

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        try:
            fitted = await anyio.to_thread.run_sync(_fit_input, service, operation, parameters)
        except _MisfitError as exc:
            raise AwsCallError(service, operation, "InvalidRequest", str(exc)) from exc
        return await self._services.call(service, operation, fitted, scope, seconds=seconds)


def _fit_input(service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    shape = _model(service).operation_model(operation).input_shape
    fitted: dict[str, Any] = {} if shape is None else _fit(shape, parameters, "#")
    return fitted


@cache
def _model(service: str) -> "ServiceModel":
    # Imported here and not above, so that a node without stacks starts without.
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    return ServiceModel(loader.load_service_model(service, "service-2"), service)


def _fit(shape: "Shape", value: Any, path: str) -> Any:
    match shape.type_name, value:
        case "structure", Mapping():
            return _structure(shape, value, path)
        case "list", list() | tuple():
            return [_fit(shape.member, each, f"{path}/{at}") for at, each in enumerate(value)]
        case "map", Mapping():
            return {
                str(key): _fit(shape.value, each, f"{path}/{key}") for key, each in value.items()
            }
        case (("structure" | "list" | "map"), _):
            wanted = "JSONArray" if shape.type_name == "list" else "JSONObject"
            found = type(value).__name__
            raise _MisfitError(f"{path}: expected type: {wanted}, found: {found}")
        case _:
            return _scalar(shape.type_name, value, path)


def _structure(shape: Any, value: Mapping[str, Any], path: str) -> dict[str, Any]:
    if shape.metadata.get("document"):
        return dict(value)
    names = {name.lower(): name for name in shape.members}
    fitted = {}
    for given, each in value.items():
        # The same name first: a few models have members that differ in their case alone.
        name = given if given in shape.members else names.get(given.lower())
        if name is None:
            raise _MisfitError(f"{path}: extraneous key [{given}] is not permitted")
        fitted[name] = _fit(shape.members[name], each, f"{path}/{given}")
    return fitted


def _scalar(kind: str, value: Any, path: str) -> Any:
    match kind, value:
        case "string", Mapping() | list():
            return json.dumps(value)
        case "string", bool():
            return "true" if value else "false"
        case "string", int() | float():
            return str(value)
        case "boolean", str() if value.lower() in _BOOLEANS:
            return _BOOLEANS[value.lower()]
        case "blob", str():
            return value.encode()
        case "timestamp", _:
            return value
        case (("integer" | "long" | "float" | "double"), str()):
            try:
                return _NUMBERS[kind](value)
            except ValueError:
                raise _MisfitError(f"{path}: expected type: Number, found: String") from None
        case _:
            return value
