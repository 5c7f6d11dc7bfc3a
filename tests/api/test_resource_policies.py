import json
from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    MakeFunction,
    Refusal,
    refused,
    without_metadata,
)

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
INVALID = "InvalidParameterValueException"
MISSING = "ResourceNotFoundException"


def document(arn: str, **members: Any) -> str:
    statement = {
        "Sid": "mine",
        "Effect": "Allow",
        "Principal": {"AWS": ["111111111111", "222222222222"]},
        "Action": ["lambda:InvokeFunction", "lambda:GetFunction"],
        "Resource": arn,
        **members,
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=2)


def put(client: Any, arn: str, text: str, **parameters: Any) -> dict[str, Any]:
    response = client.put_resource_policy(ResourceArn=arn, Policy=text, **parameters)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 200
    body = without_metadata(response)
    assert set(body) == {"Policy", "RevisionId"}
    return body


def get(client: Any, arn: str) -> dict[str, Any]:
    response = without_metadata(client.get_resource_policy(ResourceArn=arn))
    assert set(response) == {"Policy", "RevisionId"}
    return response


def test_a_whole_policy_is_put_and_read(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    arn = ARN + function
    text = document(arn)
    stored = put(lambda_client, arn, text)
    assert json.loads(stored["Policy"]) == json.loads(text)
    assert get(lambda_client, arn) == stored
    assert without_metadata(lambda_client.get_policy(FunctionName=function)) == stored
    again = put(lambda_client, arn, text)
    assert again["Policy"] == stored["Policy"]


def test_a_put_replaces_permissions_and_they_may_be_added_to_it(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    arn = ARN + function
    permission = {"FunctionName": function, "Principal": "*", "Action": "lambda:InvokeFunction"}
    lambda_client.add_permission(StatementId="old", **permission)
    put(lambda_client, arn, document(arn))
    lambda_client.add_permission(StatementId="new", **permission)
    statements = json.loads(get(lambda_client, arn)["Policy"])["Statement"]
    assert [statement["Sid"] for statement in statements] == ["mine", "new"]
    with refused(
        Refusal(
            409,
            "ResourceConflictException",
            "The statement id (mine) provided already exists. Please provide a new statement id, "
            "or remove the existing statement.",
        )
    ):
        lambda_client.add_permission(StatementId="mine", **permission)
    lambda_client.remove_permission(FunctionName=function, StatementId="mine")
    statements = json.loads(get(lambda_client, arn)["Policy"])["Statement"]
    assert [statement["Sid"] for statement in statements] == ["new"]


def test_a_version_has_a_whole_policy_of_its_own(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    arn = f"{ARN}{function}:1"
    put(lambda_client, arn, document(arn))
    assert get(lambda_client, arn)
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_resource_policy(ResourceArn=ARN + function)


def test_a_policy_is_deleted_whole(lambda_client: Any, make_function: MakeFunction) -> None:
    arn = ARN + make_function()
    put(lambda_client, arn, document(arn))
    response = lambda_client.delete_resource_policy(ResourceArn=arn)
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert without_metadata(response) == {}
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_resource_policy(ResourceArn=arn)
    with refused(Refusal(404, MISSING, "No policy is associated with the given resource.")):
        lambda_client.delete_resource_policy(ResourceArn=arn)


def test_the_revision_is_guarded(lambda_client: Any, make_function: MakeFunction) -> None:
    arn = ARN + make_function()
    first = put(lambda_client, arn, document(arn))["RevisionId"]
    second = put(lambda_client, arn, document(arn), RevisionId=first)["RevisionId"]
    assert first != second
    message = (
        "The Revision Id provided does not match the latest Revision Id. Call the "
        "GetResourcePolicy API to retrieve the latest Revision Id"
    )
    stale = Refusal(412, "PreconditionFailedException", message)
    with refused(stale):
        put(lambda_client, arn, document(arn), RevisionId=first)
    with refused(stale):
        lambda_client.delete_resource_policy(ResourceArn=arn, RevisionId=first)
    lambda_client.delete_resource_policy(ResourceArn=arn, RevisionId=second)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "The policy is not a JSON object."),
        ('{"Statement":[]}', "The policy must have a Statement, an object or a list of objects."),
        (document("*", Effect="Maybe"), "The Effect of a statement must be Allow or Deny."),
        (document("*", Condition={"Same": {"a": "b"}}), "There is no condition operator 'Same'."),
        (document("*", Principal="\ud800"), 'A Principal must be "*" or an object such as'),
        (document("*", Condition={"\ud800": {"a": "b"}}), "There is no condition operator"),
        (
            "\N{NO-BREAK SPACE}",
            "The policy is not valid JSON: Expecting value: line 1 column 1 (char 0).",
        ),
    ],
)
def test_what_is_no_policy_is_refused(
    lambda_client: Any, make_function: MakeFunction, text: str, message: str
) -> None:
    arn = ARN + make_function()
    with pytest.raises(lambda_client.exceptions.InvalidParameterValueException) as caught:
        lambda_client.put_resource_policy(ResourceArn=arn, Policy=text)
    assert caught.value.response["message"].startswith(message)


def test_names_in_any_language_are_kept(lambda_client: Any, make_function: MakeFunction) -> None:
    arn = ARN + make_function()
    text = document(arn, Sid="für \ud800 alle")
    assert json.loads(put(lambda_client, arn, text)["Policy"]) == json.loads(text)


def test_a_policy_for_what_is_not_there_is_not_found(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    arn = f"{ARN}nobody"
    missing = Refusal(404, MISSING, f"Function not found: {arn}")
    with refused(missing):
        lambda_client.put_resource_policy(ResourceArn=arn, Policy=document(arn))
    with refused(missing):
        lambda_client.get_resource_policy(ResourceArn=arn)
    with refused(Refusal(404, MISSING, f"No policy found for: {arn}")):
        lambda_client.delete_resource_policy(ResourceArn=arn)
    latest = f"{ARN}{make_function()}:$LATEST"
    refusal = Refusal(400, INVALID, "We currently do not support adding policies for $LATEST.")
    with refused(refusal):
        lambda_client.put_resource_policy(ResourceArn=latest, Policy=document(latest))


def test_runtimes_have_no_policies_yet(lambda_client: Any) -> None:
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:runtime/mine"
    message = (
        "Customer-managed runtimes are not implemented in this release of lambdabox; policies of "
        "functions, versions and aliases are."
    )
    with refused(Refusal(501, "NotImplementedException", message, None)):
        lambda_client.get_resource_policy(ResourceArn=arn)
