"""The rehearsal leaves nothing behind that a function could find."""

import json
import os
import subprocess
import sys

import pytest

from lambdabox.runtime.launch import BOOTSTRAPS

SCRIPT = """
import json, os, socket, sys
for name in json.loads(sys.argv[2]):
    __import__(name)
sys.path.insert(0, sys.argv[1])
from lambdabox_bootstrap import warming

def state():
    logging = sys.modules.get("logging")
    return {
        "path": list(sys.path),
        "finders": [repr(finder) for finder in sys.meta_path],
        "caches": sorted(sys.path_importer_cache),
        "modules": sorted(sys.modules),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "handlers": [repr(one) for one in logging.root.handlers] if logging else [],
        "level": logging.root.level if logging else 0,
    }

os.environ.update(warming.ENVIRONMENT)
before = state()
warming.warm()
print(json.dumps([before, state()]))
"""


def rehearse(*modules: str) -> tuple[dict[str, object], dict[str, object]]:
    command = [sys.executable, "-S", "-c", SCRIPT, str(BOOTSTRAPS / "python"), json.dumps(modules)]
    done = subprocess.run(
        command, check=False, env={**os.environ}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    before, after = json.loads(done.stdout)
    return before, after


@pytest.mark.parametrize("modules", [(), ("logging",)], ids=["bare", "with logging preloaded"])
def test_a_rehearsal_puts_back_what_it_changed(modules: tuple[str, ...]) -> None:
    before, after = rehearse(*modules)
    # Modules of ours may stay; nothing of the function that was rehearsed.
    added = set(after.pop("modules")) - set(before.pop("modules"))  # type: ignore[call-overload]  # lists
    assert {name for name in added if not name.startswith("lambdabox_bootstrap")} == set()
    assert after == before
