"""What a node that nobody uses yet has imported, which is most of what its start takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from lambdabox.cli.main import app, get_command
from lambdabox.server import node
from lambdabox.server.config import Settings

get_command(app).get_command(None, "up")

def ready(url, isolation):
    print(json.dumps(sorted(sys.modules)))
    os.kill(os.getpid(), signal.SIGTERM)

node.run(Settings(data_dir=Path(sys.argv[1]), port=0, isolation="process"), ready=ready)
"""

LIBRARIES = (
    "aio_pika", "aiokafka", "alembic", "boto3", "botocore", "cryptography", "dateutil", "flask",
    "http.client", "jinja2", "jsonschema", "markupsafe", "moto", "opentelemetry",
    "prometheus_client", "pydantic", "rich", "samtranslator", "sqlalchemy.orm", "starlette",
    "urllib.request", "urllib3", "yaml", "zoneinfo",
)  # fmt: skip

WAITING = {
    "lambdabox.api": {"cbor", "cloudformation", "cloudwatch", "cloudwatch_data", "logs",
                      "logs_subscriptions", "query_protocol"},
    "lambdabox.backends": {"fitted_services", "kafka", "rabbitmq", "sam_transform"},
    "lambdabox.domain": {"bucket_notifications", "cron", "log_patterns", "metric_math", "rules",
                         "schedules", "stacks", "stream_retry", "templates", "topics"},
    "lambdabox.gateway": {"apis", "figures"},
    "lambdabox.server": {"cloudformation", "figures", "logs", "pollers", "triggers"},
    "lambdabox.telemetry": {"costs", "figures", "metric_queries", "prometheus", "traces",
                            "usage_queries"},
}  # fmt: skip
"""Modules by package that wait until they are needed."""

ONLY = {
    "lambdabox.cli": {"completion", "main", "options", "output", "up"},
    "lambdabox.console": {"access", "background", "blueprints", "mount", "settings", "survey"},
    "lambdabox.events": {"destinations", "relayed"},
    "lambdabox.stacks": {"answers"},
}
"""Of these packages, what is there."""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> frozenset[str]:
    """The modules of a node that has just got ready."""
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path_factory.mktemp("node") / "data")],
        stdout=subprocess.PIPE,
        check=True,
        timeout=100,
    )
    return frozenset(json.loads(said.stdout))


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_waits_until_it_is_needed(library: str, imported: frozenset[str]) -> None:
    assert "sqlalchemy" in imported
    assert library not in imported


@pytest.mark.parametrize("package", WAITING)
def test_a_part_waits_until_it_is_needed(package: str, imported: frozenset[str]) -> None:
    assert not {f"{package}.{name}" for name in WAITING[package]} & imported


@pytest.mark.parametrize("package", WAITING)
def test_what_waits_exists(package: str) -> None:
    directory = Path(__file__).parents[3] / "src" / package.replace(".", "/")
    assert {path.stem for path in directory.glob("*.py")} >= WAITING[package]


@pytest.mark.parametrize("package", ONLY)
def test_little_of_an_area_is_there(package: str, imported: frozenset[str]) -> None:
    found = {name for name in imported if name.startswith(f"{package}.")}
    assert {name.removeprefix(f"{package}.") for name in found} <= ONLY[package]
