import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    create,
    refused,
    without_metadata,
)

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
INVALID = "InvalidParameterValueException"


def tags(client: Any, arn: str) -> dict[str, str]:
    response = without_metadata(client.list_tags(Resource=arn))
    assert set(response) == {"Tags"}
    found: dict[str, str] = response["Tags"]
    return found


def test_tags_are_added_replaced_and_removed(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    arn = ARN + make_function(Tags={"a": "1", "b": "2"})
    assert tags(lambda_client, arn) == {"a": "1", "b": "2"}
    response = lambda_client.tag_resource(Resource=arn, Tags={"b": "two", "c ü": "3 +-=._:/@"})
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(lambda_client, arn) == {"a": "1", "b": "two", "c ü": "3 +-=._:/@"}
    response = lambda_client.untag_resource(Resource=arn, TagKeys=["a", "c ü", "absent"])
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags(lambda_client, arn) == {"b": "two"}
    lambda_client.untag_resource(Resource=arn, TagKeys=["b"])
    assert tags(lambda_client, arn) == {}
    assert "Tags" not in lambda_client.get_function(FunctionName=arn)


def test_tags_do_not_change_the_function(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    before = without_metadata(lambda_client.get_function_configuration(FunctionName=function))
    lambda_client.tag_resource(Resource=ARN + function, Tags={"a": "b"})
    after = without_metadata(lambda_client.get_function_configuration(FunctionName=function))
    assert after == before


def test_fifty_tags_are_the_most(lambda_client: Any, make_function: MakeFunction) -> None:
    arn = ARN + make_function(Tags={f"k{n}": "v" for n in range(49)})
    lambda_client.tag_resource(Resource=arn, Tags={"k49": "v", "k0": "again"})
    with refused(Refusal(400, INVALID, "Number of tags exceeds resource tag limit.")):
        lambda_client.tag_resource(Resource=arn, Tags={"k50": "v"})
    assert len(tags(lambda_client, arn)) == 50


def test_no_tags_are_no_request(
    lambda_client: Any, unchecked_client: Any, make_function: MakeFunction
) -> None:
    arn = ARN + make_function()
    message = "An error occurred and the request cannot be processed."
    with refused(Refusal(400, INVALID, message)):
        lambda_client.tag_resource(Resource=arn, Tags={})
    message = (
        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: "
        "Member must not be null"
    )
    with refused(Refusal(400, "ValidationException", message, None)):
        unchecked_client.untag_resource(Resource=arn, TagKeys=[])


@pytest.mark.parametrize("qualifier", ["1", "$LATEST", "prod"])
def test_versions_and_aliases_have_no_tags(
    lambda_client: Any, make_function: MakeFunction, qualifier: str
) -> None:
    arn = f"{ARN}{make_function()}:{qualifier}"
    refusal = Refusal(
        400,
        INVALID,
        "Tags on function aliases and versions are not supported. Please specify a function ARN.",
    )
    with refused(refusal):
        lambda_client.tag_resource(Resource=arn, Tags={"a": "b"})
    with refused(refusal):
        lambda_client.untag_resource(Resource=arn, TagKeys=["a"])
    with refused(refusal):
        lambda_client.list_tags(Resource=arn)


def test_tags_of_what_is_not_there_are_not_found(lambda_client: Any) -> None:
    arn = f"{ARN}nobody"
    missing = Refusal(404, "ResourceNotFoundException", f"Function not found: {arn}")
    with refused(missing):
        lambda_client.tag_resource(Resource=arn, Tags={"a": "b"})
    with refused(missing):
        lambda_client.untag_resource(Resource=arn, TagKeys=["a"])
    with refused(missing):
        lambda_client.list_tags(Resource=arn)


@pytest.mark.parametrize("arn", ["arn:aws:something", "nobody", f"{ARN}a:b:c"])
def test_what_is_no_arn_is_refused_by_the_model(lambda_client: Any, arn: str) -> None:
    with pytest.raises(lambda_client.exceptions.ClientError) as caught:
        lambda_client.list_tags(Resource=arn)
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith(
        f"1 validation error detected: Value '{arn}' at 'resource' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: "
    )


@pytest.fixture
def config(lambda_client: Any) -> Iterator[str]:
    publishers = {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:000000000000:/p/v"]}
    made = lambda_client.create_code_signing_config(
        AllowedPublishers=publishers, Tags={"from": "the start"}
    )
    arn: str = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    yield arn
    with suppress(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_code_signing_configurations_have_tags(lambda_client: Any, config: str) -> None:
    assert tags(lambda_client, config) == {"from": "the start"}
    lambda_client.tag_resource(Resource=config, Tags={"a": "1"})
    lambda_client.untag_resource(Resource=config, TagKeys=["from"])
    assert tags(lambda_client, config) == {"a": "1"}
    with refused(Refusal(400, INVALID, "Number of tags exceeds resource tag limit.")):
        lambda_client.tag_resource(Resource=config, Tags={f"k{n}": "v" for n in range(50)})
    lambda_client.delete_code_signing_config(CodeSigningConfigArn=config)
    message = f"The Lambda code signing configuration {config} can not be found."
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        lambda_client.list_tags(Resource=config)


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("capacity-provider:mine", "Capacity provider not found: {}"),
        ("network-connector:mine", "Network connector not found: {}"),
        (f"event-source-mapping:{uuid.UUID(int=0)}", "Event source mapping not found: {}"),
        (
            f"code-signing-config:csc-{'0' * 17}",
            "The Lambda code signing configuration {} can not be found.",
        ),
    ],
)
def test_other_resources_that_are_not_there_are_not_found(
    lambda_client: Any, resource: str, message: str
) -> None:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:{resource}"
    missing = Refusal(404, "ResourceNotFoundException", message.format(arn))
    with refused(missing):
        lambda_client.tag_resource(Resource=arn, Tags={"a": "b"})
    with refused(missing):
        lambda_client.untag_resource(Resource=arn, TagKeys=["a"])
    with refused(missing):
        lambda_client.list_tags(Resource=arn)


def test_keys_of_the_system_are_reserved(
    lambda_client: Any, make_function: MakeFunction, name: str
) -> None:
    message = (
        "The tag key AWS:mine cannot be used: keys that start with aws: are reserved for system "
        "use."
    )
    with refused(Refusal(400, INVALID, message)):
        create(lambda_client, name, {"app.py": ""}, Tags={"AWS:mine": "v"})
    arn = ARN + make_function(Tags={"aws": "v", "my:aws:key": "v"})
    with refused(Refusal(400, INVALID, message)):
        lambda_client.tag_resource(Resource=arn, Tags={"a": "b", "AWS:mine": "v"})
    with refused(Refusal(400, INVALID, message)):
        lambda_client.untag_resource(Resource=arn, TagKeys=["AWS:mine"])
    assert tags(lambda_client, arn) == {"aws": "v", "my:aws:key": "v"}
