"""Count what runs against the account's concurrency, and refuse what is too much."""

from collections.abc import Iterator
from contextlib import contextmanager

from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.domain.functions import Deployment


class LocalLedger:
    """An `execution_ports.ConcurrencyLedger` for one node: counters in memory."""

    def __init__(self, *, account_concurrency: int) -> None:
        self._limit = account_concurrency
        self._running: dict[tuple[str, str], int] = {}

    @contextmanager
    def lease(self, deployment: Deployment) -> Iterator[None]:
        if not self.acquire(deployment):
            raise TooManyRequestsException(
                "Rate Exceeded.", reason="ConcurrentInvocationLimitExceeded"
            )
        try:
            yield
        finally:
            self.release(deployment)

    def acquire(self, deployment: Deployment) -> bool:
        scope = (deployment.key.account, deployment.key.region)
        running = self._running.get(scope, 0)
        if running >= self._limit:
            return False
        self._running[scope] = running + 1
        return True

    def release(self, deployment: Deployment) -> None:
        scope = (deployment.key.account, deployment.key.region)
        self._running[scope] -= 1
        if not self._running[scope]:
            del self._running[scope]

    def running(self, account: str, region: str) -> int:
        return self._running.get((account, region), 0)
