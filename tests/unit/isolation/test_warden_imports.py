"""The warden is forked often, so its networking must not drag modules in."""

import subprocess
import sys
from pathlib import Path

import lambdabox

SOURCE = str(Path(lambdabox.__file__).parents[1])
HEAVY = {"asyncio", "dataclasses", "inspect", "ipaddress", "logging", "subprocess", "typing"}


def test_networking_needs_neither_site_packages_nor_heavy_modules() -> None:
    program = (
        f"import sys; sys.path.insert(0, {SOURCE!r}); "
        "from lambdabox.isolation.warden import nat; print(*sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-c", program]
    loaded = set(subprocess.check_output(command, text=True).split())
    assert "lambdabox.isolation.warden.nat_host" in loaded
    assert loaded & HEAVY == set()
