"""What code prints, cut into log events: nothing lost, nothing unbounded, whatever it prints."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.records import SETTINGS, deployment

from lambdabox.domain.functions import LoggingSettings
from lambdabox.domain.limits import LOG_EVENT_BYTES, LOG_TAIL_BYTES
from lambdabox.ports import LogLine, LogStream, Usage
from lambdabox.telemetry.logs import EnvironmentLog, new_stream
from lambdabox.telemetry.platform_events import LogsDropped, RuntimeDone, Start

STREAM = LogStream("123456789012", "us-east-1", "/aws/lambda/hello", "stream")


class KeptJournal:
    """A `ports.Journal` that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    def log(self, line: LogLine) -> None:
        self.lines.append(line)

    def usage(self, usage: Usage) -> None:
        raise AssertionError("a log writes no usage")

    def ended(self, lines: Sequence[LogLine], usage: Usage) -> None:
        for line in lines:
            self.log(line)
        self.usage(usage)


class Setting:
    def __init__(self, settings: LoggingSettings | None = None) -> None:
        self.journal = KeptJournal()
        self.clock = ManualClock()
        self.log = EnvironmentLog(STREAM, settings or LoggingSettings(), self.journal, self.clock)

    @property
    def messages(self) -> list[str]:
        return [line.message for line in self.journal.lines]


def record(level: object, **members: object) -> bytes:
    timestamp = "2026-11-23T06:00:00.123Z"
    return orjson.dumps({"timestamp": timestamp, "level": level, **members}) + b"\n"


def test_each_line_is_an_event_with_its_newline() -> None:
    setting = Setting()
    setting.log.output(b"one\ntwo\n\nfour\n")
    assert setting.messages == ["one\n", "two\n", "\n", "four\n"]


def test_an_event_has_the_time_it_came() -> None:
    setting = Setting()
    setting.log.output(b"one\n")
    setting.clock.advance(1.5)
    setting.log.output(b"two\n")
    first, second = setting.journal.lines
    assert first.timestamp_ms == 1_795_000_000_000
    assert second.timestamp_ms - first.timestamp_ms == 1_500
    assert first.stream == STREAM


def test_a_line_that_comes_in_pieces_is_one_event() -> None:
    setting = Setting()
    for piece in (b"o", b"n", b"e\ntw", b"o", b"\n"):
        setting.log.output(piece)
    assert setting.messages == ["one\n", "two\n"]


def test_a_last_line_without_newline_is_completed_by_flush() -> None:
    setting = Setting()
    setting.log.output(b"whole\npart")
    assert setting.messages == ["whole\n"]
    setting.log.flush()
    setting.log.flush()
    assert setting.messages == ["whole\n", "part"]


def test_a_character_cut_between_two_reads_is_whole_again() -> None:
    setting = Setting()
    for byte in "né€𝄞\n".encode():
        setting.log.output(bytes([byte]))
    assert setting.messages == ["né€𝄞\n"]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5))
def test_how_output_is_cut_into_reads_does_not_matter(output: bytes, cuts: list[int]) -> None:
    whole, pieces = Setting(), Setting()
    whole.log.output(output)
    edges = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    for start, end in itertools.pairwise(edges):
        pieces.log.output(output[start:end])
    for setting in (whole, pieces):
        setting.log.flush()
    lines = [line + b"\n" for line in output.split(b"\n")]
    lines[-1] = lines[-1].removesuffix(b"\n")
    expected = [line.decode("utf-8", "replace") for line in lines if line]
    assert whole.messages == pieces.messages == expected


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    setting = Setting()
    setting.log.output(b"a\xff\xfeb\xc3\n")
    assert setting.messages == ["a\ufffd\ufffdb\ufffd\n"]


@pytest.mark.parametrize("read", [1_000, 64 * 1024, 10**6])
def test_a_line_without_end_is_cut_at_256_kib_and_never_kept_whole(read: int) -> None:
    setting = Setting()
    reads = 2**20 // read + 1
    for _ in range(reads):
        setting.log.output(b"x" * read)
        assert len(setting.log._lines._partial) < LOG_EVENT_BYTES
    setting.log.flush()
    sizes = [len(message) for message in setting.messages]
    assert sum(sizes) == reads * read
    assert max(sizes) == LOG_EVENT_BYTES
    assert sizes[:-1] == [LOG_EVENT_BYTES] * (len(sizes) - 1)


def test_a_long_line_that_comes_at_once_is_cut_too() -> None:
    setting = Setting()
    setting.log.output(b"x" * (LOG_EVENT_BYTES + 5) + b"\nnext\n")
    assert [len(message) for message in setting.messages] == [LOG_EVENT_BYTES, 6, 5]
    assert setting.messages[-1] == "next\n"


def test_the_tail_is_the_last_4_kib() -> None:
    setting = Setting()
    setting.log.output(b"before\n")
    setting.log.begin_tail()
    for number in range(1_000):
        setting.log.output(f"line {number}\n".encode())
    tail = setting.log.take_tail()
    assert len(tail) == LOG_TAIL_BYTES
    assert tail.endswith(b"line 998\nline 999\n")


def test_the_tail_begins_when_asked_and_holds_the_platforms_lines() -> None:
    setting = Setting()
    setting.log.output(b"before\n")
    setting.log.begin_tail()
    setting.log.platform(Start("id", "7"))
    setting.log.output(b"inside\n")
    assert setting.log.take_tail() == b"START RequestId: id Version: 7\ninside\n"
    setting.log.output(b"after\n")
    assert setting.log.take_tail() == b""


def test_the_next_invocations_tail_starts_empty() -> None:
    setting = Setting()
    for text in (b"first\n", b"second\n"):
        setting.log.begin_tail()
        setting.log.output(text)
        assert setting.log.take_tail() == text


@pytest.mark.parametrize(
    ("wanted", "level", "shown"),
    [
        ("INFO", "INFO", True),
        ("INFO", "DEBUG", False),
        ("INFO", "debug", False),
        ("DEBUG", "DEBUG", True),
        ("TRACE", "TRACE", True),
        ("WARN", "WARNING", True),
        ("ERROR", "WARNING", False),
        ("FATAL", "CRITICAL", True),
        ("FATAL", "ERROR", False),
        ("INFO", "LOUD", True),
        ("ERROR", "LOUD", False),
        ("INFO", None, True),
        ("INFO", 7, True),
        ("INFO", {"level": "DEBUG"}, True),
    ],
)
def test_a_json_log_shows_records_of_its_level_and_above(
    wanted: str, level: object, shown: bool
) -> None:
    setting = Setting(LoggingSettings("JSON", application_level=wanted))
    setting.log.output(record(level, message="m"))
    assert bool(setting.messages) is shown


@pytest.mark.parametrize(
    "line",
    [
        b"plain text\n",
        b'{"level":"DEBUG","message":"no timestamp"}\n',
        b'{"timestamp":"yesterday","level":"DEBUG"}\n',
        b'{"timestamp":5,"level":"DEBUG"}\n',
        b'{"timestamp":"2026-11-23T06:00:00Z","level":"DEBUG"\n',
        b'{"timestamp":"2026-11-23T06:00:00Z","level":"DEBUG","x":"\xff"}\n',
        b"[1,2]\n",
        b"{" * 5_000 + b"\n",
    ],
)
def test_a_line_that_is_no_log_record_counts_as_info(line: bytes) -> None:
    shown = Setting(LoggingSettings("JSON", application_level="INFO"))
    hidden = Setting(LoggingSettings("JSON", application_level="WARN"))
    for setting in (shown, hidden):
        setting.log.output(line)
    assert len(shown.messages) == 1
    assert hidden.messages == []


@pytest.mark.parametrize(
    "timestamp",
    ["2026-11-23T06:00:00Z", "2026-11-23T06:00:00.123456+01:00", "2026-11-23T06:00:00-08:00"],
)
def test_timestamps_of_rfc_3339_make_a_record(timestamp: str) -> None:
    setting = Setting(LoggingSettings("JSON"))
    setting.log.output(orjson.dumps({"timestamp": timestamp, "level": "DEBUG"}) + b"\n")
    assert setting.messages == []


def test_a_text_log_shows_records_of_every_level() -> None:
    setting = Setting()
    setting.log.output(record("TRACE"))
    assert len(setting.messages) == 1


@pytest.mark.parametrize(("level", "count"), [("DEBUG", 3), ("INFO", 2), ("WARN", 1)])
def test_the_system_level_decides_on_the_platforms_lines(level: str, count: int) -> None:
    setting = Setting(LoggingSettings("JSON", system_level=level))
    setting.log.platform(RuntimeDone("id", "success", 1.0, 1))
    setting.log.platform(Start("id", "7"))
    setting.log.platform(LogsDropped(1, 1, "x"))
    assert len(setting.messages) == count
    assert all(orjson.loads(message)["type"] for message in setting.messages)


def test_lines_of_the_text_format_are_left_out_of_a_json_log() -> None:
    text, json = Setting(), Setting(LoggingSettings("JSON"))
    for setting in (text, json):
        setting.log.plain("Task timed out\n")
    assert (text.messages, json.messages) == (["Task timed out\n"], [])


def test_a_stream_names_day_version_and_environment() -> None:
    stream = new_stream(deployment(version="7"), 1_795_000_000.0)
    assert (stream.account, stream.region) == ("123456789012", "us-east-1")
    assert stream.group == "/aws/lambda/hello"
    assert re.fullmatch(r"2026/11/18/\[7\][0-9a-f]{32}", stream.name)


def test_a_stream_in_a_shared_group_names_its_function() -> None:
    shared = replace(SETTINGS, logging=LoggingSettings(group="shared"))
    stream = new_stream(deployment(settings=shared), 1_795_000_000.0)
    assert stream.group == "shared"
    assert re.fullmatch(r"2026/11/18/hello\[\$LATEST\]\[[0-9a-f-]{36}\]", stream.name)


def test_no_two_environments_share_a_stream() -> None:
    names = {new_stream(deployment(), 1_795_000_000.0).name for _ in range(50)}
    assert len(names) == 50
