"""Layers as resources: publish, list, get, delete, and what functions may name."""

import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    await_updated,
    create,
    refused,
    without_metadata,
)
from support.packages import python_package, zipped

INVALID = "InvalidParameterValueException"
CONTENT = zipped({"python/shared.py": "NAME = 'shared'\n"})
LISTED = {"LayerVersionArn", "Version", "Description", "CreatedDate"}
OPTIONAL = {"CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"}
NOT_THERE = Refusal(404, "ResourceNotFoundException", "The resource you requested does not exist.")


def arn(name: str, number: int | None = None) -> str:
    plain = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:{name}"
    return plain if number is None else f"{plain}:{number}"


def publish(client: Any, name: str, content: bytes = CONTENT, **settings: Any) -> dict[str, Any]:
    return without_metadata(
        client.publish_layer_version(LayerName=name, Content={"ZipFile": content}, **settings)
    )


@pytest.fixture
def layer(lambda_client: Any, name: str) -> Iterator[str]:
    """A layer's name that no other test uses; its versions are deleted afterwards."""
    yield name
    for page in lambda_client.get_paginator("list_layer_versions").paginate(LayerName=name):
        for version in page["LayerVersions"]:
            lambda_client.delete_layer_version(LayerName=name, VersionNumber=version["Version"])


def test_a_published_version_is_shown_in_full(lambda_client: Any, layer: str) -> None:
    settings = {
        "Description": "what it holds — ünïcode",
        "CompatibleRuntimes": ["python3.12", "python3.11"],
        "CompatibleArchitectures": ["arm64", "x86_64"],
        "LicenseInfo": "MIT",
    }
    response = lambda_client.publish_layer_version(
        LayerName=layer, Content={"ZipFile": CONTENT}, **settings
    )
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    version = without_metadata(response)
    location = version["Content"].pop("Location")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", version.pop("CreatedDate"))
    sha256 = version["Content"].pop("CodeSha256")
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", sha256)
    assert version == {
        "Content": {"CodeSize": len(CONTENT)},
        "LayerArn": arn(layer),
        "LayerVersionArn": arn(layer, 1),
        "Version": 1,
        **settings,
    }
    with urllib.request.urlopen(location, timeout=10) as answer:
        assert answer.read() == CONTENT


def test_what_was_not_given_is_not_shown(lambda_client: Any, layer: str) -> None:
    version = publish(lambda_client, layer)
    assert set(version) == {*LISTED, "Content", "LayerArn"}
    assert version["Description"] == ""
    assert set(version["Content"]) == {"Location", "CodeSha256", "CodeSize"}


def test_a_version_is_found_by_name_by_arn_and_by_its_own_arn(
    lambda_client: Any, layer: str
) -> None:
    published = publish(lambda_client, layer, LicenseInfo="MIT")
    found = [
        lambda_client.get_layer_version(LayerName=layer, VersionNumber=1),
        lambda_client.get_layer_version(LayerName=arn(layer), VersionNumber=1),
        lambda_client.get_layer_version_by_arn(Arn=arn(layer, 1)),
    ]
    for each in found:
        shown = without_metadata(each)
        for link in (shown, published):
            link["Content"].pop("Location", None)
        assert shown == published


def test_the_newest_versions_are_listed_first(lambda_client: Any, layer: str) -> None:
    for number in range(1, 12):
        publish(lambda_client, layer, Description=f"number {number}")
    whole = without_metadata(lambda_client.list_layer_versions(LayerName=layer))
    assert set(whole) == {"LayerVersions"}
    assert [version["Version"] for version in whole["LayerVersions"]] == [*range(11, 0, -1)]
    assert {frozenset(version) for version in whole["LayerVersions"]} == {frozenset(LISTED)}
    assert whole["LayerVersions"][0]["LayerVersionArn"] == arn(layer, 11)
    pages = lambda_client.get_paginator("list_layer_versions").paginate(
        LayerName=arn(layer), PaginationConfig={"PageSize": 4}
    )
    numbers = [[version["Version"] for version in page["LayerVersions"]] for page in pages]
    assert numbers == [[11, 10, 9, 8], [7, 6, 5, 4], [3, 2, 1]]


def test_lists_have_what_says_that_it_fits(lambda_client: Any, layer: str) -> None:
    publish(lambda_client, layer, CompatibleRuntimes=["python3.12"])
    publish(
        lambda_client, layer,
        CompatibleRuntimes=["nodejs22.x"], CompatibleArchitectures=["arm64"],
    )  # fmt: skip
    publish(lambda_client, layer)

    def versions(**wanted: str) -> list[int]:
        found = lambda_client.list_layer_versions(LayerName=layer, **wanted)["LayerVersions"]
        return [version["Version"] for version in found]

    def latest(**wanted: str) -> list[int]:
        found = lambda_client.get_paginator("list_layers").paginate(**wanted)
        return [
            each["LatestMatchingVersion"]["Version"]
            for page in found
            for each in page["Layers"]
            if each["LayerName"] == layer
        ]

    assert versions() == [3, 2, 1]
    assert versions(CompatibleRuntime="python3.12") == [1]
    assert versions(CompatibleArchitecture="arm64") == [2]
    assert versions(CompatibleRuntime="python3.12", CompatibleArchitecture="arm64") == []
    assert latest() == [3]
    assert latest(CompatibleRuntime="nodejs22.x") == [2]
    assert latest(CompatibleRuntime="python3.12") == [1]
    assert latest(CompatibleRuntime="ruby3.3") == []


def test_layers_are_listed_by_name_page_by_page(clients: Clients) -> None:
    client = clients("lambda", account="121212121212")
    names = [f"layer-{number:02}" for number in range(53)]
    for name in reversed(names):
        publish(client, name)
    first = without_metadata(client.list_layers())
    assert set(first) == {"Layers", "NextMarker"}
    assert [each["LayerName"] for each in first["Layers"]] == names[:50]
    rest = without_metadata(client.list_layers(Marker=first["NextMarker"]))
    assert set(rest) == {"Layers"}
    assert [each["LayerName"] for each in rest["Layers"]] == names[50:]
    [shown] = [each for each in first["Layers"] if each["LayerName"] == "layer-07"]
    assert set(shown) == {"LayerName", "LayerArn", "LatestMatchingVersion"}
    assert set(shown["LatestMatchingVersion"]) == LISTED
    # Another region of the account has none of them.
    elsewhere = clients("lambda", account="121212121212", region="eu-west-1")
    assert without_metadata(elsewhere.list_layers()) == {"Layers": []}


def test_deleting_is_idempotent_and_numbers_are_not_reused(lambda_client: Any, layer: str) -> None:
    publish(lambda_client, layer)
    publish(lambda_client, layer)
    for _ in range(2):
        response = lambda_client.delete_layer_version(LayerName=layer, VersionNumber=2)
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(NOT_THERE):
        lambda_client.get_layer_version(LayerName=layer, VersionNumber=2)
    with refused(NOT_THERE):
        lambda_client.get_layer_version_by_arn(Arn=arn(layer, 2))
    lambda_client.delete_layer_version(LayerName=layer, VersionNumber=1)
    listed = lambda_client.list_layer_versions(LayerName=layer)
    assert without_metadata(listed) == {"LayerVersions": []}
    assert publish(lambda_client, layer)["Version"] == 3
    lambda_client.delete_layer_version(LayerName="never-published", VersionNumber=7)


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_begins_with_one(lambda_client: Any, layer: str, number: int) -> None:
    refusal = Refusal(400, INVALID, "Layer Version Cannot be less than 1")
    with refused(refusal):
        lambda_client.get_layer_version(LayerName=layer, VersionNumber=number)
    with refused(refusal):
        lambda_client.delete_layer_version(LayerName=layer, VersionNumber=number)


def test_what_never_was_is_not_there(lambda_client: Any, layer: str) -> None:
    for number in (1, 2**31 - 1, 2**63 - 1):
        with refused(NOT_THERE):
            lambda_client.get_layer_version(LayerName="nothing", VersionNumber=number)
    for wrong in (f"{arn('nothing')}:1", f"{arn('nothing')}:00", f"{arn('nothing')}:{'9' * 40}"):
        with refused(NOT_THERE):
            lambda_client.get_layer_version_by_arn(Arn=wrong)
    with refused(NOT_THERE):
        lambda_client.get_layer_version_by_arn(Arn="arn:aws:lambda:::awslayer:AmazonLinux1803")
    listed = lambda_client.list_layer_versions(LayerName="nothing")
    assert without_metadata(listed) == {"LayerVersions": []}
    abroad = arn("nothing").replace(REGION, "eu-west-1")
    message = f"Layers from 'eu-west-1' are not reachable in this region ('{REGION}')"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        lambda_client.get_layer_version(LayerName=abroad, VersionNumber=1)


def test_content_must_come_from_somewhere(lambda_client: Any, layer: str) -> None:
    message = "Please provide a source for layer content: ZipFile, or S3Bucket and S3Key."
    with refused(Refusal(400, INVALID, message)):
        lambda_client.publish_layer_version(LayerName=layer, Content={"S3Bucket": "only"})
    assert publish(lambda_client, layer)["Version"] == 1  # what was refused took no number


def test_layers_count_towards_the_code_storage(clients: Clients) -> None:
    client = clients("lambda", account="131313131313")

    def used() -> int:
        size: int = client.get_account_settings()["AccountUsage"]["TotalCodeSize"]
        return size

    assert used() == 0
    publish(client, "counted")
    publish(client, "counted")
    assert used() == 2 * len(CONTENT)
    client.delete_layer_version(LayerName="counted", VersionNumber=1)
    assert used() == len(CONTENT)


def test_a_function_shows_its_layers_in_their_order(
    lambda_client: Any, make_function: MakeFunction, layer: str
) -> None:
    other = f"{layer}-other"
    big = zipped({"python/other.py": "x = 1\n" * 1000})
    one, two = publish(lambda_client, layer), publish(lambda_client, other, big)
    arns = [two["LayerVersionArn"], one["LayerVersionArn"]]
    function = make_function(Layers=arns)
    expected = [{"Arn": arns[0], "CodeSize": len(big)}, {"Arn": arns[1], "CodeSize": len(CONTENT)}]
    assert lambda_client.get_function_configuration(FunctionName=function)["Layers"] == expected
    version = lambda_client.publish_version(FunctionName=function)
    assert version["Layers"] == expected
    changed = lambda_client.update_function_configuration(FunctionName=function, Layers=arns[1:])
    assert changed["Layers"] == expected[1:]
    # Nothing is said of what is not among the changes.
    await_updated(lambda_client, function)
    changed = lambda_client.update_function_configuration(FunctionName=function, Timeout=9)
    assert changed["Layers"] == expected[1:]
    lambda_client.delete_layer_version(LayerName=other, VersionNumber=1)


def test_a_function_names_layers_that_are_there(
    lambda_client: Any, make_function: MakeFunction, layer: str
) -> None:
    publish(lambda_client, layer)
    function = make_function()
    for missing in (arn(layer, 9), arn(f"{layer}-no", 1), f"{arn(layer)}:01"):
        refusal = Refusal(400, INVALID, f"Layer version {missing} does not exist.")
        with refused(refusal):
            create(lambda_client, f"{layer}-none", "", Layers=[missing])
        with refused(refusal):
            lambda_client.update_function_configuration(FunctionName=function, Layers=[missing])
    same = arn(layer, 1)
    message = (
        "Two different versions of the same layer are not allowed to be referenced in the same "
        f"function. {same} and {same} are versions of the same layer."
    )
    with refused(Refusal(400, INVALID, message)):
        lambda_client.update_function_configuration(FunctionName=function, Layers=[same, same])
    with refused(Refusal(404, "ResourceNotFoundException", f"Function not found: {_function()}")):
        lambda_client.update_function_configuration(FunctionName="nobody", Layers=[arn("no", 1)])


def test_code_and_layers_are_limited_together(
    lambda_client: Any, make_function: MakeFunction, layer: str
) -> None:
    large = zipped({"zeros": bytes(131_072_000)})
    publish(lambda_client, layer, large)
    other = publish(lambda_client, f"{layer}-2", zipped({"zeros": bytes(131_071_000)}))
    both = [arn(layer, 1), other["LayerVersionArn"]]
    package = python_package("x" * 1001)
    message = (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        "The actual size is 262144001 bytes."
    )
    with refused(Refusal(400, INVALID, message)):
        create(lambda_client, f"{layer}-big", "", Code={"ZipFile": package}, Layers=both)
    function = make_function({"app.py": "x" * 1000}, Layers=both)
    with refused(Refusal(400, INVALID, message)):
        lambda_client.update_function_code(FunctionName=function, ZipFile=package)
    single = make_function({"app.py": "x" * 1001}, Layers=both[:1])
    with refused(Refusal(400, INVALID, message)):
        lambda_client.update_function_configuration(FunctionName=single, Layers=both)
    lambda_client.delete_layer_version(LayerName=f"{layer}-2", VersionNumber=1)


def _function() -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"
