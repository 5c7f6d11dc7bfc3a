"""Each class of error says the same as the service model: its status and whose fault."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.loaders import Loader

from lambdabox.domain import errors
from lambdabox.domain.errors import ApiError


def _all_errors(root: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    for kind in root.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
            yield from _all_errors(kind)


def _shapes(service: str) -> dict[str, Any]:
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    shapes: dict[str, Any] = loader.load_service_model(service, "service-2")["shapes"]
    return {name: shape for name, shape in shapes.items() if shape.get("exception")}


LAMBDA, LOGS = _shapes("lambda"), _shapes("logs")
IN_LAMBDA = [kind for kind in _all_errors() if kind.__name__ in LAMBDA]
ONLY_IN_LOGS = [
    kind for kind in _all_errors() if kind.__name__ in LOGS and kind.__name__ not in LAMBDA
]


@pytest.mark.parametrize("kind", IN_LAMBDA)
def test_an_error_of_lambda_has_the_status_and_fault_of_the_model(kind: type[ApiError]) -> None:
    shape = LAMBDA[kind.__name__]
    assert kind.status == shape["error"]["httpStatusCode"]
    assert kind.fault == ("User" if shape["error"].get("senderFault") else "Service")
    assert (kind.fault == "Service") == bool(shape.get("fault"))
    assert kind.has_type


@pytest.mark.parametrize("kind", ONLY_IN_LOGS)
def test_an_error_of_logs_has_the_fault_of_the_model(kind: type[ApiError]) -> None:
    shape = LOGS[kind.__name__]
    assert kind.fault == ("Service" if shape.get("fault") else "User")
    # The model of a JSON-RPC service gives no status where it is the default, or the
    # error is the front end's own, which all services share.
    if not issubclass(kind, errors.FrontEndError):
        assert kind.status == shape.get("error", {}).get("httpStatusCode", 400)


def test_both_lists_hold_errors() -> None:
    assert errors.ResourceNotFoundException in IN_LAMBDA
    assert errors.TooManyRequestsException in IN_LAMBDA
    assert errors.ResourceAlreadyExistsException in ONLY_IN_LOGS
