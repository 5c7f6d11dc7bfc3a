"""Install what a function depends on, for the Python or Node.js it will run on.

Packages with compiled parts differ by Python version and processor. So an installer
of the runtime's own version is preferred; any other is told to take wheels for the
runtime instead. Nothing is installed into the user's own directory.
"""

import json
import platform
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdabox.cli.output import CommandError, Say, note, progress
from lambdabox.cli.packaging import is_left_out
from lambdabox.domain.runtimes import CREATABLE, Family

_ABOUT_PIP = re.compile(r"^pip (?P<pip>\S+) .*\(python (?P<python>\d+\.\d+)\)")
_LINES_KEPT = 12
# Amazon Linux 2, behind the runtimes up to python3.11, has glibc 2.26; Amazon Linux 2023
# has 2.34. Wheels for 2.28 are the newest commonly published that are older than that.
_GLIBC_MINOR = {"3.9": 17, "3.10": 17, "3.11": 17}
_NEWER_GLIBC_MINOR = 28
_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True, slots=True)
class Target:
    """What the packages must run on."""

    python_version: str
    architecture: str

    @property
    def machine(self) -> str:
        return _MACHINES.get(self.architecture, self.architecture)

    @property
    def is_like_this_machine(self) -> bool:
        return platform.system() == "Linux" and platform.machine() == self.machine

    @property
    def glibc_minor(self) -> int:
        return _GLIBC_MINOR.get(self.python_version, _NEWER_GLIBC_MINOR)


@dataclass(frozen=True, slots=True)
class Pip:
    """A pip that answered: how to run it, and the Python it belongs to."""

    command: Sequence[str]
    python_version: str


def needs(names: Collection[str], runtime: str, source: Path) -> str | None:
    """Return the file that asks for packages which are not there yet, if any."""
    family = CREATABLE[runtime].family if runtime in CREATABLE else None
    if family is Family.PYTHON and "requirements.txt" in names:
        return "requirements.txt"
    installed = any(name.startswith("node_modules/") for name in names)
    if family is Family.NODE and "package.json" in names and not installed:
        return "package.json" if _has_dependencies(source / "package.json") else None
    return None


def _has_dependencies(path: Path) -> bool:
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as exc:
        raise CommandError(f"{path} is not JSON: {exc}") from exc
    return isinstance(manifest, dict) and bool(manifest.get("dependencies"))


def install(asked_by: str, source: Path, work: Path, *, runtime: str, architecture: str) -> Path:
    """Install under `work` and return the directory to pack beneath the source."""
    if asked_by == "package.json":
        return _install_node_modules(source, work)
    target = Target(CREATABLE[runtime].language_version, architecture)
    destination = work / "packages"
    command = python_command(source / asked_by, destination, target)
    with progress(f"Installing {asked_by} for {runtime} with {_named(command)}") as say:
        _run(command, source, say)
    (destination / ".lock").unlink(missing_ok=True)  # uv's own
    return destination


def _named(command: Sequence[str]) -> str:
    program = Path(command[0]).name
    return program if program in ("uv", "npm") else "pip"


def python_command(requirements: Path, destination: Path, target: Target) -> list[str]:
    """Return the command that installs for the target with what this machine has."""
    uv = shutil.which("uv")
    if uv is not None:
        return uv_install(uv, requirements, destination, target, _python(target))
    pip = choose(_pips(target), target)
    if pip is None:
        raise CommandError(
            f"{requirements.name} needs pip or uv to install, and neither was found: "
            "install one, or deploy a zip that has its packages inside"
        )
    return pip_install(pip, requirements, destination, target)


def uv_install(
    uv: str, requirements: Path, destination: Path, target: Target, python: str | None
) -> list[str]:
    """With an interpreter of the target's own, sources can be built; else only wheels fit."""
    command = [
        uv, "pip", "install", "--no-progress", "--requirement", str(requirements),
        "--target", str(destination),
    ]  # fmt: skip
    if python is not None:
        return [*command, "--python", python]
    glibc = "manylinux2014" if target.glibc_minor == 17 else f"manylinux_2_{target.glibc_minor}"
    return [
        *command, "--python-version", target.python_version,
        "--python-platform", f"{target.machine}-{glibc}", "--only-binary", ":all:",
    ]  # fmt: skip


def pip_install(pip: Pip, requirements: Path, destination: Path, target: Target) -> list[str]:
    command = [
        *pip.command, "install", "--no-input", "--disable-pip-version-check", "--no-compile",
        "--requirement", str(requirements), "--target", str(destination),
    ]  # fmt: skip
    if pip.python_version == target.python_version and target.is_like_this_machine:
        return command
    command += ["--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", target.python_version]
    # pip takes each platform literally, so the older ones are named too.
    for minor in range(target.glibc_minor, 16, -1):
        command += ["--platform", f"manylinux_2_{minor}_{target.machine}"]
    return [*command, "--platform", f"manylinux2014_{target.machine}"]


def _pythons(target: Target) -> list[str]:
    """Interpreters worth asking: the runtime's by name, and the one running this."""
    return [f"python{target.python_version}", sys.executable, "python3"]


def _python(target: Target) -> str | None:
    """Return an interpreter that can stand for the target's."""
    if not target.is_like_this_machine:
        return None
    show = "import sys; print('%d.%d' % sys.version_info[:2])"
    for python in _pythons(target):
        if _output([python, "-c", show]).strip() == target.python_version:
            return python
    return None


def _pips(target: Target) -> list[Pip]:
    commands = [*((python, "-m", "pip") for python in _pythons(target)), ("pip3",), ("pip",)]
    abouts = ((command, _ABOUT_PIP.match(_output([*command, "--version"]))) for command in commands)
    return [Pip(command, about["python"]) for command, about in abouts if about]


def _output(command: Sequence[str]) -> str:
    """Return what a command prints, or nothing if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def choose(pips: Sequence[Pip], target: Target) -> Pip | None:
    """Return the pip of the runtime's own version, else the first."""
    matching = (pip for pip in pips if pip.python_version == target.python_version)
    return next(matching, pips[0] if pips else None)


def _install_node_modules(source: Path, work: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise CommandError(
            "package.json has dependencies, and npm was not found to install them: "
            "install Node.js, or deploy a directory that has node_modules"
        )
    copy = work / "source"
    shutil.copytree(source, copy, symlinks=True, ignore=_left_out_names)
    locked = (copy / "package-lock.json").is_file() or (copy / "npm-shrinkwrap.json").is_file()
    action = "ci" if locked else "install"
    with progress(f"Installing package.json with npm {action}") as say:
        _run([npm, action, "--omit=dev", "--no-audit", "--no-fund"], copy, say)
    return copy


def _left_out_names(directory: str, names: list[str]) -> set[str]:
    return {name for name in names if is_left_out(Path(directory, name))}


def _run(command: Sequence[str], cwd: Path, say: Say) -> None:
    """Run an installer, showing each line; on failure its last lines and an error."""
    last: deque[str] = deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - it is a pipe, as asked for above
        for line in process.stdout:
            last.append(line.rstrip())
            say(line.strip())
    if process.returncode != 0:
        note("\n".join(last))
        said = f": {last[-1]}" if last else ""
        raise CommandError(f"{_named(command)} failed with status {process.returncode}{said}")
