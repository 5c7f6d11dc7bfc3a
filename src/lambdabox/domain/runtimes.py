"""The runtime identifiers: which there are, which may be created, what runs them.

AWS stops accepting a runtime some time after its language's end of life. lambdabox
goes on accepting those it can still run (python3.9, nodejs20.x, …), so that functions
not yet moved can be tested; see docs/compatibility.md.
"""

import hashlib
from enum import StrEnum

from lambdabox.domain.values import dataclass

BOOTSTRAP_RELEASE = 1


class Family(StrEnum):
    PYTHON = "python"
    NODE = "nodejs"
    RUBY = "ruby"
    PROVIDED = "provided"
    JAVA = "java"
    DOTNET = "dotnet"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One identifier. `language_version` is what the interpreter must report, as a prefix."""

    name: str
    family: Family
    language_version: str

    @property
    def execution_env(self) -> str | None:
        """The value of AWS_EXECUTION_ENV; OS-only runtimes have none."""
        return None if self.family is Family.PROVIDED else f"AWS_Lambda_{self.name}"

    @property
    def release(self) -> str:
        """The runtime version as INIT_START names it, `python:3.14.v1`.

        It counts releases of the bundled bootstrap, as AWS counts those of its images.
        """
        return f"{self.family}:{self.language_version}.v{BOOTSTRAP_RELEASE}"

    def release_arn(self, region: str) -> str:
        digest = hashlib.sha256(self.release.encode()).hexdigest()
        return f"arn:aws:lambda:{region}::runtime:{digest}"


def _runtime(name: str) -> Runtime:
    family = next(f for f in Family if name.startswith(f.value))
    return Runtime(name, family, name.removeprefix(family.value).removesuffix(".x").lstrip("."))


# In the order AWS lists them: newest first within a family.
CREATABLE = {
    name: _runtime(name)
    for name in (
        "nodejs24.x", "nodejs22.x", "nodejs20.x",
        "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python3.9",
        "ruby4.0", "ruby3.4", "ruby3.3", "ruby3.2",
        "provided.al2023", "provided.al2",
        "java25", "java21", "java17", "java11", "java8.al2",
        "java17.al2023", "java11.al2023", "java8.al2023",
        "dotnet10", "dotnet8",
        "nodejs26.x", "python3.15",
    )
}  # fmt: skip

DEPRECATED = frozenset({
    "nodejs", "nodejs4.3", "nodejs4.3-edge", "nodejs6.10", "nodejs8.10", "nodejs10.x",
    "nodejs12.x", "nodejs14.x", "nodejs16.x", "nodejs18.x", "java8",
    "python2.7", "python3.6", "python3.7", "python3.8",
    "dotnetcore1.0", "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1", "dotnet6",
    "go1.x", "ruby2.5", "ruby2.7", "provided",
})  # fmt: skip

_FIRST_WITH_SNAP_START = {Family.PYTHON: (3, 12), Family.JAVA: (11,), Family.DOTNET: (8,)}


def has_snap_start(runtime: Runtime) -> bool:
    """Whether AWS takes snapshots of functions with this runtime."""
    first = _FIRST_WITH_SNAP_START.get(runtime.family)
    version = runtime.language_version.partition(".al")[0]
    return first is not None and tuple(int(part) for part in version.split(".")) >= first
