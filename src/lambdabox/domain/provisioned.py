"""Where provisioned concurrency stands: how many environments were asked for, and are there.

The names are the API's; how environments are kept ready is `execution/provisioning`'s.
"""

from enum import StrEnum

from lambdabox.domain.values import dataclass

INIT_FAILURE = "FUNCTION_ERROR_INIT_FAILURE"
INTERNAL_FAILURE = "INTERNAL_ERROR"

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0


class ProvisionedStatus(StrEnum):
    IN_PROGRESS = "IN_PROGRESS"
    READY = "READY"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Provisioned:
    """One deployment's. `allocated` counts environments that exist, those in init included;
    `available` those whose init has ended well, whether they run an event or not."""

    requested: int = 0
    allocated: int = 0
    available: int = 0
    failure: str | None = None
    """Why the last start failed; None once one has succeeded."""

    @property
    def status(self) -> ProvisionedStatus:
        if self.failure is not None:
            return ProvisionedStatus.FAILED
        is_ready = self.available >= self.requested
        return ProvisionedStatus.READY if is_ready else ProvisionedStatus.IN_PROGRESS


def retry_delay(failures: int) -> float:
    """Seconds to wait after so many failed starts in a row."""
    return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_RETRY_SECONDS)
