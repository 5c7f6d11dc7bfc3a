"""Examples with scripts do on a node what their READMEs say, through public APIs only.

All of them run in `make demo`, which tests/system/test_demo.py runs. These here are tried in
another account and region as well.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from support.node import Node
from support.programs import missing

EXAMPLES = Path(__file__).parents[2] / "examples"
OWNER = {
    "AWS_ACCESS_KEY_ID": "616263646566",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
}
"""An account of the examples' own, and a region that is nobody's default."""


def scenarios_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scenarios", EXAMPLES / "scenarios.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scenarios = scenarios_module()


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    try:
        with scenarios.postgres() as variables:
            yield variables
    except scenarios.Unavailable as exc:
        missing(str(exc))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["audit-trail", "cost-keeper", "order-pipeline"])
def test_an_example_does_what_it_says_in_any_account_and_region(node: Node, name: str) -> None:
    assert scenarios.deploy_and_check(name, endpoint=node.url, **OWNER)


@pytest.mark.slow
def test_a_url_keeps_its_connection_to_postgresql(node: Node, database: dict[str, str]) -> None:
    told = scenarios.deploy_and_check("postgres-url", endpoint=node.url, **OWNER, **database)
    assert told.startswith("three visits over one connection")


def test_every_example_is_listed_and_explained() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    folders = [path for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] not in "._"]
    for folder in folders:
        assert f"[{folder.name}]({folder.name})" in listed
        assert (folder / "README.md").is_file()
