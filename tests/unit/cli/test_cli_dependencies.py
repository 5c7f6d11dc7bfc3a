"""How a function's packages are installed for the runtime that will load them."""

import json
import platform
import shutil
import sys
from pathlib import Path

import pytest

from lambdabox.cli import dependencies
from lambdabox.cli.dependencies import Pip, Target
from lambdabox.cli.output import CommandError

REQUIREMENTS = Path("/src/requirements.txt")
DESTINATION = Path("/build/packages")
THIS_MACHINE = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
OTHER_MACHINE = "arm64" if THIS_MACHINE == "x86_64" else "x86_64"


def values_of(command: list[str], option: str) -> list[str]:
    return [command[i + 1] for i, word in enumerate(command) if word == option]


@pytest.mark.parametrize(
    ("names", "runtime", "asked_by"),
    [
        (["app.py", "requirements.txt"], "python3.12", "requirements.txt"),
        (["index.mjs", "requirements.txt"], "nodejs22.x", None),
        (["app.py"], "python3.12", None),
        (["index.mjs", "package.json"], "nodejs22.x", "package.json"),
        (["index.mjs", "package.json", "node_modules/a/index.js"], "nodejs22.x", None),
        (["app.py", "requirements.txt"], "unheard-of", None),
    ],
)
def test_what_asks_for_packages(
    tmp_path: Path, names: list[str], runtime: str, asked_by: str | None
) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"a": "1"}}')
    assert dependencies.needs(names, runtime, tmp_path) == asked_by


@pytest.mark.parametrize("manifest", [{}, {"dependencies": {}}, {"devDependencies": {"a": "1"}}])
def test_a_manifest_without_dependencies_asks_for_nothing(
    tmp_path: Path, manifest: dict[str, object]
) -> None:
    (tmp_path / "package.json").write_text(json.dumps(manifest))
    assert dependencies.needs(["package.json"], "nodejs22.x", tmp_path) is None


def test_a_broken_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{")
    with pytest.raises(CommandError, match=r"package\.json is not JSON"):
        dependencies.needs(["package.json"], "nodejs22.x", tmp_path)


def test_the_pip_of_the_runtimes_own_python_is_preferred() -> None:
    pips = [Pip(("a",), "3.11"), Pip(("b",), "3.13")]
    assert dependencies.choose(pips, Target("3.13", "x86_64")) == pips[1]
    assert dependencies.choose(pips, Target("3.12", "x86_64")) == pips[0]
    assert dependencies.choose([], Target("3.12", "x86_64")) is None


def test_the_same_python_may_build_from_source() -> None:
    pip = Pip(("pip",), "3.13")
    target = Target("3.13", THIS_MACHINE)
    command = dependencies.pip_install(pip, REQUIREMENTS, DESTINATION, target)
    assert values_of(command, "--requirement") == [str(REQUIREMENTS)]
    assert values_of(command, "--target") == [str(DESTINATION)]
    assert "--platform" not in command
    assert "--only-binary" not in command


@pytest.mark.parametrize(
    "target", [Target("3.12", THIS_MACHINE), Target("3.13", OTHER_MACHINE)], ids=str
)
def test_another_python_or_processor_takes_wheels_only(target: Target) -> None:
    pip = Pip(("pip",), "3.13")
    command = dependencies.pip_install(pip, REQUIREMENTS, DESTINATION, target)
    assert values_of(command, "--only-binary") == [":all:"]
    assert values_of(command, "--python-version") == [target.python_version]
    platforms = values_of(command, "--platform")
    assert platforms[0] == f"manylinux_2_28_{target.machine}"
    assert platforms[-1] == f"manylinux2014_{target.machine}"


def test_an_older_runtime_takes_wheels_for_an_older_system() -> None:
    command = dependencies.pip_install(
        Pip(("pip",), "3.13"), REQUIREMENTS, DESTINATION, Target("3.10", "x86_64")
    )
    assert values_of(command, "--platform") == ["manylinux_2_17_x86_64", "manylinux2014_x86_64"]


def test_uv_builds_with_the_runtimes_python_or_takes_wheels_for_it() -> None:
    target = Target("3.12", "arm64")
    own = dependencies.uv_install("uv", REQUIREMENTS, DESTINATION, target, "python3.12")
    assert values_of(own, "--python") == ["python3.12"]
    assert "--only-binary" not in own
    other = dependencies.uv_install("uv", REQUIREMENTS, DESTINATION, target, None)
    assert values_of(other, "--python-platform") == ["aarch64-manylinux_2_28"]
    assert values_of(other, "--only-binary") == [":all:"]


def test_without_pip_and_uv_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(dependencies, "_pips", lambda _: [])
    with pytest.raises(CommandError, match="needs pip or uv to install, and neither was found"):
        dependencies.python_command(REQUIREMENTS, DESTINATION, Target("3.12", "x86_64"))


def test_a_failing_installer_shows_its_last_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    script = "import sys; [print('line', i) for i in range(30)]; sys.exit(3)"
    with pytest.raises(CommandError, match="pip failed with status 3: line 29"):
        dependencies._run([sys.executable, "-c", script], tmp_path, said.append)
    shown = capsys.readouterr().err.splitlines()
    assert shown == [f"line {i}" for i in range(18, 30)]
    assert len(said) == 30


def test_npm_works_on_a_copy_without_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    (source / ".git").mkdir(parents=True)
    (source / ".git" / "config").write_text("")
    (source / "package.json").write_text('{"dependencies": {"a": "1"}}')
    (source / "package-lock.json").write_text("{}")
    npm = tmp_path / "npm"
    npm.write_text('#!/bin/sh\necho "$@" > said\nmkdir -p node_modules/a\n')
    npm.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _: str(npm))
    work = tmp_path / "work"
    installed = dependencies.install(
        "package.json", source, work, runtime="nodejs22.x", architecture="x86_64"
    )
    assert sorted(path.name for path in installed.iterdir()) == [
        "node_modules", "package-lock.json", "package.json", "said",
    ]  # fmt: skip
    assert (installed / "said").read_text().split()[:2] == ["ci", "--omit=dev"]
    assert not (source / "node_modules").exists()
