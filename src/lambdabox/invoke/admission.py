"""Count what runs against the account's concurrency, and refuse what is too much."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lambdabox.domain.errors import TooManyRequestsException
from lambdabox.domain.functions import Deployment


class LocalLedger:
    """An `execution_ports.ConcurrencyLedger` for one node: counters in memory."""

    def __init__(self, *, account_concurrency: int) -> None:
        self._limit = account_concurrency
        self._running: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def lease(self, deployment: Deployment) -> Iterator[None]:
        scope = (deployment.key.account, deployment.key.region)
        if self._running[scope] >= self._limit:
            raise TooManyRequestsException(
                "Rate Exceeded.", reason="ConcurrentInvocationLimitExceeded"
            )
        self._running[scope] += 1
        try:
            yield
        finally:
            self._running[scope] -= 1
            if not self._running[scope]:
                del self._running[scope]

    def running(self, account: str, region: str) -> int:
        return self._running[account, region]
