"""The platform's log lines about extensions and about who listens to telemetry.

Rendered like the other platform events; apart from them because only functions with
extensions ever have these.
"""

from typing import Any, Literal

from lambdabox.domain.values import dataclass

SubscriptionApi = Literal["telemetry", "logs"]


@dataclass(frozen=True, slots=True)
class ExtensionStatus:
    """Where an extension stood when init ended."""

    name: str
    state: str
    events: tuple[str, ...]
    error_type: str | None = None

    type = "platform.extension"

    @property
    def level(self) -> str:
        return "INFO" if self.error_type is None else "WARN"

    def text(self) -> str:
        error = f"\tError Type: {self.error_type}" if self.error_type else ""
        events = ", ".join(self.events)
        return f"EXTENSION\tName: {self.name}\tState: {self.state}\tEvents: [{events}]{error}\n"

    def record(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state,
            "events": list(self.events),
            **({"errorType": self.error_type} if self.error_type else {}),
        }


@dataclass(frozen=True, slots=True)
class Subscription:
    """An extension listens, through the Telemetry API or its predecessor."""

    api: SubscriptionApi
    name: str
    types: tuple[str, ...]

    level = "INFO"

    @property
    def type(self) -> str:
        return f"platform.{self.api}Subscription"

    def text(self) -> str:
        types = ", ".join(kind.capitalize() for kind in self.types)
        return f"{self.api.upper()}\tName: {self.name}\tState: Subscribed\tTypes: [{types}]\n"

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "state": "Subscribed", "types": list(self.types)}
