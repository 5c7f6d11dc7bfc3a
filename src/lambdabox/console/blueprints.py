"""What a new function can begin as: a few examples that work, each a directory of files."""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lambdabox.domain import limits
from lambdabox.domain.runtimes import CREATABLE, Family, Runtime

ROOT = Path(__file__).with_name("blueprints")

HANDLERS = {Family.PYTHON: "app.handler", Family.NODE: "index.handler"}

# A zip cannot hold an earlier time, and the same files shall make the same zip.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Blueprint:
    id: str
    order: int
    title: str
    description: str
    next: str
    """What to do with it when it is there."""
    event: str | None = None
    """The template of an event to test it with."""
    memory_mib: int = limits.DEFAULT_MEMORY_MIB
    timeout_seconds: int = limits.DEFAULT_TIMEOUT_SECONDS
    environment: Mapping[str, str] = field(default_factory=dict)
    trigger: Mapping[str, Any] | None = None
    """What is made with it; see `blueprint_triggers`."""

    @property
    def families(self) -> list[Family]:
        """The languages that it is written in."""
        return [family for family in HANDLERS if (ROOT / self.id / family).is_dir()]

    def package(self, runtime: Runtime) -> bytes:
        """Return its files in the runtime's language, as a zip."""
        root = ROOT / self.id / runtime.family
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(root.iterdir()):
                if path.is_file():
                    entry = zipfile.ZipInfo(path.name, _EPOCH)
                    entry.external_attr = 0o100644 << 16
                    archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
        return buffer.getvalue()


@cache
def blueprints() -> Mapping[str, Blueprint]:
    """Return them all by id, in the order that they are offered in. Reads files."""
    found = [
        Blueprint(id=path.parent.name, **json.loads(path.read_text()))
        for path in ROOT.glob("*/blueprint.json")
    ]
    return {each.id: each for each in sorted(found, key=lambda each: each.order)}


def supported_runtimes() -> list[Runtime]:
    """Return the runtimes that a blueprint can be in."""
    return [runtime for runtime in CREATABLE.values() if runtime.family in HANDLERS]
