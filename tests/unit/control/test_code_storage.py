"""An account's share of a region's code storage, and what happens when it is full."""

from pathlib import Path

import pytest
from control_fakes import ControlPlane
from support.records import KEY, key, open_state

from lambdabox.domain import limits
from lambdabox.domain.arn import LATEST
from lambdabox.domain.errors import CodeStorageExceededException

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_code_that_does_not_fit_is_refused_and_nothing_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CODE_STORAGE_BYTES", 10)
    async with open_state(tmp_path) as database:
        plane = ControlPlane(database)
        await plane.create(key("first"), b"123456")
        with pytest.raises(CodeStorageExceededException, match="Code storage limit exceeded"):
            await plane.create(KEY, b"12345")
        assert await plane.repository.get(KEY, LATEST) is None
        await plane.create(KEY, b"1234")
