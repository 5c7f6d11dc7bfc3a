"""What the wiring tells the console beside its services, and what it makes of both."""

from collections.abc import Awaitable, Callable
from typing import Any

from lambdabox.console.access import AccessRules
from lambdabox.domain.arn import Scope
from lambdabox.domain.values import dataclass

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""What answers requests, as ASGI has it."""


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    rules: AccessRules
    secret: str
    default_scope: Scope
