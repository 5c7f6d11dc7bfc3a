"""From a directory or zip to a function that answers.

The node is asked first, so that an unreachable one is reported before minutes of
installing, and so that a function that exists keeps every setting not named here.
"""

import json
import platform
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from lambdabox.cli import dependencies, detection, output, packaging
from lambdabox.cli.client import MissingError, Node
from lambdabox.cli.output import CommandError
from lambdabox.cli.readiness import wait_until_ready, wait_until_settled

DEFAULT_ROLE = "arn:aws:iam::000000000000:role/lambdabox"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for; None where nothing was said."""

    runtime: str | None = None
    handler: str | None = None
    role: str | None = None
    architecture: str | None = None
    description: str | None = None
    timeout_seconds: int | None = None
    memory_mib: int | None = None
    environment: Mapping[str, str] | None = None
    layers: Sequence[str] | None = None

    def settings(self) -> dict[str, object]:
        """Return the parameters of the API, of those given."""
        parameters = {
            "Runtime": self.runtime,
            "Handler": self.handler,
            "Role": self.role,
            "Description": self.description,
            "Timeout": self.timeout_seconds,
            "MemorySize": self.memory_mib,
            "Environment": None if self.environment is None else {"Variables": self.environment},
            "Layers": self.layers,
        }
        return {name: value for name, value in parameters.items() if value is not None}


MakePackage = Callable[[Path, str, str], packaging.Package]
"""Make the package of a directory for a runtime and an architecture."""


def deploy_source(
    node: Node,
    source: Path,
    name: str,
    wanted: Wanted,
    *,
    make_package: MakePackage | None = None,
) -> dict[str, Any]:
    """Create or update the function and return its configuration once it is ready."""
    if not source.exists():
        raise CommandError(f"{source} does not exist: give a directory or a .zip")
    source = source.resolve()
    existing = _existing(node, name)
    wanted = _completed(source, wanted, existing)
    if source.is_dir():
        architecture = wanted.architecture or this_architecture()
        package = (make_package or package_directory)(source, wanted.runtime or "", architecture)
    else:
        package = packaging.read_zip(source)
    if existing is None:
        _create(node, name, wanted, package)
    else:
        _update(node, name, wanted, package, existing)
    ready = wait_until_ready(node, name)
    return {key: value for key, value in ready.items() if key != "ResponseMetadata"}


def _existing(node: Node, name: str) -> dict[str, Any] | None:
    try:
        return node.functions("GetFunctionConfiguration", FunctionName=name)
    except MissingError:
        return None


def _completed(source: Path, wanted: Wanted, existing: Mapping[str, Any] | None) -> Wanted:
    """Fill in what a new function needs; one that exists keeps what it has."""
    if existing is not None:
        return replace(
            wanted,
            runtime=wanted.runtime or existing.get("Runtime"),
            handler=wanted.handler or existing.get("Handler"),
            architecture=wanted.architecture or existing.get("Architectures", ["x86_64"])[0],
        )
    names, read = _contents(source)
    guessed = detection.guess(names, read, runtime=wanted.runtime, handler=wanted.handler)
    if (guessed.runtime, guessed.handler) != (wanted.runtime, wanted.handler):
        output.note(f"Chose runtime {guessed.runtime}, handler {guessed.handler}: {guessed.reason}")
    return replace(
        wanted,
        runtime=guessed.runtime,
        handler=guessed.handler,
        role=wanted.role or DEFAULT_ROLE,
        architecture=wanted.architecture or this_architecture(),
    )


def this_architecture() -> str:
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def _contents(source: Path) -> tuple[Sequence[str], detection.ReadSource]:
    """Return the names of the files to deploy, and how to read one."""
    if source.is_dir():
        files = packaging.files_of(source)
        return list(files), lambda name: files[name].read_text(errors="replace")
    package = packaging.read_zip(source)

    def read(name: str) -> str:
        with zipfile.ZipFile(BytesIO(package.content)) as archive:
            return archive.read(name).decode(errors="replace")

    return package.names, read


def package_directory(source: Path, runtime: str, architecture: str) -> packaging.Package:
    """Return a directory's package with what it depends on."""
    asked_by = dependencies.needs(packaging.files_of(source), runtime, source)
    if asked_by is None:
        return packaging.zip_directories([source])
    with tempfile.TemporaryDirectory(prefix="lambdabox-deploy-") as work:
        installed = dependencies.install(
            asked_by, source, Path(work), runtime=runtime, architecture=architecture
        )
        return packaging.zip_directories([installed, source])


def _create(node: Node, name: str, wanted: Wanted, package: packaging.Package) -> None:
    with output.progress(f"Creating {name} ({output.size(len(package.content))})"):
        node.functions(
            "CreateFunction",
            FunctionName=name,
            Code={"ZipFile": package.content},
            Architectures=[wanted.architecture],
            **wanted.settings(),
        )


def _update(
    node: Node,
    name: str,
    wanted: Wanted,
    package: packaging.Package,
    existing: Mapping[str, Any],
) -> None:
    """Settings first: new code may need them, and old code seldom minds."""
    changes = {
        key: value
        for key, value in wanted.settings().items()
        if not _same(value, existing.get(key))
    }
    with output.progress(f"Updating {name} ({output.size(len(package.content))})"):
        wait_until_settled(node, name)
        if changes:
            node.functions("UpdateFunctionConfiguration", FunctionName=name, **changes)
            wait_until_settled(node, name)
        node.functions(
            "UpdateFunctionCode",
            FunctionName=name,
            ZipFile=package.content,
            Architectures=[wanted.architecture],
        )


def _same(wanted: object, shown: object) -> bool:
    if isinstance(shown, list):  # layers, which are shown with their sizes
        shown = [layer["Arn"] for layer in shown]
    return json.dumps(wanted, sort_keys=True) == json.dumps(shown, sort_keys=True)
