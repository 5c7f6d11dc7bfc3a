"""One invocation as a test looks at it: the result, or the function's failure as an exception.

A function that fails is an ordinary answer of Lambda's, which tests forget to look for. So
it is raised, with the function's own stack trace and log, unless the test wants to see it.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any


class FunctionFailed(AssertionError):
    """The function raised an error, ran out of time or ended. Has its stack trace and log."""

    def __init__(self, invocation: "Invocation") -> None:
        self.invocation = invocation
        super().__init__(_told(invocation))


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came of an invocation. `payload` is the result, or the error's document."""

    payload: Any
    error: str | None
    version: str
    request_id: str
    log: str
    """The last 4 KiB of what it logged, as Lambda returns it."""

    def checked(self) -> "Invocation":
        """Return this. Raises FunctionFailed if the function failed."""
        if self.error is not None:
            raise FunctionFailed(self)
        return self


def invocation_of(client: Any, function: str, event: object, qualifier: str) -> Invocation:
    """Invoke with `event` as JSON."""
    response = client.invoke(
        FunctionName=function,
        Payload=json.dumps(event).encode(),
        LogType="Tail",
        Qualifier=qualifier,
    )
    content = response["Payload"].read()
    return Invocation(
        payload=json.loads(content) if content else None,
        error=response.get("FunctionError"),
        version=response["ExecutedVersion"],
        request_id=response["ResponseMetadata"]["RequestId"],
        log=base64.b64decode(response.get("LogResult", "")).decode(errors="replace"),
    )


def _told(invocation: Invocation) -> str:
    told = invocation.payload if isinstance(invocation.payload, dict) else {}
    title = ": ".join(
        str(told[key]) for key in ("errorType", "errorMessage") if told.get(key)
    ) or str(invocation.payload)
    trace = told.get("stackTrace") or told.get("trace") or []
    lines = [title, *(str(line).rstrip("\n") for line in trace)]
    return "\n".join([*lines, "", "The end of its log:", invocation.log])
