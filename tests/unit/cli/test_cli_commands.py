"""The client commands against a node in miniature: what goes where, and how they end."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fake_node import FakeNode, answer, refusal
from typer.testing import CliRunner, Result

from lambdabox.cli import functions as functions_module
from lambdabox.cli import reference
from lambdabox.cli.main import app

CONFIGURED = (
    "LAMBDABOX_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CONFIGURED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    with FakeNode() as fake:
        monkeypatch.setenv("LAMBDABOX_ENDPOINT", fake.endpoint)
        yield fake


def run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def refused(result: Result) -> str:
    """The one line a failed command says."""
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


# invoke


def test_the_payload_alone_goes_to_stdout(node: FakeNode) -> None:
    node.add("hello")
    node.invocation = answer({"greeting": "Grüß dich"})
    node.invocation.headers["X-Amz-Log-Result"] = base64.b64encode(b"START\nREPORT\n").decode()
    result = run("invoke", "hello", "--event", '{"name": "Ada"}', "--tail")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"greeting": "Grüß dich"}
    assert result.stderr == "START\nREPORT\n"
    assert node.events == [b'{"name": "Ada"}']


def test_a_function_error_makes_the_exit_status_1(node: FakeNode) -> None:
    node.add("hello")
    node.invocation = answer({"errorType": "ValueError", "errorMessage": "no\nname"})
    node.invocation.headers["X-Amz-Function-Error"] = "Unhandled"
    result = run("invoke", "hello")
    assert json.loads(result.stdout)["errorType"] == "ValueError"
    assert refused(result) == "the function failed: ValueError: no name"


def test_everything_about_an_invocation_is_there_as_json(node: FakeNode) -> None:
    node.add("hello")
    node.invocation = answer("plain")
    node.invocation.headers["X-Amz-Executed-Version"] = "$LATEST"
    result = run("invoke", "hello", "--json")
    assert json.loads(result.stdout) == {
        "StatusCode": 200,
        "RequestId": "req-1",
        "ExecutedVersion": "$LATEST",
        "Payload": "plain",
    }


def test_an_event_is_accepted_without_a_payload(node: FakeNode) -> None:
    node.add("hello")
    node.invocation = answer("", 202)
    node.invocation.body = b""
    result = run("invoke", "hello", "--type", "Event")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Accepted as request req-1" in result.stderr


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_an_event_comes_from_a_file_or_stdin(node: FakeNode, tmp_path: Path, source: str) -> None:
    node.add("hello")
    path = tmp_path / "event.json"
    path.write_text('{"from": 1}')
    given = str(path) if source == "file" else "-"
    result = run("invoke", "hello", "--event", given, stdin=path.read_bytes())
    assert result.exit_code == 0
    assert node.events == [b'{"from": 1}']


@pytest.mark.parametrize(
    ("event", "stdin", "said"),
    [
        ("evnt.json", "", "--event 'evnt.json' is neither a file nor JSON"),
        ("{", "", "--event '{' is neither a file nor JSON"),
        ("x" * 5000, "", "is neither a file nor JSON"),
        ("-", "not json", "the event in stdin is not JSON: Expecting value: line 1 column 1"),
        ("-", b"\xff", "the event in stdin is not JSON"),
    ],
    ids=["no such file", "half JSON", "too long for a path", "stdin", "not even text"],
)
def test_an_event_that_is_not_json_is_not_sent(
    node: FakeNode, event: str, stdin: str | bytes, said: str
) -> None:
    assert said in refused(run("invoke", "hello", "--event", event, stdin=stdin))
    assert node.requests == []


def test_the_nodes_error_is_one_line_with_its_code(node: FakeNode) -> None:
    assert refused(run("invoke", "nobody")) == (
        "ResourceNotFoundException: Function not found: nobody"
    )


def test_a_throttled_invocation_is_not_tried_again(node: FakeNode) -> None:
    node.add("hello")
    node.invocation = refusal(429, "TooManyRequestsException", "Rate Exceeded.")
    assert refused(run("invoke", "hello")) == "TooManyRequestsException: Rate Exceeded."
    assert len(node.events) == 1


# The endpoint


def test_a_node_that_is_not_there_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    assert refused(run("functions", "--endpoint", endpoint)) == (
        f"cannot reach a node at {endpoint}: start one with `lambdabox up`, "
        "or name another with --endpoint"
    )


@pytest.mark.parametrize("endpoint", ["localhost:4566", "ftp://x", "http://", "4566"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    said = refused(run("functions", "--endpoint", endpoint))
    assert f"{endpoint!r} is not a URL" in said


def test_the_endpoint_is_taken_from_aws_own_variable_too(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAMBDABOX_ENDPOINT")
    monkeypatch.setenv("AWS_ENDPOINT_URL", node.endpoint)
    assert run("functions").exit_code == 0


def test_a_proxy_is_not_asked_for_a_node_on_this_machine(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert run("functions").exit_code == 0


def test_a_profile_that_is_not_configured_is_one_line(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "absent")
    assert "absent" in refused(run("functions"))


def test_the_region_is_the_options_or_the_one_configured_for_aws(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\nregion = eu-north-1\n")
    run("functions")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    run("functions")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    run("functions")
    run("functions", "--region", "sa-east-1")
    assert node.regions == ["us-east-1", "eu-north-1", "eu-west-1", "sa-east-1"]


# functions, delete


def test_functions_are_a_table_that_reads_without_a_terminal(node: FakeNode) -> None:
    node.add("hello")
    node.add("a-function-with-a-rather-long-name-that-no-table-may-cut-off-at-all")
    result = run("functions")
    heading, first, second = result.stdout.splitlines()
    assert heading.split() == [
        "NAME", "RUNTIME", "HANDLER", "MEMORY", "TIMEOUT", "SIZE", "MODIFIED",
    ]  # fmt: skip
    assert first.startswith("a-function-with-a-rather-long-name-that-no-table-may-cut-off-at-all ")
    assert second.split("  ")[0] == "hello"
    assert second.endswith("128 MiB  3 s      2.0 KiB  2026-01-02 03:04")


def test_functions_are_listed_to_the_last_page(node: FakeNode) -> None:
    node.page_size = 2
    for name in "abcde":
        node.add(name)
    listed = json.loads(run("functions", "--json").stdout)
    assert [each["FunctionName"] for each in listed] == list("abcde")


def test_variables_are_masked_unless_asked_for(node: FakeNode) -> None:
    node.add("hello")
    node.functions["hello"]["Environment"] = {"Variables": {"PASSWORD": "secret"}}
    [shown] = json.loads(run("functions", "--json").stdout)
    assert shown["Environment"] == {"Variables": {"PASSWORD": "****"}}
    [shown] = json.loads(run("functions", "--json", "--show-variables").stdout)
    assert shown["Environment"] == {"Variables": {"PASSWORD": "secret"}}
    node.functions["hello"]["Environment"] = {"Error": {"ErrorCode": "KMSNotFoundException"}}
    [shown] = json.loads(run("functions", "--json").stdout)
    assert shown["Environment"] == {"Error": {"ErrorCode": "KMSNotFoundException"}}


def test_no_functions_is_no_error(node: FakeNode) -> None:
    result = run("functions")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "lambdabox deploy" in result.stderr
    assert run("functions", "--json").stdout == "[]\n"


def test_a_function_is_deleted_with_yes(node: FakeNode) -> None:
    node.add("hello")
    assert run("delete", "hello", "--yes").exit_code == 0
    assert node.functions == {}


def test_without_a_terminal_nothing_is_deleted_unasked(node: FakeNode) -> None:
    node.add("hello")
    assert "add --yes" in refused(run("delete", "hello", stdin="y\n"))
    assert "hello" in node.functions


@pytest.mark.parametrize(("reply", "kept"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_at_a_terminal_deleting_is_asked_for(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, reply: str, kept: bool
) -> None:
    node.add("hello")
    monkeypatch.setattr(functions_module, "_is_terminal", lambda: True)
    result = run("delete", "hello", stdin=reply)
    assert "Delete hello with all its versions?" in result.stderr
    assert (result.exit_code != 0, "hello" in node.functions) == (kept, kept)


# logs


def event(event_id: str, timestamp: int, message: str) -> dict[str, object]:
    return {"eventId": event_id, "timestamp": timestamp, "message": message}


def test_a_log_is_read_to_its_last_page(node: FakeNode) -> None:
    node.add("hello")
    node.log_pages = [
        answer({"events": [event("1", 1_000, "START RequestId: r\n")], "nextToken": "t"}),
        answer({"events": [event("2", 1_250, "two")]}),
    ]
    result = run("logs", "hello")
    assert result.stdout.splitlines() == [
        "1970-01-01T00:00:01.000Z START RequestId: r",
        "1970-01-01T00:00:01.250Z two",
    ]
    assert '"logGroupName": "/aws/lambda/hello"' in node.requests[-1]
    assert '"nextToken": "t"' in node.requests[-1]


def test_a_log_is_filtered_and_can_be_json(node: FakeNode) -> None:
    node.add("hello")
    node.log_pages = [answer({"events": [event("1", 1, "ok"), event("2", 2, "an ERROR [x]")]})]
    result = run("logs", "hello", "--filter", "ERROR [", "--json")
    assert json.loads(result.stdout) == [event("2", 2, "an ERROR [x]")]


def test_a_functions_own_log_group_is_read(node: FakeNode) -> None:
    node.add("hello", LoggingConfig={"LogGroup": "shared"})
    run("logs", "hello")
    assert '"logGroupName": "shared"' in node.requests[-1]


@pytest.mark.parametrize("as_json", [False, True])
def test_following_shows_late_events_once_and_ends_with_ctrl_c(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    pauses = iter([None, None])

    def pause(_seconds: float) -> None:
        if next(pauses, KeyboardInterrupt) is KeyboardInterrupt:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pause)
    node.add("hello")
    first, late, new = event("1", 90_000, "a"), event("2", 89_000, "b"), event("3", 91_000, "c")
    node.log_pages = [
        answer({"events": [first]}),
        answer({"events": [late, first]}),
        answer({"events": [late, first, new]}),
    ]
    options = ["--json"] if as_json else []
    result = run("logs", "hello", "--follow", "--since", "90000d", *options)
    assert result.exit_code == 0
    shown = result.stdout.splitlines()
    messages = [json.loads(line)["message"] if as_json else line.split()[1] for line in shown]
    assert messages == ["a", "b", "c"]
    assert '"startTime": 85000' in node.requests[-1]


def test_a_function_that_never_ran_has_no_log(node: FakeNode) -> None:
    node.add("hello")
    missing = {"__type": "ResourceNotFoundException", "message": "no such group"}
    node.log_pages = [answer(missing, 400)]
    assert refused(run("logs", "hello")) == "hello has not written a log: invoke it first"


def test_a_wrong_duration_is_told_with_the_form(node: FakeNode) -> None:
    assert refused(run("logs", "hello", "--since", "ten")) == (
        "'ten' is not a duration; write 90s, 10m, 1h30m or 2d"
    )


# The command itself


def test_the_version_is_printed() -> None:
    assert run("version").stdout == run("--version").stdout
    assert set(json.loads(run("version", "--json").stdout)) == {"lambdabox", "python"}


@pytest.mark.parametrize(("command", "shown"), list(reference.helps())[1:])
def test_every_command_explains_itself_with_an_example(command: str, shown: str) -> None:
    if "Commands:" in shown:
        assert f"{command} [OPTIONS] COMMAND" in shown
        return
    assert "Example" in shown
    assert f"\n    {command}" in shown or f"$({command}" in shown


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    page = Path(__file__).parents[3] / "docs" / "cli.md"
    assert page.read_text() == reference.page(), "run `make cli-reference`"


def test_names_of_functions_are_completed(node: FakeNode) -> None:
    for name in ("hello", "help", "other"):
        node.add(name)
    variables = {
        "_LAMBDABOX_COMPLETE": "complete_bash",
        "COMP_WORDS": "lambdabox invoke hel",
        "COMP_CWORD": "2",
    }
    result = CliRunner().invoke(app, [], env=variables, prog_name="lambdabox")
    assert result.stdout.split() == ["hello", "help"]


def test_a_mistyped_command_gets_a_suggestion() -> None:
    result = run("depoy")
    assert result.exit_code == 2
    assert "Did you mean 'deploy'?" in result.stderr
