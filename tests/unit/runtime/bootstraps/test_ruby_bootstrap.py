"""The Ruby bootstrap, on the Ruby that is installed."""

import json
from pathlib import Path

import pytest
from bootstrap_harness import ARN, REQUEST_ID, Start, ruby_starter


@pytest.fixture
def ruby(tmp_path: Path) -> Start:
    return ruby_starter(tmp_path)


ECHO = "def handler(event:, context:)\n  event\nend\n"


def running(*lines: str) -> str:
    return "\n".join(["def handler(event:, context:)", *lines, "end\n"])


def test_events_come_back_unchanged(ruby: Start) -> None:
    with ruby(ECHO) as box:
        box.ready()
        for event in ('{"a":[1,2.5,null,true,"é😀"]}', "null", '"t"', '"' + "x" * 6_291_000 + '"'):
            assert box.invoke(event.encode()).body == event.encode()


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"app.rb": "class A\n def self.h(event:, context:) = 1\nend"}, "app.A.h"),
        (
            {"app.rb": "module M\n class A\n def self.h(event:, context:) = 1\nend\nend"},
            "app.M::A.h",
        ),
        ({"dir/app.rb": "def h(event:, context:) = 1"}, "dir/app.h"),
    ],
)
def test_a_handler_is_found(ruby: Start, files: dict[str, str | bytes], handler: str) -> None:
    with ruby(files, handler=handler) as box:
        box.ready()
        assert box.invoke().value == 1


def test_the_context_tells_everything_about_the_invocation(ruby: Start) -> None:
    names = (
        "function_name function_version invoked_function_arn memory_limit_in_mb aws_request_id "
        "log_group_name log_stream_name identity client_context tenant_id"
    )
    source = running(
        f"c = context; fields = %w[{names}].to_h {{ |n| [n, c.send(n)] }}",
        "{fields: fields, left: c.get_remaining_time_in_millis, trace: ENV['_X_AMZN_TRACE_ID'],",
        " due: c.deadline_ms.class, own: ENV.keys.grep(/LAMBDABOX/)}",
    )
    with ruby(source) as box:
        box.ready()
        value = box.invoke(
            tenant_id="blue",
            trace="Root=1",
            client_context='{"custom":{"a":1}}',
            identity='{"cognitoIdentityId":"i"}',
        ).value
        bare = box.invoke().value
    assert value["fields"] == {
        "function_name": "app",
        "function_version": "$LATEST",
        "invoked_function_arn": ARN,
        "memory_limit_in_mb": "128",
        "aws_request_id": REQUEST_ID,
        "log_group_name": "/aws/lambda/app",
        "log_stream_name": "2026/01/01/[$LATEST]0",
        "identity": {"cognitoIdentityId": "i"},
        "client_context": {"custom": {"a": 1}},
        "tenant_id": "blue",
    }
    assert 0 < value["left"] <= 3000
    assert (value["trace"], value["due"], value["own"]) == ("Root=1", "Integer", [])
    assert bare["trace"] is None
    assert bare["fields"]["tenant_id"] is None
    assert bare["fields"]["client_context"] is None


def test_an_error_is_reported_with_the_users_frames_only(ruby: Start, tmp_path: Path) -> None:
    with ruby(running('  raise ArgumentError, "bäd\\nthing"')) as box:
        box.ready()
        answer = box.invoke()
        assert box.invoke().kind == "E"
        output = box.end()
    assert list(answer.error.items()) == [
        ("errorMessage", "bäd\nthing"),
        ("errorType", "Function<ArgumentError>"),
        ("stackTrace", [f"{tmp_path}/task/app.rb:2:in `handler'"]),
    ]
    assert answer.error_type == "Function<ArgumentError>"
    assert output.startswith('Error raised from handler method\r{\r  "errorMessage": "bäd')
    assert output.count("\n") == 2


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("handler(event: event, context: context)", "Function<SystemStackError>"),
        ("nosuchname", "Function<NameError>"),
        ("require 'nosuchgem'", "Function<LoadError>"),
        ("raise NotImplementedError", "Function<NotImplementedError>"),
        ("0.0 / 0", "Function<JSON::GeneratorError>"),
        ('"\\xff"', "Function<JSON::GeneratorError>"),
        ("raise Class.new(StandardError) { def message = raise('no') }", None),
        ('raise "\\xff\\0"', "Function<RuntimeError>"),
    ],
)
def test_a_failing_invocation_leaves_the_process_usable(
    ruby: Start, body: str, kind: str | None
) -> None:
    with ruby(running("return 1 if event == 1", body)) as box:
        box.ready()
        answer = box.invoke()
        assert box.invoke(b"1").value == 1
    assert answer.kind == "E"
    if kind is not None:
        assert answer.error["errorType"] == kind


def test_an_event_that_is_not_json_fails_the_invocation(ruby: Start) -> None:
    with ruby(ECHO) as box:
        box.ready()
        for event in (b"", b"\xff", b"[" * 100_000):
            assert box.invoke(event).error["errorType"].startswith("Function<JSON::")


@pytest.mark.parametrize(
    ("files", "handler", "kind"),
    [
        ({}, "app.handler", "Init<LoadError>"),
        ({"app.rb": "def handler("}, "app.handler", "Init<SyntaxError>"),
        ({"app.rb": "raise KeyError, 'k'"}, "app.handler", "Init<KeyError>"),
        ({"app.rb": ECHO}, "app", "Init<ArgumentError>"),
        ({"app.rb": ECHO}, "a.b.c.d", "Init<ArgumentError>"),
    ],
)
def test_a_failed_init_is_reported_and_ends_the_process(
    ruby: Start, files: dict[str, str | bytes], handler: str, kind: str
) -> None:
    with ruby(files, handler=handler) as box:
        frame = box.receive()
        assert frame is not None
        assert frame.kind == "X"
        assert box.status() == 1
        output = box.end()
    assert frame.error["errorType"] == kind
    assert frame.error_type == kind
    assert output.startswith(f"Init error when loading handler {handler}\r{{")
    assert output.count("\n") == 1


@pytest.mark.parametrize("body", ["exit 3", "exit! 3", "Process.exit(3)"])
def test_exiting_ends_the_process_without_an_answer(ruby: Start, body: str) -> None:
    with ruby(running(body)) as box:
        box.ready()
        box.send(b"{}")
        assert box.receive() is None
        assert box.status() == 3


def test_output_is_written_in_order_and_at_once(ruby: Start) -> None:
    source = running("puts 'one'", "$stderr.puts 'two'", "print 'three'", "exit! 1")
    with ruby(source) as box:
        box.ready()
        box.send(b"{}")
        assert box.status() == 1
        assert box.end() == "one\ntwo\nthree"


@pytest.mark.parametrize(
    "vandalism",
    ["$stdout.close", "$stdout = Object.new.tap { |o| def o.write(*) = 1 }", "STDOUT.close"],
)
def test_the_answer_survives_a_vandalised_stdout(ruby: Start, vandalism: str) -> None:
    with ruby(
        running(vandalism + " if event == 1", "raise 'logged' if event == 2", "'fine'")
    ) as box:
        box.ready()
        assert box.invoke(b"1").value == "fine"
        assert box.invoke(b"2").error["errorMessage"] == "logged"
        assert "logged" in box.end()


def test_a_string_io_is_passed_on_as_it_is(ruby: Start) -> None:
    with ruby("require 'stringio'\n" + running('StringIO.new("\\xff\\x00raw")')) as box:
        box.ready()
        assert box.invoke().body == b"\xff\x00raw"


def test_libraries_come_from_layers(ruby: Start, tmp_path: Path) -> None:
    library = tmp_path / "layer" / "ruby" / "lib"
    library.mkdir(parents=True)
    (library / "shared_thing.rb").write_text("SHARED = 5\n")
    with ruby("require 'shared_thing'\n" + running("SHARED")) as box:
        box.ready()
        assert box.invoke().value == 5


def test_child_processes_do_not_inherit_the_channel(ruby: Start) -> None:
    with ruby(running("`ls -l /proc/self/fd`")) as box:
        box.ready()
        assert "socket:" not in box.invoke().value


def test_a_closed_channel_ends_the_process_quietly(ruby: Start) -> None:
    with ruby(ECHO) as box:
        box.ready()
        assert box.end() == ""
        assert box.status() == 0


def test_the_cause_is_left_empty(ruby: Start) -> None:
    with ruby(running("raise 'x'")) as box:
        box.ready()
        answer = box.invoke()
    assert answer.cause == ""
    assert json.loads(answer.error_text)["errorMessage"] == "x"
