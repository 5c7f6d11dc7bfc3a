"""`lambdabox export` and `import`: whole functions leave and come back as they were."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.functions import (
    Clients,
    MakeFunction,
    await_updated,
    eventually,
    invoke,
    without_metadata,
)
from support.node import Node
from support.packages import zipped
from typer.testing import CliRunner, Result

from lambdabox.cli.bundles import INDEX
from lambdabox.cli.main import app

NEWER = "def handler(event, context):\n    return 'newer'\n"
SOURCE = "arn:aws:s3:::uploads"
# What an import makes anew, or what follows from when it was.
OF_ITS_OWN = frozenset({"RevisionId", "LastModified", "CodeSize", "ResponseMetadata"})


def run(node: Node, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments), "--endpoint", node.url])


def refused(result: Result) -> str:
    assert result.exit_code == 1, result.stdout
    return result.stderr.splitlines()[-1].removeprefix("error: ")


@pytest.fixture
def rich_function(
    lambda_client: Any, make_function: MakeFunction, name: str, clients: Clients
) -> str:
    """A function with everything that can belong to one."""
    clients("sqs").create_queue(QueueName=name[-60:])
    layer = lambda_client.publish_layer_version(
        LayerName=f"{name}-layer", Content={"ZipFile": zipped({"python/shared.py": "x = 1"})},
        CompatibleRuntimes=["python3.12"],
    )["LayerVersionArn"]  # fmt: skip
    make_function(
        Environment={"Variables": {"SECRET": "one"}}, Layers=[layer], Tags={"team": "a"},
        Description="first", Timeout=7, EphemeralStorage={"Size": 600},
        TracingConfig={"Mode": "Active"},
    )  # fmt: skip
    lambda_client.publish_version(FunctionName=name)
    lambda_client.update_function_configuration(
        FunctionName=name, Environment={"Variables": {}}, Layers=[], Description="", MemorySize=256
    )
    await_updated(lambda_client, name)
    lambda_client.update_function_code(FunctionName=name, ZipFile=zipped({"app.py": NEWER}))
    await_updated(lambda_client, name)
    lambda_client.publish_version(FunctionName=name)
    lambda_client.create_alias(
        FunctionName=name, Name="live", FunctionVersion="2", Description="what users have",
        RoutingConfig={"AdditionalVersionWeights": {"1": 0.25}},
    )  # fmt: skip
    for qualifier in ({}, {"Qualifier": "live"}):
        lambda_client.add_permission(
            FunctionName=name, StatementId="bucket", Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com", SourceArn=SOURCE, **qualifier,
        )  # fmt: skip
    lambda_client.create_function_url_config(
        FunctionName=name, Qualifier="live", AuthType="NONE", Cors={"AllowOrigins": ["*"]}
    )
    lambda_client.put_function_event_invoke_config(
        FunctionName=name, Qualifier="live", MaximumRetryAttempts=1
    )
    lambda_client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    lambda_client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="2", ProvisionedConcurrentExecutions=1
    )
    lambda_client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    lambda_client.create_event_source_mapping(
        FunctionName=name, Enabled=False, BatchSize=3,
        EventSourceArn=f"arn:aws:sqs:us-east-1:000000000000:{name[-60:]}",
        FilterCriteria={"Filters": [{"Pattern": '{"body": {"kind": ["new"]}}'}]},
    )  # fmt: skip
    return name


def everything(client: Any, name: str) -> dict[str, Any]:
    """What the API shows of a function, without what no two have in common."""

    def mappings() -> Any:
        return shown("list_event_source_mappings")["EventSourceMappings"]

    def shown(operation: str, **parameters: Any) -> Any:
        response = getattr(client, operation)(FunctionName=name, **parameters)
        return json.loads(json.dumps(without_metadata(response), default=str))

    def bare(documents: list[dict[str, Any]], *leaving_out: str) -> list[dict[str, Any]]:
        gone = OF_ITS_OWN | set(leaving_out)
        return [{k: v for k, v in each.items() if k not in gone} for each in documents]

    def policy(**parameters: Any) -> Any:
        return json.loads(shown("get_policy", **parameters)["Policy"])["Statement"]

    # Begun as Creating, whenever it is looked at.
    eventually(lambda: all(each["State"] == "Disabled" for each in mappings()))
    found = {
        "versions": bare(shown("list_versions_by_function")["Versions"]),
        "aliases": bare(shown("list_aliases")["Aliases"]),
        "policies": [policy(), policy(Qualifier="live")],
        "urls": bare(
            shown("list_function_url_configs")["FunctionUrlConfigs"],
            "FunctionUrl", "CreationTime", "LastModifiedTime",
        ),
        "events": bare(
            shown("list_function_event_invoke_configs")["FunctionEventInvokeConfigs"]
        ),
        "reserved": shown("get_function_concurrency"),
        "recursion": shown("get_function_recursion_config"),
        "mappings": bare(
            mappings(), "UUID", "EventSourceMappingArn",
        ),
        "provisioned": [
            each["RequestedProvisionedConcurrentExecutions"]
            for each in shown("list_provisioned_concurrency_configs")[
                "ProvisionedConcurrencyConfigs"
            ]
        ],
    }  # fmt: skip
    arn = shown("get_function")["Configuration"]["FunctionArn"]
    return {**found, "tags": client.list_tags(Resource=arn)["Tags"]}


def delete(client: Any, name: str) -> None:
    for mapping in client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]:
        client.delete_event_source_mapping(UUID=mapping["UUID"])
    eventually(
        lambda: not client.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    )
    client.delete_function(FunctionName=name)


@pytest.mark.parametrize("target", ["bundle", "bundle.zip"])
def test_a_function_comes_back_as_it_was(
    node: Node, lambda_client: Any, rich_function: str, tmp_path: Path, target: str
) -> None:
    before = everything(lambda_client, rich_function)
    assert len(before["versions"]) == 3
    assert before["mappings"]
    exported = run(node, "export", rich_function, "--to", tmp_path / target, "--json")
    assert exported.exit_code == 0, exported.stderr
    assert json.loads(exported.stdout) == {
        "To": str(tmp_path / target), "Functions": [rich_function], "Layers": 1,
    }  # fmt: skip
    delete(lambda_client, rich_function)
    imported = run(node, "import", tmp_path / target, "--json")
    assert imported.exit_code == 0, imported.stderr
    (made,) = json.loads(imported.stdout)
    assert made["Versions"] == {"1": "1", "2": "2"}
    after = everything(lambda_client, rich_function)
    for was, is_ in zip(before.pop("versions"), after.pop("versions"), strict=True):
        assert is_ == was
    assert after == before
    assert invoke(lambda_client, rich_function, "event", Qualifier="1").value == "event"
    assert invoke(lambda_client, rich_function, Qualifier="2").value == "newer"
    delete(lambda_client, rich_function)


def test_versions_that_were_deleted_are_closed_up_and_aliases_follow(
    node: Node, lambda_client: Any, make_function: MakeFunction, name: str, tmp_path: Path
) -> None:
    make_function()
    for description in ("one", "two"):
        lambda_client.update_function_configuration(FunctionName=name, Description=description)
        await_updated(lambda_client, name)
        lambda_client.publish_version(FunctionName=name)
    lambda_client.delete_function(FunctionName=name, Qualifier="1")
    lambda_client.create_alias(FunctionName=name, Name="live", FunctionVersion="2")
    assert run(node, "export", name, "--to", tmp_path / "b").exit_code == 0
    copy = f"{name}-copy"
    imported = run(node, "import", tmp_path / "b", "--name", copy)
    try:
        assert imported.exit_code == 0, imported.stderr
        alias = lambda_client.get_alias(FunctionName=copy, Name="live")
        assert alias["FunctionVersion"] == "1"
        shown = lambda_client.get_function_configuration(FunctionName=copy, Qualifier="1")
        assert shown["Description"] == "two"
    finally:
        lambda_client.delete_function(FunctionName=copy)


def test_a_function_that_exists_is_not_touched(
    node: Node, make_function: MakeFunction, tmp_path: Path
) -> None:
    name = make_function()
    assert run(node, "export", name, "--to", tmp_path / "b.zip").exit_code == 0
    assert refused(run(node, "import", tmp_path / "b.zip")) == (
        f"{name} exists already: delete it first, or import with --name"
    )
    assert "exists already" in refused(run(node, "export", name, "--to", tmp_path / "b.zip"))


def test_a_function_that_cannot_be_made_whole_is_removed(
    node: Node, lambda_client: Any, make_function: MakeFunction, tmp_path: Path
) -> None:
    name = make_function()
    assert run(node, "export", name, "--to", tmp_path / "b").exit_code == 0
    index = json.loads((tmp_path / "b" / INDEX).read_text())
    copy = f"{name}-copy"
    for aliases, said in (
        ([{"Name": "not a name", "FunctionVersion": "$LATEST"}], "not a name"),
        ([{"Name": "live", "FunctionVersion": "7"}], "is damaged: it lacks '7'"),
    ):
        index["Functions"][0]["Aliases"] = aliases
        (tmp_path / "b" / INDEX).write_text(json.dumps(index))
        assert said in refused(run(node, "import", tmp_path / "b", "--name", copy))
    listed = lambda_client.list_functions()["Functions"]
    assert copy not in [each["FunctionName"] for each in listed]


def test_an_export_is_for_its_owner_alone(
    node: Node, make_function: MakeFunction, tmp_path: Path
) -> None:
    name = make_function()
    run(node, "export", name, "--to", tmp_path / "b")
    run(node, "export", name, "--to", tmp_path / "b.zip")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def test_code_that_was_tampered_with_is_not_imported(
    node: Node, make_function: MakeFunction, tmp_path: Path
) -> None:
    name = make_function()
    run(node, "export", name, "--to", tmp_path / "b")
    (code,) = (tmp_path / "b" / "code").iterdir()
    code.write_bytes(zipped({"app.py": "evil"}))
    assert "damaged" in refused(run(node, "import", tmp_path / "b", "--name", f"{name}-copy"))


def test_what_is_no_export_is_told_so(node: Node, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.zip"
    assert "does not exist" in refused(run(node, "import", nothing))
    with zipfile.ZipFile(nothing, "w") as archive:
        archive.writestr("a", "b")
    assert "is nothing that `lambdabox export` wrote" in refused(run(node, "import", nothing))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / INDEX).write_text('{"Format": 9, "Functions": [], "Layers": []}')
    assert "has format 9" in refused(run(node, "import", folder))
