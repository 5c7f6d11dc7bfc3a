"""Examples with scripts do on a node what their READMEs say, through public APIs only.

All of them run in `make demo`, which tests/system/test_demo.py runs. One of them is tried here in
another account and region as well.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from support.node import Node

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


@pytest.mark.slow
def test_an_example_does_what_it_says_in_any_account_and_region(node: Node) -> None:
    assert scenarios.deploy_and_check("audit-trail", endpoint=node.url, **OWNER)


def test_every_example_is_listed_and_explained() -> None:
    listed = (EXAMPLES / "README.md").read_text()
    folders = [path for path in EXAMPLES.iterdir() if path.is_dir() and path.name[0] not in "._"]
    for folder in folders:
        assert f"[{folder.name}]({folder.name})" in listed
        assert (folder / "README.md").is_file()
