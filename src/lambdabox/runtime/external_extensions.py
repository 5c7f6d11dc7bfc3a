"""Which programs a sandbox's layers bring along as external extensions.

As on AWS: every file of `/opt/extensions`, in the order of their names; where two layers
have one of the same name, the later layer's counts. They get the function's variables but
for those that AWS keeps to the runtime.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdabox.domain.values import dataclass
from lambdabox.ports import Layout
from lambdabox.runtime.layer_files import with_roots

FOLDER = "extensions"

_WITHHELD = (
    "_HANDLER",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
)
_WITHHELD_PREFIXES = ("AWS_XRAY_", "_AWS_XRAY_", "LAMBDABOX_")


@dataclass(frozen=True, slots=True)
class ExternalExtension:
    name: str
    path: str
    """As seen from inside the sandbox."""
    is_executable: bool = True


def find_external(layers: Sequence[Path], layout: Layout) -> list[ExternalExtension]:
    """Return the external extensions of the given layers. Reads directories."""
    found: dict[str, ExternalExtension] = {}
    for layer, root in with_roots(layers, layout):
        for entry in _files(layer / FOLDER):
            found[entry.name] = ExternalExtension(
                entry.name, f"{root}/{FOLDER}/{entry.name}", os.access(entry, os.X_OK)
            )
    return [found[name] for name in sorted(found)]


def extension_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what an extension sees of its function's variables."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _WITHHELD and not name.startswith(_WITHHELD_PREFIXES)
    }


def _files(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
