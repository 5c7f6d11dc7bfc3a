"""Find the interpreter on this machine that runs a runtime.

Names do not prove versions (`python3`, `node`, a pyenv shim), so every candidate is run
once and asked; what it answers is its real executable, not the shim or virtual environment
it was found by. The first match wins, in this order: the one named in the settings, the
distribution's (optimised by profile, patched with the system), PATH, and what the version
managers uv, pyenv, nvm, fnm and rbenv have installed.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import anyio.to_thread
from anyio import CapacityLimiter

from lambdabox.domain.runtimes import CREATABLE, Family, Runtime
from lambdabox.domain.values import dataclass

SETTING = "LAMBDABOX_INTERPRETERS"
SYSTEM_DIRECTORIES = (Path("/usr/bin"), Path("/usr/local/bin"))

_PROBE_SECONDS = 10.0  # a cold disk or a busy machine; usually it takes 0.05
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An interpreter that has been run. `warning` says how it differs from what was asked."""

    executable: Path
    version: str
    warning: str | None
    prefix: Path
    """The directory that it and its standard library live in."""


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether this machine runs a runtime: if not, `problem` says what to do."""

    runtime: Runtime
    interpreter: Interpreter | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class _Language:
    """How to find and ask one language's interpreters."""

    title: str
    implementation: str
    names: tuple[str, ...]
    """Of executables, most specific first. `{}` stands for the version."""
    managed: tuple[tuple[str, str], ...]
    """Below the home directory: the directory of versions, and where in one executables are."""
    question: tuple[str, ...]
    """Arguments that make it print implementation, version, executable and prefix, in lines."""
    advice: str


_ASK_PYTHON = """
import os, sys
own = os.path.join(sys.base_prefix, "bin", "python%d.%d" % sys.version_info[:2])
print(sys.implementation.name + sys.abiflags, "%d.%d.%d" % sys.version_info[:3],
      own if os.path.exists(own) else sys.executable, sys.base_prefix, sep="\\n")
"""
_ASK_NODE = """
const { dirname } = require("path"), { release, versions, execPath } = process;
console.log([release.name, versions.node, execPath, dirname(dirname(execPath))].join("\\n"));
"""
_ASK_RUBY = "puts RUBY_ENGINE, RUBY_VERSION, RbConfig.ruby, RbConfig::CONFIG['prefix']"

_LANGUAGES = {
    Family.PYTHON: _Language(
        "Python",
        "cpython",
        ("python{}", "python3"),
        ((".local/share/uv/python", "bin"), (".pyenv/versions", "bin")),
        ("-I", "-S", "-c", _ASK_PYTHON),
        "`uv python install {0}`, `pyenv install {0}` or, where the distribution has that version,"
        " `apt install python{0}`",
    ),
    Family.NODE: _Language(
        "Node.js",
        "node",
        ("node", "nodejs"),
        (
            (".nvm/versions/node", "bin"),
            (".local/share/fnm/node-versions", "installation/bin"),
            (".fnm/node-versions", "installation/bin"),
        ),
        ("-e", _ASK_NODE),
        "`nvm install {0}`, `fnm install {0}` or, where the distribution has that version,"
        " `apt install nodejs`",
    ),
    Family.RUBY: _Language(
        "Ruby",
        "ruby",
        ("ruby{}", "ruby"),
        ((".rbenv/versions", "bin"),),
        ("--disable=gems", "-rrbconfig", "-e", _ASK_RUBY),
        "`rbenv install {0}` with the newest patch that `rbenv install -l` lists or, where the"
        " distribution has that version, `apt install ruby`",
    ),
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a candidate says of itself."""

    implementation: str
    version: str
    executable: Path
    prefix: Path

    def is_a(self, language: _Language, version: str) -> bool:
        return self.implementation == language.implementation and (
            self.version == version or self.version.startswith(f"{version}.")
        )


class Interpreters:
    """Searches when first needed and remembers, until a file found by changes.

    `overrides` maps runtime identifiers to executables, `path` is a PATH and `home` the
    directory that version managers install below.
    """

    def __init__(
        self,
        overrides: Mapping[str, str],
        path: str,
        home: Path,
        *,
        system: Sequence[Path] = SYSTEM_DIRECTORIES,
        probe_seconds: float = _PROBE_SECONDS,
    ) -> None:
        self._overrides = overrides
        self._path = path
        self._home = home
        self._system = system
        self._probe_seconds = probe_seconds
        self._searching = CapacityLimiter(1)  # so one search finds what the other has asked
        self._answers: dict[Path, tuple[_Stamp, _Answer | str]] = {}
        self._found: dict[str, tuple[Interpreter, Path, _Stamp, _Stamp]] = {}
        self._override_problems: dict[str, str] = {}

    async def find(self, runtime: Runtime) -> Interpreter | None:
        """Return what runs `runtime`, or None: see `missing_message`, or it needs none."""
        if runtime.family not in _LANGUAGES:
            return None
        if (found := self._found.get(runtime.name)) is not None:
            interpreter, candidate, *stamps = found
            if [_stamp(candidate), _stamp(interpreter.executable)] == stamps:
                return interpreter
        return await anyio.to_thread.run_sync(self._search, runtime, limiter=self._searching)

    async def survey(self) -> list[Availability]:
        """Return, for every runtime, whether this machine runs it. Searches anew."""
        self._found.clear()
        return [await self._availability(runtime) for runtime in CREATABLE.values()]

    def missing_message(self, runtime: Runtime) -> str:
        """Say what to do to run `runtime`, for which `find` has returned None."""
        if runtime.family in (Family.JAVA, Family.DOTNET):
            compiler = "GraalVM" if runtime.family is Family.JAVA else ".NET native AOT"
            return (
                f"This release of lambdabox does not run {runtime.name}. Compile the function"
                f" to an executable named bootstrap (with {compiler}, for example) and use the"
                " runtime provided.al2023."
            )
        language = _LANGUAGES.get(runtime.family)
        if language is None:
            return f"{runtime.name} needs no interpreter: the function brings its own bootstrap."
        if (problem := self._override_problems.get(runtime.name)) is not None:
            return (
                f"The setting {SETTING} names {self._overrides[runtime.name]} for"
                f" {runtime.name}, but {problem}. Correct the setting, or leave it out to let"
                " lambdabox search."
            )
        return (
            f"{runtime.name} needs {language.title} {runtime.language_version}, and none was"
            f" found. Install it ({language.advice.format(runtime.language_version)}), or name"
            f" one: {SETTING}={runtime.name}=/path/to/{language.names[0].split('{')[0]}"
        )

    async def _availability(self, runtime: Runtime) -> Availability:
        interpreter = await self.find(runtime)
        missing = interpreter is None and runtime.family is not Family.PROVIDED
        return Availability(
            runtime, interpreter, self.missing_message(runtime) if missing else None
        )

    def _search(self, runtime: Runtime) -> Interpreter | None:
        language = _LANGUAGES[runtime.family]
        if runtime.name in self._overrides:
            return self._override(runtime, language)
        for candidate in _executables(self._directories(runtime, language), runtime, language):
            answer = self._ask(candidate, language)
            if isinstance(answer, _Answer) and answer.is_a(language, runtime.language_version):
                return self._remember(runtime, candidate, answer, warning=None)
        return None

    def _override(self, runtime: Runtime, language: _Language) -> Interpreter | None:
        """The settings' choice stands even when it is another version: it may be a new one."""
        given = self._overrides[runtime.name]
        expanded = str(self._home / given[2:]) if given.startswith("~/") else given
        located = shutil.which(expanded, path=self._path)
        if located is None:
            self._override_problems[runtime.name] = "there is no such executable"
            return None
        answer = self._ask(Path(located), language)
        if isinstance(answer, str):
            self._override_problems[runtime.name] = answer
            return None
        warning = None
        if not answer.is_a(language, runtime.language_version):
            warning = (
                f"{runtime.name} is run by {given}, as {SETTING} says, which is"
                f" {answer.implementation} {answer.version} and not"
                f" {language.title} {runtime.language_version}"
            )
        return self._remember(runtime, Path(located), answer, warning=warning)

    def _remember(
        self, runtime: Runtime, candidate: Path, answer: _Answer, *, warning: str | None
    ) -> Interpreter | None:
        interpreter = Interpreter(answer.executable, answer.version, warning, answer.prefix)
        stamps = _stamp(candidate), _stamp(answer.executable)
        self._found[runtime.name] = (interpreter, candidate, *stamps)
        self._override_problems.pop(runtime.name, None)
        return interpreter

    def _directories(self, runtime: Runtime, language: _Language) -> Iterator[Path]:
        yield from self._system
        yield from (Path(entry) for entry in self._path.split(":") if entry.startswith("/"))
        for versions, inside in language.managed:
            for name in _versions(self._home / versions, runtime.language_version):
                yield self._home / versions / name / inside

    def _ask(self, candidate: Path, language: _Language) -> _Answer | str:
        """Return what the candidate answers, or why it does not."""
        stamp = _stamp(candidate)
        known = self._answers.get(candidate)
        if known is not None and known[0] == stamp:
            return known[1]
        environment = {"PATH": self._path, "HOME": str(self._home), "LC_ALL": "C.UTF-8"}
        answer = _run([str(candidate), *language.question], environment, self._probe_seconds)
        self._answers[candidate] = stamp, answer
        return answer


def _executables(
    directories: Iterator[Path], runtime: Runtime, language: _Language
) -> Iterator[Path]:
    names = [name.format(runtime.language_version) for name in language.names]
    for directory in dict.fromkeys(directories):
        for name in names:
            if os.path.isfile(directory / name) and os.access(directory / name, os.X_OK):
                yield directory / name


def _versions(directory: Path, version: str) -> list[str]:
    """The names in `directory` that hold `version`, the newest first."""
    wanted = re.compile(rf"(?<![\d.]){re.escape(version)}(?!\d)")
    try:
        names = os.listdir(directory)
    except OSError:
        # Mostly there is none. A node that was root may not look into the home of its past, either.
        return []
    matching = [name for name in names if wanted.search(name)]
    return sorted(matching, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])[::-1]


def _run(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> _Answer | str:
    try:
        process = subprocess.Popen(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as exc:
        return f"it cannot be started: {exc.strerror}"
    with process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            # A shim waits for what it started, so the whole group has to go.
            os.killpg(process.pid, signal.SIGKILL)
            return f"it did not answer within {seconds:g} s"
    lines = output.splitlines()
    if process.returncode != 0 or len(lines) != 4 or not os.path.isabs(lines[2]):
        said = (errors.strip() or output.strip() or "nothing").splitlines()[-1][:200]
        return f"it does not answer as expected (status {process.returncode}, it says: {said})"
    return _Answer(lines[0], lines[1], Path(lines[2]), Path(lines[3]))


def _stamp(file: Path) -> _Stamp:
    """Changes when the file does; a file that is gone has a stamp too."""
    try:
        status = os.stat(file)
    except OSError:
        return (0, 0, 0)
    return (status.st_mtime_ns, status.st_size, status.st_ino)
