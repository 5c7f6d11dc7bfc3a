"""What the documents promise of the code, checked against the code."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, create_engine

import lambdabox
from lambdabox.api import compatibility
from lambdabox.api.model import ServiceApi
from lambdabox.backends import schema, sqlite_queue
from lambdabox.backends.schema import Lineage
from lambdabox.repositories import journal_tables, tables
from lambdabox.server.config import PREFIX, Settings
from lambdabox.server.wiring import build

SOURCE = Path(lambdabox.__file__).parent
PROJECT = SOURCE.parents[1]
DOCS = PROJECT / "docs"
GUEST = SOURCE / "isolation" / "guest"
BOOTSTRAPS = SOURCE / "runtime" / "bootstraps"
BLUEPRINTS = SOURCE / "console" / "blueprints"
LONGEST_MODULE = 400

TABLES: dict[Lineage, MetaData] = {"state": MetaData(), "journal": journal_tables.metadata}
for metadata in (tables.metadata, sqlite_queue.metadata):
    for table in metadata.tables.values():
        table.to_metadata(TABLES["state"])


def modules() -> Iterator[Path]:
    return SOURCE.rglob("*.py")


def named(paths: Sequence[Path]) -> list[str]:
    return sorted(str(path.relative_to(SOURCE)) for path in paths)


def test_no_module_is_longer_than_400_lines() -> None:
    long = [path for path in modules() if len(path.read_text().splitlines()) > LONGEST_MODULE]
    assert not named(long)


def test_packages_have_empty_init_files() -> None:
    inits = [path for path in SOURCE.glob("*/**/__init__.py") if path.read_text()]
    assert not named(inits)


def test_every_module_says_why_it_exists() -> None:
    silent = [
        path
        for path in modules()
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not named(silent)


def test_every_package_is_in_the_architecture_page() -> None:
    page = (DOCS / "architecture.md").read_text()
    packages = [path.parent.name for path in SOURCE.glob("*/__init__.py")]
    assert "server" in packages
    assert not [name for name in packages if f"`{name}/`" not in page]


def _reads_environment(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    return any(
        (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb", "getenv"))
        or (isinstance(node, ast.alias) and node.name in ("environ", "environb", "getenv"))
        for node in ast.walk(tree)
    )


def test_only_the_configuration_reads_the_environment() -> None:
    readers = [
        path
        for path in modules()
        if not {BOOTSTRAPS, BLUEPRINTS, GUEST}.intersection(path.parents)
        and _reads_environment(path)
    ]
    assert named(readers) == ["server/config.py"]


@pytest.mark.parametrize("setting", [item.name for item in fields(Settings)])
def test_every_setting_is_documented(setting: str) -> None:
    page = (DOCS / "settings.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith(f"| `{setting}` |")]
    _, _, default, variable, why, _ = (cell.strip() for cell in row.split("|"))
    assert variable == f"`{PREFIX}{setting.upper()}`"
    assert default
    assert why.endswith(".")


def test_no_setting_is_documented_that_does_not_exist() -> None:
    rows = [line for line in (DOCS / "settings.md").read_text().splitlines() if line[:3] == "| `"]
    documented = {row.split("`")[1] for row in rows}
    assert documented == {item.name for item in fields(Settings)}


@pytest.mark.parametrize("lineage", list(schema.HEADS))
def test_the_head_of_each_lineage_is_known(lineage: Lineage) -> None:
    scripts = ScriptDirectory(
        str(schema.MIGRATIONS), version_locations=[str(schema.MIGRATIONS / lineage)]
    )
    assert scripts.get_heads() == [schema.HEADS[lineage]]


@pytest.mark.parametrize("lineage", list(schema.HEADS))
def test_migrations_make_the_tables_that_the_code_uses(lineage: Lineage, tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    schema._upgrade(engine, lineage)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, TABLES[lineage])
    engine.dispose()
    assert not differences


def test_the_compatibility_page_is_up_to_date() -> None:
    page = compatibility.page(
        ServiceApi.load("lambda").operation_names, compatibility.implemented()
    )
    assert (DOCS / "compatibility.md").read_text() == page, "run `make compatibility`"


def test_the_compatibility_page_claims_what_a_node_answers(tmp_path: Path) -> None:
    parts = build(Settings(data_dir=tmp_path), address="127.0.0.1:4566")
    functions = parts.gateway._functions
    assert compatibility.implemented() == functions._handlers.keys()  # type: ignore[attr-defined]  # the wiring hides it


def test_the_compatibility_page_has_every_operation_once() -> None:
    operations = ServiceApi.load("lambda").operation_names
    page = compatibility.page(operations, compatibility.implemented())
    assert len(operations) == 91
    assert [name for name in operations if page.count(f"`{name}`") != 1] == []
    assert compatibility.differences().keys() <= compatibility.implemented()
