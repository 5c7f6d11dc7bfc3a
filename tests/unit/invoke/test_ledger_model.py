"""Any order of invocations and changes of shares: what runs is counted exactly.

Checked against a model that recounts everything from the list of what runs.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.records import SCOPE, deployment, key

from lambdabox.domain.concurrency import Share
from lambdabox.domain.functions import Deployment
from lambdabox.invoke.admission import LocalLedger

LIMIT = 8
NAMES, VERSIONS = ("a", "b", "c"), ("1", "2")

names = st.sampled_from(NAMES)
deployments = st.builds(
    lambda name, version, code: deployment(
        f"{name} {version} {code}", of=key(name), version=version
    ),
    names,
    st.sampled_from(VERSIONS),
    st.sampled_from(["old", "new"]),
)
shares = st.builds(
    Share,
    st.none() | st.integers(0, 5),
    st.dictionaries(st.sampled_from(VERSIONS), st.integers(1, 3), max_size=2),
)


class Admissions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._ledger = LocalLedger(account_concurrency=LIMIT)
        self._running: list[Deployment] = []
        self._shares = dict.fromkeys(NAMES, Share())

    @rule(deployment=deployments)
    def begin(self, deployment: Deployment) -> None:
        may = self._may(deployment)
        assert self._ledger.acquire(deployment) == may
        if may:
            self._running.append(deployment)

    @rule(at=st.integers(0, 100), is_unused=st.booleans())
    def end(self, at: int, is_unused: bool) -> None:
        if self._running:
            ended = self._running.pop(at % len(self._running))
            self._ledger.release(ended, is_unused=is_unused)

    @rule(name=names, share=shares)
    def allot(self, name: str, share: Share) -> None:
        self._shares[name] = share
        self._ledger.allot(key(name), share)

    @rule(name=names)
    def allot_nothing(self, name: str) -> None:
        self.allot(name, Share())

    @invariant()
    def everything_is_counted(self) -> None:
        assert self._ledger.running(SCOPE.account, SCOPE.region) == len(self._running) <= LIMIT
        for name in NAMES:
            running = [item for item in self._running if item.key.name == name]
            assert self._ledger.running_of(key(name)) == len(running)

    def _may(self, deployment: Deployment) -> bool:
        if len(self._running) >= LIMIT:
            return False
        share = self._shares[deployment.key.name]
        if share.reserved is not None:
            return self._count(deployment.key.name) < share.reserved
        version = self._count(deployment.key.name, deployment.version)
        if version < share.provisioned.get(deployment.version, 0):
            return True
        shared = LIMIT - sum(share.claimed for share in self._shares.values())
        return sum(map(self._shared, NAMES)) < shared

    def _shared(self, name: str) -> int:
        share = self._shares[name]
        if share.reserved is not None:
            return 0
        counts = {version: self._count(name, version) for version in VERSIONS}
        return sum(
            max(count - share.provisioned.get(version, 0), 0) for version, count in counts.items()
        )

    def _count(self, name: str, version: str | None = None) -> int:
        return sum(
            item.key.name == name and version in (None, item.version) for item in self._running
        )


TestAdmissions = Admissions.TestCase
TestAdmissions.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
