"""What runtime and handler are guessed from a function's files."""

import sys

import pytest

from lambdabox.cli import detection
from lambdabox.cli.detection import guess
from lambdabox.cli.output import CommandError

HERE = f"python{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = "def handler(event, context): ..."


def runtime_and_handler(
    *names: str, source: str = "", runtime: str | None = None, handler: str | None = None
) -> tuple[str, str]:
    guessed = guess(names, lambda _: source, runtime=runtime, handler=handler)
    return guessed.runtime, guessed.handler


@pytest.fixture(autouse=True)
def node_22(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detection, "_node_major", lambda: "22")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["lambda_function.py", "util.py"], (HERE, "lambda_function.handler")),
        (["README.md", "app.py"], (HERE, "app.handler")),
        (["orders.py", "README.md"], (HERE, "orders.handler")),
        (["index.mjs", "package.json"], ("nodejs22.x", "index.handler")),
        (["index.js", "lib/app.py"], ("nodejs22.x", "index.handler")),
        (["bootstrap", "app.py"], ("provided.al2023", "bootstrap")),
    ],
)
def test_files_tell_runtime_and_handler(names: list[str], expected: tuple[str, str]) -> None:
    assert runtime_and_handler(*names, source=PYTHON) == expected


@pytest.mark.parametrize(
    ("source", "function"),
    [
        ("def lambda_handler(e, c): ...\ndef handler(e, c): ...", "lambda_handler"),
        ("def main(e, c): ...", "main"),
        ("app = 1\nhandler = adapt(app)", "handler"),
        ("from x import something", "lambda_handler"),
        ("def broken(:", "lambda_handler"),
        ("nul\0byte", "lambda_handler"),
    ],
)
def test_the_python_source_tells_the_function(source: str, function: str) -> None:
    assert runtime_and_handler("app.py", source=source)[1] == f"app.{function}"


def test_options_are_kept_and_the_rest_is_guessed_to_match() -> None:
    names = ("app.py", "index.mjs")
    assert runtime_and_handler(*names, runtime="nodejs20.x") == ("nodejs20.x", "index.handler")
    assert runtime_and_handler(*names, handler="index.run") == ("nodejs22.x", "index.run")
    assert runtime_and_handler(*names, handler="app.run") == (HERE, "app.run")
    assert runtime_and_handler(runtime="x", handler="y") == ("x", "y")


def test_a_handler_in_a_folder_is_found() -> None:
    assert runtime_and_handler("src/orders.py", handler="src/orders.run") == (
        HERE,
        "src/orders.run",
    )


def test_a_nodejs_version_that_is_no_runtime_gives_a_current_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detection, "_node_major", lambda: "23")
    assert runtime_and_handler("index.mjs")[0] == "nodejs22.x"


@pytest.mark.parametrize(
    ("names", "runtime", "handler", "message"),
    [
        (["README.md"], None, None, "give --runtime and --handler"),
        (["a.py", "b.py"], None, None, "give --runtime and --handler"),
        (["app.py"], "ruby3.4", None, "cannot tell the handler of a ruby3.4 function"),
        (["app.py"], None, "orders.run", "expected orders.py"),
        (["app.py"], "python2.8", None, "there is no runtime 'python2.8'; there are nodejs"),
    ],
)
def test_files_that_do_not_tell_are_an_error(
    names: list[str], runtime: str | None, handler: str | None, message: str
) -> None:
    with pytest.raises(CommandError, match=message):
        runtime_and_handler(*names, runtime=runtime, handler=handler)
