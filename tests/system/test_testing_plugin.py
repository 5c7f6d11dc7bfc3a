"""The pytest plugin as projects use it: runs of pytest of their own, and what they leave."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.functions import eventually
from support.ordinary import Ordinary

EXAMPLE = Path(__file__).parents[2] / "examples" / "tested-project"
HELLO = "def handler(event, context):\n    print('hi')\n    return event or 'none'\n"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory for temporary files, in which nothing may be left."""
    place = tmp_path / "tmp"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    yield place
    left = [path.name for path in place.iterdir() if not path.name.startswith("pytest-of-")]
    assert not left


def pytest_command(project: Path, *options: str) -> list[str | Path]:
    # Named, because it is found by itself only where the wheel is installed.
    plugin = ["-p", "lambdabox.testing.plugin", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", *plugin, "-q", "--rootdir", project, *options, project]


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(place), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run(
    project: Path, place: Path, *options: str, prefix: Sequence[str | Path] = ()
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*prefix, *pytest_command(project, *options)],
        env=environment(place),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def project(tmp_path: Path, tests: str) -> Path:
    root = tmp_path / "project"
    (root / "hello").mkdir(parents=True)
    (root / "hello" / "app.py").write_text(HELLO)
    (root / "pytest.ini").write_text("[pytest]\nlambdabox_settings =\n    network = host\n")
    source = "from pathlib import Path\nimport pytest\nHELLO = Path(__file__).parent / 'hello'\n\n"
    (root / "test_it.py").write_text(source + tests)
    return root


def test_the_example_projects_tests_pass(tmp_path: Path, place: Path) -> None:
    copy = shutil.copytree(EXAMPLE, tmp_path / "project")
    ended = run(copy, place)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout


def test_tests_see_nothing_of_each_other_unless_asked_to(tmp_path: Path, place: Path) -> None:
    root = project(
        tmp_path,
        """
def names(lambdabox):
    return [f["FunctionName"] for f in lambdabox.client("lambda").list_functions()["Functions"]]

def test_one(lambdabox):
    function = lambdabox.deploy(HELLO / "app.py", "alone", environment={"AA": "1"}, memory=256)
    assert function.invoke({"a": 1}).payload == {"a": 1}
    assert function.invoke().payload == "none"
    assert "hi" in function.logs()
    assert names(lambdabox) == ["alone"]

def test_two(lambdabox):
    assert names(lambdabox) == []
""",
    )
    assert "2 passed" in run(root, place).stdout
    shared = run(root, place, "--lambdabox-scope=session")
    assert "1 failed, 1 passed" in shared.stdout
    assert "assert ['alone'] == []" in shared.stdout


def test_a_function_that_fails_fails_the_test_with_its_trace_and_log(
    tmp_path: Path, place: Path
) -> None:
    root = project(
        tmp_path,
        """
def test_it(lambdabox, tmp_path):
    source = tmp_path / "broken.py"
    source.write_text("def handler(event, context):\\n    print('so far')\\n    return 1 / 0\\n")
    function = lambdabox.deploy(source)
    assert function.invoke(check=False).error == "Unhandled"
    function.invoke()
""",
    )
    ended = run(root, place)
    assert "1 failed" in ended.stdout
    assert "FunctionFailed: ZeroDivisionError: division by zero" in ended.stdout
    assert 'broken.py", line 3, in handler' in ended.stdout
    assert "so far" in ended.stdout


def test_without_root_and_namespaces_tests_run_in_plain_processes_and_say_so(
    tmp_path: Path,
) -> None:
    user = Ordinary(tmp_path / "home", mode="no-namespaces")
    prefix = user.prefix
    temporary = user.home / "tmp"
    temporary.mkdir()
    temporary.chmod(0o777)
    root = project(
        user.home,
        "def test_it(lambdabox):\n    assert lambdabox.deploy(HELLO).invoke(1).payload == 1\n",
    )
    ended = run(root, temporary, prefix=prefix)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "lambdabox: functions ran as plain processes" in ended.stdout
    assert not user.processes()
    assert not list(temporary.glob("lambdabox-*"))


def test_a_setting_that_does_not_exist_is_told(tmp_path: Path, place: Path) -> None:
    root = project(tmp_path, "def test_it(lambdabox):\n    pass\n")
    ended = run(root, place, "--lambdabox-setting", "colour=blue")
    assert ended.returncode == 1
    assert "There is no setting named 'colour'" in ended.stdout


def test_a_test_run_that_is_killed_leaves_nothing(tmp_path: Path, place: Path) -> None:
    root = project(
        tmp_path,
        """
def test_it(lambdabox):
    Path(__file__).with_name("started").touch()
    import time
    time.sleep(100)
""",
    )
    started = root / "started"
    process = subprocess.Popen(
        pytest_command(root), env=environment(place), stdout=subprocess.DEVNULL
    )
    try:
        eventually(started.exists)
        (data,) = place.glob("lambdabox-test-*/data")
        node = int((data / "lock").read_text())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    eventually(lambda: not Path(f"/proc/{node}").exists() and not data.parent.exists())
