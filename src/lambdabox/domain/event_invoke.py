"""What a function's author decides about its asynchronous events, loops and runtime updates."""

from lambdabox.domain import limits
from lambdabox.domain.values import dataclass

TERMINATE = "Terminate"


@dataclass(frozen=True, slots=True)
class EventInvokeConfig:
    """Of one function, version or alias. None where nothing was said: the default applies."""

    last_modified: float
    max_retries: int | None = None
    max_age_seconds: int | None = None
    on_success: str | None = None
    """A destination's ARN."""
    on_failure: str | None = None


@dataclass(frozen=True, slots=True)
class RecursionConfig:
    """Of a function with all its versions."""

    recursive_loop: str = TERMINATE


@dataclass(frozen=True, slots=True)
class RuntimeManagement:
    """Of one version."""

    update_on: str = "Auto"
    runtime_version_arn: str | None = None


@dataclass(frozen=True, slots=True)
class EventRules:
    """All that decides what becomes of the events for one function, version or alias."""

    max_retries: int = limits.ASYNC_MAX_RETRIES
    max_age_seconds: float = limits.ASYNC_MAX_AGE_SECONDS
    on_success: str | None = None
    on_failure: str | None = None
    is_switched_off: bool = False
    """Reserved concurrency is 0."""
    ends_loops: bool = True
