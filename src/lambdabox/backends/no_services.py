"""A node without neighbours: each call of another AWS service says that there is none."""

from collections.abc import Mapping
from typing import Any

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.arn import Scope


class NoServices:
    """An `aws_ports.AwsServices`."""

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],  # noqa: ARG002  # the port's signature
        scope: Scope,  # noqa: ARG002  # as above
        *,
        seconds: float = 30.0,  # noqa: ARG002  # as above
    ) -> Mapping[str, Any]:
        message = "this node is not connected to other services"
        raise AwsCallError(service, operation, "NotConnected", message)
