"""Any order of operations: no undefined state, no number twice, no change without a revision."""

import asyncio
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from control_checks import check_state
from control_fakes import BAD, BETTER, GOOD, ControlPlane
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.records import SCOPE, key, open_state

from lambdabox.domain.errors import ApiError
from lambdabox.domain.functions import Version

names = st.sampled_from(["a", "a", "b"])
codes = st.sampled_from([GOOD, BETTER, BAD])
numbers = st.sampled_from(["1", "2", "3", "0", "$LATEST"])


class ControlOperations(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory()
        self._database = open_state(Path(self._folder.name))
        self._seen: dict[tuple[str, str], Version] = {}
        self._revisions: dict[str, Version] = {}
        self._highest: dict[str, int] = {}

    @initialize()
    def open(self) -> None:
        async def open_plane() -> ControlPlane:
            await self._database.__aenter__()
            return ControlPlane(self._database)

        self.plane = self._runner.run(open_plane())
        self.create("a", GOOD, publish=False)
        self.settle()

    @rule(name=names, code=codes, publish=st.booleans())
    def create(self, name: str, code: bytes, publish: bool) -> None:
        self._attempt(self.plane.create(key(name), code, publish=publish))

    @rule(name=names, code=codes, publish=st.booleans())
    def update_code(self, name: str, code: bytes, publish: bool) -> None:
        self._attempt(self.plane.update_code(key(name), code, publish=publish))

    @rule(name=names, code=codes)
    def update_code_to_its_end(self, name: str, code: bytes) -> None:
        self.settle()
        self.update_code(name, code, publish=False)
        self.settle()

    @rule(name=names, memory=st.sampled_from([128, 256]))
    def update_settings(self, name: str, memory: int) -> None:
        change = {"memory_mib": memory}
        self._attempt(self.plane.functions.update_settings(key(name), change, None))

    @rule(name=names, description=st.none() | st.sampled_from(["x", "y"]))
    def publish(self, name: str, description: str | None) -> None:
        self._attempt(self.plane.publish(key(name), description))

    @rule(name=names)
    def delete(self, name: str) -> None:
        if self._attempt(self.plane.delete(key(name))):
            self._highest.pop(name, None)
            self._seen = {place: v for place, v in self._seen.items() if place[0] != name}

    @rule(name=names, number=numbers)
    def delete_version(self, name: str, number: str) -> None:
        self._attempt(self.plane.delete(key(name), number))

    @rule()
    def settle(self) -> None:
        self._runner.run(self.plane.settle())
        assert self._runner.run(self.plane.repository.unsettled()) == []

    @invariant()
    def everything_is_defined(self) -> None:
        found = self._runner.run(
            self.plane.repository.list_page(SCOPE, after=None, limit=1_000, all_versions=True)
        )
        assert {v.key.name for v in found} == {v.key.name for v in found if v.is_latest}
        for version in found:
            check_state(version)
            self._check_number(version)
            self._check_revision(version)

    def teardown(self) -> None:
        self._runner.run(self._database.__aexit__(None, None, None))
        self._runner.close()
        self._folder.cleanup()

    def _attempt(self, operation: Coroutine[Any, Any, Any]) -> bool:
        """Any operation may be refused, but only in words meant for its caller."""
        try:
            self._runner.run(operation)
        except ApiError:
            return False
        return True

    def _check_number(self, version: Version) -> None:
        name, place = version.key.name, (version.key.name, version.number)
        if not version.is_latest and place not in self._seen:
            number = int(version.number)
            assert number > self._highest.get(name, 0), "a number was given again"
            self._highest[name] = number

    def _check_revision(self, version: Version) -> None:
        known = self._revisions.setdefault(version.revision_id, version)
        assert known == version, "a version changed without a new revision"
        self._seen[version.key.name, version.number] = version


TestControlOperations = ControlOperations.TestCase
TestControlOperations.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
