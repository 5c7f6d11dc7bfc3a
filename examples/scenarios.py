"""Run the examples that have scripts: their deploy.py and check.py, against a node.

The tour and the tests share this. A script runs as its reader would run it, a process of its
own that knows the node's address and nothing else.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).resolve().parent
NAMES = ("bucket-files", "audit-trail", "order-pipeline", "cost-keeper")
"""Those that need nothing but a node. nightly-job takes until the next minute begins,
and postgres-url a database."""
SCRIPT_SECONDS = 110.0


class ScenarioFailed(Exception):
    """A script ended with what is wrong."""


class Unavailable(Exception):
    """This machine lacks something that an example needs, and what."""


def deploy_and_check(name: str, *, endpoint: str, **variables: str) -> str:
    """Return the line with which the example's check says what it has seen.

    Raises Unavailable where a function cannot be deployed, mostly because the packages that it
    needs cannot be fetched.
    """
    run(name, "deploy.py", endpoint=endpoint, **variables)
    return run(name, "check.py", endpoint=endpoint, **variables)


def run(name: str, script: str, *arguments: str, endpoint: str, **variables: str) -> str:
    """Run a script of an example and return the last line that it prints."""
    try:
        ended = subprocess.run(
            [sys.executable, EXAMPLES / name / script, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
            env={**os.environ, "AWS_ENDPOINT_URL": endpoint, **variables},
        )
    except subprocess.TimeoutExpired as exc:
        raise ScenarioFailed(f"{name}/{script} has not ended in {SCRIPT_SECONDS:.0f} s") from exc
    if "cannot deploy" in ended.stderr:
        raise Unavailable(ended.stderr.strip())
    if ended.returncode:
        raise ScenarioFailed(f"{name}/{script}: {ended.stderr.strip()}")
    return ended.stdout.strip().rpartition("\n")[2]


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """Run a PostgreSQL for the block, and yield the variables that lead clients to it."""
    if importlib.util.find_spec("psycopg") is None:
        raise Unavailable("it needs psycopg: pip install 'psycopg[binary]'")
    server = _module(EXAMPLES / "postgres-url" / "server.py")
    try:
        server.folder_of_programs()
    except server.NoServer as exc:
        raise Unavailable(str(exc)) from exc
    with server.running() as variables:
        yield variables


def _module(path: Path) -> ModuleType:
    """Load a module from a folder whose name is no Python name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
