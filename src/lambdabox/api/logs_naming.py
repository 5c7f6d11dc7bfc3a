"""Names, ARNs, page tokens and refusals that the CloudWatch Logs operations share."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import orjson

from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import InvalidParameterException, ResourceNotFoundException
from lambdabox.repositories.log_groups import GroupKey

NO_GROUP = "The specified log group does not exist."
NO_STREAM = "The specified log stream does not exist."
BAD_TOKEN = "The specified nextToken is invalid."  # noqa: S105  (a message)

# The dispatcher answers every user fault of this service with status 400, as its
# protocol (JSON 1.1) does, whatever the status of the same error is for Lambda.


def group_arn(scope: Scope, name: str) -> str:
    return f"arn:aws:logs:{scope.region}:{scope.account}:log-group:{name}"


def stream_arn(scope: Scope, group: str, name: str) -> str:
    return f"{group_arn(scope, group)}:log-stream:{name}"


def asked_group(scope: Scope, params: Mapping[str, Any]) -> GroupKey:
    """The group that `logGroupName` or `logGroupIdentifier` names."""
    name, identifier = params.get("logGroupName"), params.get("logGroupIdentifier")
    if (name is None) == (identifier is None):
        raise InvalidParameterException(
            "Exactly one of logGroupName and logGroupIdentifier must be given."
        )
    return GroupKey(scope.account, scope.region, name) if name else identified(scope, identifier)


def identified(scope: Scope, identifier: Any) -> GroupKey:
    """The group named by a plain name or an ARN, with or without the final `:*`.

    Raises ResourceNotFoundException for a group of another account or region.
    """
    text = str(identifier)
    if not text.startswith("arn:"):
        return GroupKey(scope.account, scope.region, text)
    parts = text.removesuffix(":*").split(":", 6)
    if len(parts) != 7 or parts[2] != "logs" or parts[5] != "log-group" or ":" in parts[6]:
        raise InvalidParameterException(f"'{text}' is not the ARN of a log group.")
    if (parts[3], parts[4]) != (scope.region, scope.account):
        raise ResourceNotFoundException(NO_GROUP)
    return GroupKey(scope.account, scope.region, parts[6])


def page_token(position: Any) -> str:
    """An opaque token for a JSON value."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode()


def read_token(token: str) -> Any:
    """What `page_token` was given. Raises InvalidParameterException for anything else."""
    try:
        return orjson.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as exc:
        raise InvalidParameterException(BAD_TOKEN) from exc
