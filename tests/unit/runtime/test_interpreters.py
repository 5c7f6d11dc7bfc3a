import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.programs import needed

from lambdabox.domain.runtimes import CREATABLE, Family
from lambdabox.runtime.interpreters import SETTING, Interpreter, Interpreters

pytestmark = pytest.mark.anyio

PYTHON = CREATABLE["python3.12"]
NODE = CREATABLE["nodejs20.x"]
RUBY = CREATABLE["ruby3.2"]
JAVA = CREATABLE["java21"]
PROVIDED = CREATABLE["provided.al2023"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def script(file: Path, body: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def interpreter(
    file: Path, version: str, *, implementation: str = "cpython", real: Path | None = None
) -> Path:
    """An executable that answers as an interpreter would, and counts how often it is asked."""
    answer = "\\n".join([implementation, version, str(real or file), str(file.parent.parent)])
    return script(file, f'echo asked >> "{file}.asked"; printf "{answer}\\n"')


def times_asked(file: Path) -> int:
    log = Path(f"{file}.asked")
    return log.read_text().count("asked") if log.exists() else 0


class Machine:
    """A machine with nothing installed but what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home"
        self.system = root / "usr/bin"
        self.path = root / "opt/bin"

    def interpreters(
        self, overrides: Mapping[str, str] | None = None, *, seconds: float = 10
    ) -> Interpreters:
        return Interpreters(
            overrides or {}, f"relative:{self.path}::/bin-that-is-not-there", self.home,
            system=[self.system], probe_seconds=seconds,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


async def test_what_is_found_is_described(machine: Machine) -> None:
    file = interpreter(machine.path / "python3.12", "3.12.4")
    assert await machine.interpreters().find(PYTHON) == Interpreter(
        executable=file, version="3.12.4", warning=None, prefix=machine.path.parent
    )


async def test_nothing_is_found_on_an_empty_machine(machine: Machine) -> None:
    for runtime in CREATABLE.values():
        assert await machine.interpreters().find(runtime) is None


@pytest.mark.parametrize(
    ("place", "version", "implementation", "name"),
    [
        ("usr/bin/python3", "3.12.0", "cpython", "python3.12"),
        ("opt/bin/python3.12", "3.12.0", "cpython", "python3.12"),
        ("home/.pyenv/versions/3.12.1/bin/python3.12", "3.12.1", "cpython", "python3.12"),
        (
            "home/.local/share/uv/python/cpython-3.12.8-linux-x86_64-gnu/bin/python3.12",
            "3.12.8", "cpython", "python3.12",
        ),
        ("usr/bin/nodejs", "20.1.2", "node", "nodejs20.x"),
        ("home/.nvm/versions/node/v20.20.2/bin/node", "20.20.2", "node", "nodejs20.x"),
        (
            "home/.local/share/fnm/node-versions/v20.0.1/installation/bin/node",
            "20.0.1", "node", "nodejs20.x",
        ),
        ("home/.rbenv/versions/3.2.6/bin/ruby", "3.2.6", "ruby", "ruby3.2"),
        ("opt/bin/ruby3.2", "3.2.1", "ruby", "ruby3.2"),
    ],
)  # fmt: skip
async def test_every_usual_place_is_searched(
    place: str, version: str, implementation: str, name: str, machine: Machine, tmp_path: Path
) -> None:
    file = interpreter(tmp_path / place, version, implementation=implementation)
    found = await machine.interpreters().find(CREATABLE[name])
    assert found is not None
    assert (found.executable, found.version) == (file, version)


@pytest.mark.parametrize(
    ("version", "implementation"),
    [
        ("3.11.9", "cpython"),
        ("3.1", "cpython"),
        ("3.120.0", "cpython"),
        ("3.12.0", "pypy"),
        ("3.12.0", "cpythont"),
    ],
)
async def test_the_name_of_an_executable_proves_nothing(
    version: str, implementation: str, machine: Machine
) -> None:
    file = interpreter(machine.path / "python3.12", version, implementation=implementation)
    assert await machine.interpreters().find(PYTHON) is None
    assert times_asked(file) == 1


async def test_the_distributions_comes_before_path_and_version_managers(
    machine: Machine, tmp_path: Path
) -> None:
    pyenv = interpreter(machine.home / ".pyenv/versions/3.12.9/bin/python3.12", "3.12.9")
    on_path = interpreter(machine.path / "python3.12", "3.12.5")
    system = interpreter(machine.system / "python3.12", "3.12.1")
    for expected in (system, on_path, pyenv):
        found = await machine.interpreters().find(PYTHON)
        assert found is not None
        assert found.executable == expected
        expected.unlink()
    assert await machine.interpreters().find(PYTHON) is None


async def test_a_home_that_cannot_be_looked_into_hides_no_other_place(machine: Machine) -> None:
    file = interpreter(machine.system / "python3.12", "3.12.1")
    machine.home = Path("/", "a" * 300)  # longer than a name may be, so not even root can
    found = await machine.interpreters().find(PYTHON)
    assert found is not None
    assert found.executable == file


async def test_of_managed_versions_the_newest_is_taken_and_others_are_not_run(
    machine: Machine,
) -> None:
    versions = machine.home / ".pyenv/versions"
    files = {
        version: interpreter(versions / version / "bin/python3.12", version)
        for version in ("3.12.9", "3.12.10", "3.1.2", "3.11.12")
    }
    found = await machine.interpreters().find(PYTHON)
    assert found is not None
    assert found.version == "3.12.10"
    assert [version for version, file in files.items() if times_asked(file)] == ["3.12.10"]


async def test_a_shim_is_resolved_to_the_real_executable(machine: Machine) -> None:
    real = interpreter(machine.home / ".pyenv/versions/3.12.1/bin/python3.12", "3.12.1")
    shim = script(machine.path / "python3.12", f'exec "{real}" "$@"')
    found = await machine.interpreters().find(PYTHON)
    assert found is not None
    assert found.executable == real != shim


async def test_a_shim_whose_version_is_not_selected_is_passed_over(machine: Machine) -> None:
    script(machine.path / "python3.12", "echo 'pyenv: python3.12: command not found' >&2; exit 127")
    real = interpreter(machine.home / ".pyenv/versions/3.12.1/bin/python3.12", "3.12.1")
    found = await machine.interpreters().find(PYTHON)
    assert found is not None
    assert found.executable == real


@pytest.mark.parametrize(
    "body",
    ["exit 0", "echo one line", "printf 'cpython\\n3.12.0\\nrelative\\n/usr\\n'", "kill -9 $$"],
)
async def test_what_answers_nonsense_is_passed_over(body: str, machine: Machine) -> None:
    script(machine.path / "python3.12", body)
    assert await machine.interpreters().find(PYTHON) is None


def said_until_its_end(pipe: int) -> bytes:
    os.set_blocking(pipe, True)
    with open(pipe, "rb") as said:
        return said.read()


async def test_what_does_not_answer_in_time_is_killed_with_its_children(machine: Machine) -> None:
    machine.path.mkdir(parents=True)
    os.mkfifo(machine.path / "pipe")
    pipe = os.open(machine.path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    child = f'(echo started; exec /bin/sleep 60) > "{machine.path}/pipe"'
    hanging = script(machine.path / "python3.12", f"{child} & wait")
    interpreters = machine.interpreters({PYTHON.name: str(hanging)}, seconds=1)
    assert await interpreters.find(PYTHON) is None
    assert "did not answer within 1 s" in interpreters.missing_message(PYTHON)
    with anyio.fail_after(20):
        assert await anyio.to_thread.run_sync(said_until_its_end, pipe) == b"started\n"


async def test_an_executable_is_asked_once(machine: Machine) -> None:
    file = interpreter(machine.path / "python3.12", "3.12.4")
    interpreters = machine.interpreters()
    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(interpreters.find, PYTHON)
    await interpreters.survey()
    assert times_asked(file) == 1


async def test_a_changed_executable_is_asked_again(machine: Machine) -> None:
    file = interpreter(machine.path / "python3.12", "3.12.4")
    interpreters = machine.interpreters()
    await interpreters.find(PYTHON)
    interpreter(file, "3.12.55")
    found = await interpreters.find(PYTHON)
    assert found is not None
    assert found.version == "3.12.55"


async def test_a_removed_interpreter_is_replaced_by_the_next(machine: Machine) -> None:
    first = interpreter(machine.system / "python3.12", "3.12.4")
    second = interpreter(machine.path / "python3.12", "3.12.3")
    interpreters = machine.interpreters()
    await interpreters.find(PYTHON)
    first.unlink()
    found = await interpreters.find(PYTHON)
    assert found is not None
    assert found.executable == second


async def test_one_installed_later_is_found_at_once(machine: Machine) -> None:
    interpreters = machine.interpreters()
    assert await interpreters.find(PYTHON) is None
    interpreter(machine.path / "python3.12", "3.12.4")
    assert await interpreters.find(PYTHON) is not None


async def test_the_setting_comes_first(machine: Machine, tmp_path: Path) -> None:
    interpreter(machine.system / "python3.12", "3.12.4")
    chosen = interpreter(tmp_path / "mine/python", "3.12.1")
    found = await machine.interpreters({"python3.12": str(chosen)}).find(PYTHON)
    assert found is not None
    assert (found.executable, found.warning) == (chosen, None)


@pytest.mark.parametrize("given", ["~/bin/mine", "custom-python"])
async def test_the_setting_may_start_at_home_or_be_on_path(given: str, machine: Machine) -> None:
    interpreter(machine.home / "bin/mine", "3.12.1")
    interpreter(machine.path / "custom-python", "3.12.1")
    assert await machine.interpreters({"python3.12": given}).find(PYTHON) is not None


async def test_another_version_in_the_setting_is_used_with_a_warning(machine: Machine) -> None:
    chosen = interpreter(machine.path / "other", "3.13.0")
    found = await machine.interpreters({"python3.12": str(chosen)}).find(PYTHON)
    assert found is not None
    assert found.warning == (
        f"python3.12 is run by {chosen}, as {SETTING} says, which is cpython 3.13.0"
        " and not Python 3.12"
    )


async def test_a_setting_that_names_nothing_is_not_replaced_by_a_search(machine: Machine) -> None:
    interpreter(machine.system / "python3.12", "3.12.4")
    interpreters = machine.interpreters({"python3.12": "/not/there"})
    assert await interpreters.find(PYTHON) is None
    message = interpreters.missing_message(PYTHON)
    assert "/not/there" in message
    assert "there is no such executable" in message
    assert SETTING in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python3.14", "uv python install 3.14"),
        ("python3.14", f"{SETTING}=python3.14=/path/to/python"),
        ("nodejs24.x", "nvm install 24"),
        ("nodejs24.x", "apt install nodejs"),
        ("ruby3.4", "rbenv install 3.4"),
        ("java21", "does not run java21"),
        ("java21", "provided.al2023"),
        ("dotnet8", "native AOT"),
        ("provided.al2023", "needs no interpreter"),
    ],
)
def test_the_message_says_what_to_do(name: str, expected: str, machine: Machine) -> None:
    assert expected in machine.interpreters().missing_message(CREATABLE[name])


async def test_the_survey_covers_every_runtime(machine: Machine) -> None:
    interpreter(machine.path / "node", "20.1.0", implementation="node")
    survey = {a.runtime.name: a for a in await machine.interpreters().survey()}
    assert list(survey) == list(CREATABLE)
    assert survey["nodejs20.x"].interpreter is not None
    assert survey["nodejs20.x"].problem is None
    assert survey["provided.al2023"].problem is None
    assert "ruby4.0" in str(survey["ruby4.0"].problem)
    assert "java25" in str(survey["java25"].problem)


async def test_this_very_python_is_recognised_from_inside_a_virtual_environment(
    tmp_path: Path,
) -> None:
    runtime = CREATABLE["python{}.{}".format(*sys.version_info)]
    interpreters = Interpreters({runtime.name: sys.executable}, "", tmp_path)
    found = await interpreters.find(runtime)
    assert found is not None
    assert found.warning is None
    assert found.version == sysconfig.get_config_var("py_version")
    assert found.prefix == Path(sys.base_prefix)
    assert found.executable.is_relative_to(sys.base_prefix)


async def test_a_real_node_is_recognised(tmp_path: Path) -> None:
    program = str(await anyio.Path(needed("node")).resolve())
    interpreters = Interpreters({"nodejs20.x": program}, os.defpath, tmp_path)
    found = await interpreters.find(NODE)
    assert found is not None
    assert found.executable == Path(program)
    assert found.prefix == found.executable.parent.parent
    assert found.version.count(".") == 2


async def test_a_real_ruby_is_recognised(tmp_path: Path) -> None:
    found = await Interpreters({"ruby3.2": needed("ruby")}, "", tmp_path).find(RUBY)
    assert found is not None
    assert found.version.count(".") == 2


def test_every_family_that_can_be_created_has_a_message(machine: Machine) -> None:
    assert {runtime.family for runtime in CREATABLE.values()} == set(Family)
    for runtime in CREATABLE.values():
        assert runtime.name in machine.interpreters().missing_message(runtime)
