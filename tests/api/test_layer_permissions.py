"""Layers of other accounts: opened by their policies, and closed again."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from support.functions import (
    REGION,
    Clients,
    Refusal,
    await_active,
    await_updated,
    create,
    invoke,
    refused,
    without_metadata,
)
from support.node import running
from support.packages import zipped

OWNER, USER, OTHER = "151515151515", "161616161616", "171717171717"
ORGANIZATION = "o-exampleorg1"
NAME = "opened"
CONTENT = zipped({"python/shared.py": "NAME = 'of the owner'\n"})
SOURCE = "import shared\ndef handler(event, context):\n    return shared.NAME\n"
ACTION = "lambda:GetLayerVersion"
STALE = (
    "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API "
    "to retrieve the latest Revision Id"
)
NO_POLICY = Refusal(
    404, "ResourceNotFoundException", "No policy is associated with the given resource."
)


@pytest.fixture
def owner(clients: Clients) -> Any:
    return clients("lambda", account=OWNER)


@pytest.fixture
def version(owner: Any) -> Iterator[int]:
    """The number of a version of NAME that is open to nobody."""
    number: int = owner.publish_layer_version(LayerName=NAME, Content={"ZipFile": CONTENT})[
        "Version"
    ]
    yield number
    owner.delete_layer_version(LayerName=NAME, VersionNumber=number)


def arn(number: int) -> str:
    return f"arn:aws:lambda:{REGION}:{OWNER}:layer:{NAME}:{number}"


def allow(owner: Any, number: int, statement: str, principal: str, **more: str) -> dict[str, Any]:
    return without_metadata(
        owner.add_layer_version_permission(
            LayerName=NAME, VersionNumber=number, StatementId=statement,
            Action=ACTION, Principal=principal, **more,
        )
    )  # fmt: skip


def denied(account: str, resource: str, action: str = ACTION) -> Refusal:
    message = (
        f"User: arn:aws:iam::{account}:root is not authorized to perform: {action} on resource: "
        f"{resource} because no resource-based policy allows the {action} action"
    )
    return Refusal(403, "AccessDeniedException", message, type=None)


def statement(number: int, sid: str, principal: Any, **more: Any) -> dict[str, Any]:
    return {
        "Sid": sid, "Effect": "Allow", "Principal": principal,
        "Action": ACTION, "Resource": arn(number), **more,
    }  # fmt: skip


def test_a_permission_is_a_statement_of_the_policy(owner: Any, version: int) -> None:
    first = allow(owner, version, "account", USER)
    assert set(first) == {"Statement", "RevisionId"}
    root = {"AWS": f"arn:aws:iam::{USER}:root"}
    assert json.loads(first["Statement"]) == statement(version, "account", root)
    second = allow(owner, version, "organization", "*", OrganizationId=ORGANIZATION)
    condition = {"StringEquals": {"aws:PrincipalOrgID": ORGANIZATION}}
    by_organization = statement(version, "organization", "*", Condition=condition)
    assert json.loads(second["Statement"]) == by_organization
    third = allow(owner, version, "as-an-arn", f"arn:aws:iam::{OTHER}:root")
    other = statement(version, "as-an-arn", {"AWS": f"arn:aws:iam::{OTHER}:root"})
    assert json.loads(third["Statement"]) == other
    revisions = [each["RevisionId"] for each in (first, second, third)]
    assert len({uuid.UUID(revision) for revision in revisions}) == 3
    policy = without_metadata(owner.get_layer_version_policy(LayerName=NAME, VersionNumber=version))
    assert set(policy) == {"Policy", "RevisionId"}
    assert policy["RevisionId"] == revisions[2]
    assert json.loads(policy["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [statement(version, "account", root), by_organization, other],
    }


def test_the_last_statement_takes_the_policy_with_it(owner: Any, version: int) -> None:
    named = {"LayerName": NAME, "VersionNumber": version}
    with refused(NO_POLICY):
        owner.get_layer_version_policy(**named)
    allow(owner, version, "one", USER)
    allow(owner, version, "two", "*")
    for sid in ("one", "two"):
        response = owner.remove_layer_version_permission(**named, StatementId=sid)
        assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused(NO_POLICY):
        owner.get_layer_version_policy(**named)


def test_changes_are_guarded(owner: Any, version: int) -> None:
    named = {"LayerName": NAME, "VersionNumber": version}
    stale = Refusal(412, "PreconditionFailedException", STALE)
    with refused(stale):
        allow(owner, version, "one", USER, RevisionId="of nothing")
    first = allow(owner, version, "one", USER)["RevisionId"]
    second = allow(owner, version, "two", USER, RevisionId=first)["RevisionId"]
    with refused(stale):
        allow(owner, version, "three", USER, RevisionId=first)
    with refused(stale):
        owner.remove_layer_version_permission(**named, StatementId="one", RevisionId=first)
    message = (
        "The statement id (one) provided already exists. Please provide a new statement id, or "
        "remove the existing statement."
    )
    with refused(Refusal(409, "ResourceConflictException", message)):
        allow(owner, version, "one", OTHER)
    message = "Statement nobody is not found in resource policy."
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        owner.remove_layer_version_permission(**named, StatementId="nobody")
    owner.remove_layer_version_permission(**named, StatementId="one", RevisionId=second)


def test_a_policy_is_limited(owner: Any, version: int) -> None:
    added = 0

    def fill() -> None:
        nonlocal added
        for added in range(200):
            allow(owner, version, f"{added:0>90}", "*")

    with pytest.raises(owner.exceptions.PolicyLengthExceededException) as caught:
        fill()
    policy = owner.get_layer_version_policy(LayerName=NAME, VersionNumber=version)["Policy"]
    assert len(json.loads(policy)["Statement"]) == added
    assert 20_000 < len(policy) <= 20_480
    message = caught.value.response["Error"]["Message"]
    assert message.startswith("The final policy size (")
    assert message.endswith(") is bigger than the limit (20480).")


def test_there_are_no_permissions_of_what_is_not_there(owner: Any, version: int) -> None:
    missing = arn(version + 1000)
    refusal = Refusal(404, "ResourceNotFoundException", f"Layer version {missing} does not exist.")
    named = {"LayerName": NAME, "VersionNumber": version + 1000}
    with refused(refusal):
        allow(owner, version + 1000, "one", USER)
    with refused(refusal):
        owner.get_layer_version_policy(**named)
    with refused(refusal):
        owner.remove_layer_version_permission(**named, StatementId="one")


def test_a_closed_layer_is_its_owners_alone(clients: Clients, owner: Any, version: int) -> None:
    user = clients("lambda", account=USER)
    layer = arn(version).rpartition(":")[0]
    named = {"LayerName": layer, "VersionNumber": version}
    for number in (version, version + 1000):  # nor is told whether it is there
        with refused(denied(USER, arn(number))):
            user.get_layer_version_by_arn(Arn=arn(number))
        with refused(denied(USER, arn(number))):
            create(user, "refused", SOURCE, Layers=[arn(number)])
    with refused(denied(USER, arn(version))):
        user.get_layer_version(**named)
    allow(owner, version, "one", OTHER)
    with refused(denied(USER, arn(version))):
        create(user, "refused", SOURCE, Layers=[arn(version)])
    allow(owner, version, "two", USER)
    # Whoever may use it may not change it.
    with refused(denied(USER, layer, "lambda:PublishLayerVersion")):
        user.publish_layer_version(LayerName=layer, Content={"ZipFile": CONTENT})
    with refused(denied(USER, layer, "lambda:ListLayerVersions")):
        user.list_layer_versions(LayerName=layer)
    with refused(denied(USER, arn(version), "lambda:DeleteLayerVersion")):
        user.delete_layer_version(**named)
    with refused(denied(USER, arn(version), "lambda:GetLayerVersionPolicy")):
        user.get_layer_version_policy(**named)
    with refused(denied(USER, arn(version), "lambda:AddLayerVersionPermission")):
        user.add_layer_version_permission(**named, StatementId="x", Action=ACTION, Principal="*")
    with refused(denied(USER, arn(version), "lambda:RemoveLayerVersionPermission")):
        user.remove_layer_version_permission(**named, StatementId="two")


@pytest.mark.parametrize("principal", [USER, f"arn:aws:iam::{USER}:root", "*"])
def test_an_opened_layer_is_used_and_stays_where_it_is_used(
    clients: Clients, owner: Any, version: int, principal: str
) -> None:
    user = clients("lambda", account=USER)
    allow(owner, version, "open", principal)
    shown = user.get_layer_version_by_arn(Arn=arn(version))
    assert shown["LayerVersionArn"] == arn(version)
    create(user, "using", SOURCE, Layers=[arn(version)])
    await_active(user, "using")
    assert invoke(user, "using").value == "of the owner"
    owner.remove_layer_version_permission(LayerName=NAME, VersionNumber=version, StatementId="open")
    # It is used on, as on AWS, but not newly.
    user.update_function_configuration(FunctionName="using", MemorySize=256)
    await_updated(user, "using")
    assert invoke(user, "using").value == "of the owner"
    with refused(denied(USER, arn(version))):
        user.update_function_configuration(FunctionName="using", Layers=[arn(version)])
    user.delete_function(FunctionName="using")


def test_an_organization_is_the_one_of_the_settings(
    clients: Clients, owner: Any, version: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    allow(owner, version, "one", "*", OrganizationId=ORGANIZATION)
    with refused(denied(USER, arn(version))):
        clients("lambda", account=USER).get_layer_version_by_arn(Arn=arn(version))
    settings = {"organization": ORGANIZATION, "isolation": "process"}
    with running(tmp_path_factory.mktemp("organization") / "node", settings=settings) as node:
        mine, user = node.client(account=OWNER), node.client(account=USER)
        for number, organization in ((1, ORGANIZATION), (2, "o-anotherorg2")):
            mine.publish_layer_version(LayerName=NAME, Content={"ZipFile": CONTENT})
            allow(mine, number, "one", "*", OrganizationId=organization)
        assert user.get_layer_version_by_arn(Arn=arn(1))["Version"] == 1
        with refused(denied(USER, arn(2))):
            user.get_layer_version_by_arn(Arn=arn(2))
