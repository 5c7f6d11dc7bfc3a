"""One AWS service's front end, driven by botocore's description of it.

Routing, required members, patterns, ranges, enums and wire forms all come from the same
data that clients use, so that they cannot disagree. Only the table of paths is built at
start; an operation's shapes are read when it is first called.
"""

from collections.abc import Mapping
from typing import Any, Self

from lambdabox.api import serialize
from lambdabox.api.constraints import ConstraintChecker
from lambdabox.api.parse import Match, RequestParser
from lambdabox.api.routing import MAX_SHOWN, Route, Router
from lambdabox.api.serialize import WireResponse
from lambdabox.api.service_model import OperationModel, ServiceModel, Shape
from lambdabox.domain.errors import ApiError, UnknownOperationException


class ServiceApi:
    """Requests in, checked parameters out; outputs and errors in, responses out."""

    def __init__(self, service: ServiceModel) -> None:
        self.service = service
        self._descriptions = service.operations
        self._operations: dict[str, OperationModel] = {}
        metadata = service.metadata
        self.is_rest = metadata["protocol"] == "rest-json"
        self._target_prefix = f"{metadata.get('targetPrefix', '')}."
        self._content_type = f"application/x-amz-json-{metadata.get('jsonVersion', '1.0')}".encode()
        self._router = Router(_routes(self._descriptions) if self.is_rest else ())
        self._parser = RequestParser()
        self._constraints = ConstraintChecker()

    @classmethod
    def load(cls, service_name: str) -> Self:
        return cls(ServiceModel.load(service_name))

    @property
    def operation_names(self) -> tuple[str, ...]:
        return tuple(self._descriptions)

    def operation(self, name: str) -> OperationModel:
        known = self._operations.get(name)
        if known is None:
            known = self._operations[name] = self.service.operation_model(name)
        return known

    def match(self, method: str, raw_path: bytes, query_string: bytes) -> Match:
        """The operation of a REST request. Raises `UnknownOperationException` if none is."""
        found = self._router.find(method, raw_path, query_string)
        return Match(self.operation(found.operation_name), found.labels, found.query)

    def match_target(self, target: str) -> OperationModel:
        """The operation that the `X-Amz-Target` header of a JSON-RPC request names."""
        name = target.removeprefix(self._target_prefix)
        if name == target or name not in self._descriptions:
            raise UnknownOperationException(
                f"No operation has the target {target[:MAX_SHOWN]}. "
                f"A target is {self._target_prefix} and the name of an operation."
            )
        return self.operation(name)

    def parse(self, match: Match, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        """The checked parameters of a request; `headers` has lower-case names.

        Raises `SerializationException` for what cannot be read, and `ValidationException`
        with every violated constraint of the model.
        """
        params = self._parser.parse(match, headers, body)
        self._constraints.check(match.operation, params)
        return params

    def check(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Raise `ValidationException` with every constraint of an operation that is violated."""
        self._constraints.check(self.operation(name), parameters)

    def serialize_output(
        self, operation: OperationModel, output: Mapping[str, Any]
    ) -> WireResponse:
        if self.is_rest:
            return serialize.rest_output(operation, output)
        return serialize.json_output(operation, output, self._content_type)

    def serialize_error(self, error: ApiError) -> WireResponse:
        shape = self._error_shape(error.code)
        if self.is_rest:
            return serialize.rest_error(error, shape)
        return serialize.json_error(error, shape, self._content_type)

    def _error_shape(self, code: str) -> Shape | None:
        if not self.service.shapes.get(code, {}).get("exception"):
            return None
        return self.service.shape_for(code)


def _routes(operations: Mapping[str, Any]) -> list[Route]:
    return [
        Route.from_uri(name, operation["http"]["method"], operation["http"]["requestUri"])
        for name, operation in operations.items()
    ]
