"""Code signing configurations, and whose code a function then takes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    await_updated,
    create,
    invoke,
    refused,
    without_metadata,
)
from support.node import Node, running
from support.packages import python_package
from support.signing import SigningProfile

OURS, THEIRS, UNKNOWN = (SigningProfile(name) for name in ("ours", "theirs", "unknown"))
ABSENT = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-{'0' * 17}"
MISSING = "ResourceNotFoundException"
CONFIG_MISSING = "CodeSigningConfigNotFoundException"
KEYS = {
    "CodeSigningConfigId",
    "CodeSigningConfigArn",
    "AllowedPublishers",
    "CodeSigningPolicies",
    "LastModified",
}


def package(answer: object) -> bytes:
    return python_package(f"def handler(event, context):\n    return {answer!r}\n")


def make_config(client: Any, *profiles: SigningProfile, **parameters: Any) -> dict[str, Any]:
    response = client.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [each.arn for each in profiles or [OURS]]},
        **parameters,
    )
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    config: dict[str, Any] = response["CodeSigningConfig"]
    return config


def enforcing(client: Any, *profiles: SigningProfile, policy: str = "Enforce") -> str:
    policies = {"UntrustedArtifactOnDeployment": policy}
    arn: str = make_config(client, *profiles, CodeSigningPolicies=policies)["CodeSigningConfigArn"]
    return arn


@pytest.fixture(scope="module")
def signing_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that knows the keys of two profiles."""
    directory = tmp_path_factory.mktemp("signing") / "node"
    profiles = {"ours.pub": OURS, "theirs.pub": THEIRS}
    keys = ",".join(f"{each.arn}={directory / name}" for name, each in profiles.items())
    with running(directory, settings={"signing_keys": keys}) as node:
        for name, profile in profiles.items():
            profile.write_public_key(directory / name)
        yield node


@pytest.fixture(scope="module")
def client(signing_node: Node) -> Iterator[Any]:
    client = signing_node.client()
    yield client
    client.close()


def test_a_configuration_is_made_read_changed_and_deleted(lambda_client: Any) -> None:
    config = make_config(lambda_client)
    assert set(config) == KEYS
    assert re.fullmatch(r"csc-[a-z0-9]{17}", config["CodeSigningConfigId"])
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:{config['CodeSigningConfigId']}"
    assert config["CodeSigningConfigArn"] == arn
    assert config["AllowedPublishers"] == {"SigningProfileVersionArns": [OURS.arn]}
    assert config["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", config["LastModified"])
    read = lambda_client.get_code_signing_config(CodeSigningConfigArn=arn)
    assert without_metadata(read) == {"CodeSigningConfig": config}
    changed = lambda_client.update_code_signing_config(
        CodeSigningConfigArn=arn,
        Description="changed",
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    assert changed["CodeSigningConfig"] == {
        **config,
        "Description": "changed",
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
        "LastModified": changed["CodeSigningConfig"]["LastModified"],
    }
    again = lambda_client.update_code_signing_config(
        CodeSigningConfigArn=arn,
        AllowedPublishers={"SigningProfileVersionArns": [THEIRS.arn, OURS.arn]},
    )["CodeSigningConfig"]
    assert again["AllowedPublishers"] == {"SigningProfileVersionArns": [THEIRS.arn, OURS.arn]}
    assert again["Description"] == "changed"
    gone = lambda_client.delete_code_signing_config(CodeSigningConfigArn=arn)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert without_metadata(gone) == {}
    assert is_missing(lambda_client, arn)


def is_missing(client: Any, arn: str) -> bool:
    message = f"The Lambda code signing configuration {arn} can not be found."
    with refused(Refusal(404, MISSING, message, None)):
        client.get_code_signing_config(CodeSigningConfigArn=arn)
    return True


def test_configurations_are_listed_by_page(clients: Any) -> None:
    client = clients(account="777777777777")
    made = [make_config(client, Description=str(number)) for number in range(3)]
    pages = list(
        client.get_paginator("list_code_signing_configs").paginate(PaginationConfig={"PageSize": 1})
    )
    assert [len(page["CodeSigningConfigs"]) for page in pages] == [1, 1, 1]
    listed = [page["CodeSigningConfigs"][0] for page in pages]
    assert sorted(listed, key=lambda each: each["Description"]) == made
    whole = without_metadata(client.list_code_signing_configs())
    assert set(whole) == {"CodeSigningConfigs"}
    assert len(whole["CodeSigningConfigs"]) == 3


def test_what_is_not_there_is_not_found(lambda_client: Any, make_function: MakeFunction) -> None:
    message = f"The Lambda code signing configuration {ABSENT} can not be found."
    missing = Refusal(404, MISSING, message, None)
    with refused(missing):
        lambda_client.update_code_signing_config(CodeSigningConfigArn=ABSENT, Description="new")
    with refused(missing):
        lambda_client.delete_code_signing_config(CodeSigningConfigArn=ABSENT)
    with refused(missing):
        lambda_client.list_functions_by_code_signing_config(CodeSigningConfigArn=ABSENT)
    elsewhere = make_config(lambda_client)["CodeSigningConfigArn"].replace(REGION, "eu-west-1")
    assert is_missing(lambda_client, elsewhere)
    function = make_function()
    absent = Refusal(
        404,
        CONFIG_MISSING,
        "The code signing configuration cannot be found. Check that the provided configuration is "
        f"not deleted: {ABSENT}.",
    )
    with refused(absent):
        lambda_client.put_function_code_signing_config(
            FunctionName=function, CodeSigningConfigArn=ABSENT
        )
    with refused(absent):
        create(lambda_client, "unmade", {"app.py": ""}, CodeSigningConfigArn=ABSENT)
    nobody = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:nobody"
    no_function = Refusal(404, MISSING, f"Function not found: {nobody}")
    config = make_config(lambda_client)["CodeSigningConfigArn"]
    with refused(no_function):
        lambda_client.put_function_code_signing_config(
            FunctionName="nobody", CodeSigningConfigArn=config
        )
    with refused(no_function):
        lambda_client.get_function_code_signing_config(FunctionName="nobody")
    with refused(no_function):
        lambda_client.delete_function_code_signing_config(FunctionName="nobody")


def test_a_function_has_one_configuration_or_none(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    none = lambda_client.get_function_code_signing_config(FunctionName=function)
    assert without_metadata(none) == {}
    for _ in range(2):
        arn = make_config(lambda_client)["CodeSigningConfigArn"]
        given = {"CodeSigningConfigArn": arn, "FunctionName": function}
        put = lambda_client.put_function_code_signing_config(**given)
        assert put["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert without_metadata(put) == given
        got = lambda_client.get_function_code_signing_config(FunctionName=function)
        assert without_metadata(got) == given
    gone = lambda_client.delete_function_code_signing_config(FunctionName=function)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    none = lambda_client.get_function_code_signing_config(FunctionName=function)
    assert without_metadata(none) == {}
    lambda_client.delete_function_code_signing_config(FunctionName=function)


def test_functions_of_a_configuration_are_listed_and_keep_it(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    arn = make_config(lambda_client)["CodeSigningConfigArn"]
    functions = sorted(make_function() for _ in range(3))
    for function in functions:
        lambda_client.put_function_code_signing_config(
            FunctionName=function, CodeSigningConfigArn=arn
        )
    pages = lambda_client.get_paginator("list_functions_by_code_signing_config").paginate(
        CodeSigningConfigArn=arn, PaginationConfig={"PageSize": 2}
    )
    listed = [page["FunctionArns"] for page in pages]
    prefix = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
    assert listed == [[prefix + name for name in functions[:2]], [prefix + functions[2]]]
    message = (
        f"The Lambda code signing configuration {arn} is in use by {prefix}{functions[0]} and can "
        "not be deleted."
    )
    with refused(Refusal(409, "ResourceConflictException", message)):
        lambda_client.delete_code_signing_config(CodeSigningConfigArn=arn)
    for function in functions:
        lambda_client.delete_function(FunctionName=function)
    lambda_client.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_signed_code_is_deployed_and_shown_as_whose_it_is(client: Any) -> None:
    arn = enforcing(client, OURS, THEIRS)
    made = create(
        client,
        "signed",
        {},
        Code={"ZipFile": OURS.sign(package(1))},
        CodeSigningConfigArn=arn,
    )
    assert made["SigningProfileVersionArn"] == OURS.arn
    config = client.get_function_code_signing_config(FunctionName="signed")
    assert config["CodeSigningConfigArn"] == arn
    await_updated(client, "signed")
    assert invoke(client, "signed").value == 1
    changed = client.update_function_code(
        FunctionName="signed", ZipFile=THEIRS.sign(package(2), expires_at="9999-01-01T00:00:00Z")
    )
    assert changed["SigningProfileVersionArn"] == THEIRS.arn
    await_updated(client, "signed")
    assert invoke(client, "signed").value == 2
    version = client.publish_version(FunctionName="signed")
    assert version["SigningProfileVersionArn"] == THEIRS.arn
    client.delete_function_code_signing_config(FunctionName="signed")
    plain = client.update_function_code(FunctionName="signed", ZipFile=package(3))
    assert "SigningProfileVersionArn" not in plain


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        pytest.param(package(1), "it is not signed", id="unsigned"),
        pytest.param(
            THEIRS.sign(package(1)),
            f"{THEIRS.arn} is not an allowed publisher",
            id="not allowed",
        ),
        pytest.param(
            UNKNOWN.sign(package(1)),
            f"{UNKNOWN.arn} cannot be checked: the setting signing_keys names no key of "
            f"{UNKNOWN.arn}",
            id="no key",
        ),
        pytest.param(
            OURS.sign(package(1), expires_at="2026-01-02T00:00:00Z"),
            "the signature expired at 2026-01-02T00:00:00Z",
            id="expired",
        ),
    ],
)
def test_untrusted_code_is_refused_or_warned_of(
    signing_node: Node, client: Any, name: str, code: bytes, problem: str
) -> None:
    message = (
        "Lambda cannot deploy the function. The function or layer might be signed using a "
        "signature that the client is not configured to accept. Check the provided signature for "
        f"{name}: {problem}."
    )
    refusal = Refusal(400, "CodeVerificationFailedException", message)
    arn = enforcing(client, OURS, UNKNOWN)
    with refused(refusal):
        create(client, name, {}, Code={"ZipFile": code}, CodeSigningConfigArn=arn)
    with refused(Refusal(404, MISSING, f"Function not found: {function_arn(name)}")):
        client.get_function(FunctionName=name)
    warning = enforcing(client, OURS, UNKNOWN, policy="Warn")
    made = create(client, name, {}, Code={"ZipFile": code}, CodeSigningConfigArn=warning)
    assert "SigningProfileVersionArn" not in made
    assert f"{name} is deployed although {problem}, as {warning} allows" in signing_node.log
    client.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=arn)
    client.get_waiter("function_active_v2").wait(FunctionName=name)
    assert invoke(client, name).value == 1
    before = client.get_function_configuration(FunctionName=name)
    for dry in (True, False):
        with refused(refusal):
            client.update_function_code(FunctionName=name, ZipFile=code, DryRun=dry)
    after = client.get_function_configuration(FunctionName=name)
    assert without_metadata(after) == without_metadata(before)


def function_arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


@pytest.mark.parametrize("policy", ["Warn", "Enforce"])
def test_code_that_was_changed_after_it_was_signed_is_never_deployed(
    client: Any, name: str, policy: str
) -> None:
    signature = OURS.sign(package(1))
    comment = signature[len(package(1)) :]
    forged = package(666)[:-2] + len(comment).to_bytes(2, "little") + comment
    message = (
        "The code signature failed the integrity check: the code is not what "
        f"{OURS.arn} has signed."
    )
    with refused(Refusal(400, "InvalidCodeSignatureException", message)):
        create(
            client,
            name,
            {},
            Code={"ZipFile": forged},
            CodeSigningConfigArn=enforcing(client, policy=policy),
        )


def test_a_signature_of_another_key_is_no_signature(client: Any, name: str) -> None:
    impostor = SigningProfile("ours")
    message = (
        "The code signature failed the integrity check: the code is not what "
        f"{OURS.arn} has signed."
    )
    with refused(Refusal(400, "InvalidCodeSignatureException", message)):
        create(
            client,
            name,
            {},
            Code={"ZipFile": impostor.sign(package(1))},
            CodeSigningConfigArn=enforcing(client),
        )


def test_layers_are_checked_as_the_code_is(client: Any) -> None:
    arn = enforcing(client)
    layer = python_package("VALUE = 1\n")
    signed, plain = (
        client.publish_layer_version(LayerName="shared", Content={"ZipFile": content})
        for content in (OURS.sign(layer), layer)
    )
    trusted, untrusted = signed["LayerVersionArn"], plain["LayerVersionArn"]
    code = {"Code": {"ZipFile": OURS.sign(package(1))}, "CodeSigningConfigArn": arn}
    message = (
        "Lambda cannot deploy the function. The function or layer might be signed using a "
        "signature that the client is not configured to accept. Check the provided signature for "
        f"{untrusted}: it is not signed."
    )
    refusal = Refusal(400, "CodeVerificationFailedException", message)
    with refused(refusal):
        create(client, "layered", {}, Layers=[untrusted], **code)
    create(client, "layered", {}, Layers=[trusted], **code)
    await_updated(client, "layered")
    with refused(refusal):
        client.update_function_configuration(FunctionName="layered", Layers=[untrusted])
    client.update_function_configuration(FunctionName="layered", Layers=[])
    await_updated(client, "layered")
