"""Call other AWS services, as an SDK does: botocore in worker threads.

Calls go to the node's own address, like those of users and functions, so that there is one
road to a service, wherever it is, and a message that a destination publishes triggers what
anybody's message does. Calls that wait for something to arrive have threads of their own:
they hold them for most of a minute, and must not keep others from being made.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from lambdabox.aws_ports import AwsCallError
from lambdabox.backends.aws_client import AwsClients
from lambdabox.domain.arn import Scope

_CALLS = 40
_POLLS = 1_000
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 70.0
_WAITING = ("ReceiveMessage", "SubscribeToShard")


class BotoServices:
    """An AwsServices that calls services at `endpoint`. Nothing is tried twice."""

    def __init__(self, endpoint: str) -> None:
        self._clients = AwsClients(
            endpoint,
            connect_seconds=_CONNECT_SECONDS,
            read_seconds=_READ_SECONDS,
            attempts=1,
            connections=100,
        )
        self._calls = CapacityLimiter(_CALLS)
        self._polls = CapacityLimiter(_POLLS)

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        work = partial(self._call, service, operation, dict(parameters), scope)
        limiter = self._polls if operation in _WAITING else self._calls
        try:
            with anyio.fail_after(seconds):
                # The thread of a call that is given up ends with its connection, later.
                return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
        except TimeoutError as exc:
            message = f"there was no answer within {seconds:g} seconds"
            raise AwsCallError(service, operation, "Unreachable", message) from exc

    def _call(
        self, service: str, operation: str, parameters: dict[str, Any], scope: Scope
    ) -> Mapping[str, Any]:
        # Imported here and not above, so that a node that calls nobody starts without.
        from botocore import exceptions

        client = self._clients.get(service, scope.region, scope.account)
        try:
            output = getattr(client, _method(operation))(**parameters)
            return {name: _whole(value) for name, value in output.items()}
        except exceptions.ClientError as exc:
            error = exc.response.get("Error", {})
            code, message = error.get("Code") or "Unknown", error.get("Message") or str(exc)
            raise AwsCallError(service, operation, code, message) from exc
        except exceptions.ParamValidationError as exc:
            raise AwsCallError(service, operation, "ValidationException", str(exc)) from exc
        except (exceptions.ConnectionError, exceptions.HTTPClientError) as exc:
            raise AwsCallError(service, operation, "Unreachable", str(exc)) from exc
        except (exceptions.BotoCoreError, ValueError) as exc:  # ValueError: an answer that is none
            raise AwsCallError(service, operation, "InvalidResponse", str(exc)) from exc


@cache
def _method(operation: str) -> str:
    # Imported here for the same reason as above.
    from botocore import xform_name

    name: str = xform_name(operation)
    return name


def _whole(value: Any) -> Any:
    """A body that streams, read to its end; anything else as it is."""
    return value.read() if hasattr(value, "read") else value
