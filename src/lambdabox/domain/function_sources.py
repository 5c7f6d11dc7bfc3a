"""What of another service's leads to a function: a value that all such sources share.

For those who show it. How each source decides what invokes whom is its own module's business.
"""

from dataclasses import dataclass
from typing import Literal

from lambdabox.domain.arn import Scope

Service = Literal["s3", "sns", "events", "scheduler", "logs"]


@dataclass(frozen=True, slots=True)
class FunctionSource:
    """Something in another service that invokes a function."""

    service: Service
    scope: Scope
    """Whose it is."""
    arn: str
    """Of the bucket, topic, rule, schedule or log group."""
    id: str
    """Which of what that bucket, topic, rule or log group invokes."""
    function_arn: str
    """With the version or alias that is invoked, if there is one."""
    what: str = ""
    """What it invokes the function for, in its own words: a schedule, a pattern, a filter."""
    is_enabled: bool = True

    @property
    def group(self) -> str:
        """The event bus of a rule, or the group of a schedule."""
        parts = self.arn.rpartition(":")[2].split("/")
        return parts[1] if len(parts) > 2 else "default"

    @property
    def name(self) -> str:
        """What its author calls it."""
        if self.service == "logs":
            return self.arn.partition(":log-group:")[2].removesuffix(":*")
        return self.arn.rpartition(":")[2].rpartition("/")[2]


def leads_to(target_arn: str, function_arn: str) -> bool:
    """Whether a target is the function, or a version or alias of it."""
    return target_arn == function_arn or target_arn.startswith(f"{function_arn}:")
