"""How sizes, spans of time, tables and log lines read."""

import sys
from datetime import timedelta

import pytest

from lambdabox.cli import output
from lambdabox.cli.duration import parse_duration
from lambdabox.cli.logs import line
from lambdabox.cli.output import CommandError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1w", timedelta(days=7)),
        ("0s", timedelta()),
    ],
)
def test_a_duration(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "m", "10 m", "1.5h", "-5m", "10mm", "5y", "9" * 30 + "w"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="write"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_572_864, "1.5 MiB"),
        (1 << 40, "1048576.0 MiB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert output.size(count) == shown


def test_a_plain_table_is_aligned_and_has_no_trailing_blanks() -> None:
    assert output.plain_table(("Name", "Size"), [("hello", "1"), ("a", "")]) == (
        "NAME   SIZE\nhello  1\na"
    )


def test_a_terminals_table_shows_brackets_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.table(("Name",), [("[red]x[/red]",)])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_progress_without_a_terminal_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("Installing") as say:
        say("a detail")
    assert capsys.readouterr().err == "Installing ...\n"


def test_progress_on_a_terminal_ends_with_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with output.progress("Installing [x]") as say:
        say("[/broken markup")
    assert capsys.readouterr().err.endswith("Installing [x]: done\n")


def test_a_failure_is_one_line_whatever_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail("one\n two\tthree")
    assert capsys.readouterr().err == "error: one two three\n"


def test_a_log_line_has_milliseconds_in_utc_and_colour_only_on_demand() -> None:
    event = {"timestamp": 1_767_323_045_006, "message": "an ERROR\n"}
    assert line(event, colour=False) == "2026-01-02T03:04:05.006Z an ERROR"
    assert "\x1b[" in line(event, colour=True)
