"""What makes triggers and polling start is what they keep and read, no less."""

import re
from pathlib import Path
from typing import Any

import pytest

import lambdabox.events
from lambdabox.domain.arn import Scope
from lambdabox.gateway import figures, platform
from lambdabox.repositories.account_records import AccountRecords, is_any_stored
from lambdabox.server import optional, wiring
from lambdabox.server.config import Settings
from lambdabox.server.event_sources import KIND

EVENTS = Path(lambdabox.events.__path__[0])
OF_NOTHING_TO_DO = {"log-position", "stream-checkpoint"}
"""How far log groups and streams were read: no reason to read on, without a filter or a mapping."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_triggers_start_for_every_kind_of_record_that_they_keep() -> None:
    sources = "".join(path.read_text() for path in EVENTS.glob("*.py"))
    kept = set(re.findall(r'AccountRecords\(\s*\w+,\s*"([a-z0-9-]+)"', sources))
    assert len(kept) > 5
    assert kept - OF_NOTHING_TO_DO == set(optional.TRIGGER_KINDS)


@pytest.mark.anyio
async def test_triggers_read_the_services_that_they_are_started_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    original = optional._triggers

    def noted(*arguments: Any) -> Any:
        made.append(original(*arguments))
        return made[-1]

    monkeypatch.setattr(optional, "_triggers", noted)
    wiring.build(Settings(data_dir=tmp_path), address="127.0.0.1:4566")
    triggers = await made[0]._deferred.get()
    assert triggers.interceptors.keys() == optional.TRIGGER_SERVICES


@pytest.mark.anyio
async def test_a_record_of_any_account_is_a_reason_to_start(tmp_path: Path) -> None:
    parts = wiring.build(Settings(data_dir=tmp_path), address="127.0.0.1:4566")
    async with parts.state as state:
        assert not await is_any_stored(state, (KIND, "stack"))
        records = AccountRecords(state, "stack", dict)
        await records.change(Scope("123456789012", "eu-north-1"), "s", lambda _before: {"a": 1})
        assert await is_any_stored(state, (KIND, "stack"))
        assert not await is_any_stored(state, (KIND,))


def test_figures_are_asked_for_every_page_that_they_have() -> None:
    source = Path(figures.__file__).read_text()
    named = set(re.findall(r'case "(/[a-z]+)"', source))
    assert len(named) == 3
    assert {path.removeprefix("/_lambdabox") for path in platform.FIGURES} == named | {"/metrics"}
