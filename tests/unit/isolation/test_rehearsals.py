"""What a fork server does before it forks leaves it as it was."""

import os
import sys

import pytest

from lambdabox.isolation.guest import main


def test_a_rehearsal_changes_neither_variables_nor_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEPT", "1")
    variables, streams = dict(os.environ), (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__)
    seen = []

    def warm() -> None:
        seen.append(sys.stdout)
        os.environ.clear()
        os.environ["REHEARSED"] = "1"
        sys.stdout.detach()  # type: ignore[union-attr]  # as a runtime does that unbuffers it

    main.rehearse(warm)
    assert dict(os.environ) == variables
    assert (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__) == streams
    assert len(seen) == main.REHEARSALS
    assert not {id(stream) for stream in seen} & {id(stream) for stream in streams}
