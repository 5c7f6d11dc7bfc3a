"""Functions that keep what they are invoked with, and what they have kept."""

import json
from typing import Any

from support.functions import ACCOUNT, REGION, eventually, log_messages

_MARK = "HEARD "

LISTENER = f"""
import json

def handler(event, context):
    print({_MARK!r} + json.dumps(event))
"""


def heard(logs_client: Any, function: str) -> list[Any]:
    """The events of a function made of LISTENER, in the order in which they came."""
    messages = log_messages(logs_client, f"/aws/lambda/{function}")
    return [json.loads(m.removeprefix(_MARK)) for m in messages if m.startswith(_MARK)]


def hears(logs_client: Any, function: str, count: int = 1) -> list[Any]:
    """Wait until a function has heard of as many events, and return them."""

    def look() -> list[Any] | None:
        found = heard(logs_client, function)
        return found if len(found) >= count else None

    return eventually(look)


def permit(client: Any, function: str, principal: str, **conditions: str) -> str:
    """Let a service invoke the function; return the function's ARN."""
    name, _, qualifier = function.partition(":")
    client.add_permission(
        FunctionName=name,
        StatementId=f"s{abs(hash((principal, *conditions.values())))}",
        Action="lambda:InvokeFunction",
        Principal=principal,
        **({"Qualifier": qualifier} if qualifier else {}),
        **conditions,
    )
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
