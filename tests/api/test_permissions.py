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
S3 = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}


def add(client: Any, function: str, sid: str = "s3", **parameters: Any) -> str:
    response = client.add_permission(FunctionName=function, StatementId=sid, **{**S3, **parameters})
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert set(without_metadata(response)) == {"Statement"}
    statement: str = response["Statement"]
    return statement


def policy(client: Any, function: str, **parameters: Any) -> dict[str, Any]:
    response = without_metadata(client.get_policy(FunctionName=function, **parameters))
    assert set(response) == {"Policy", "RevisionId"}
    assert len(response["RevisionId"]) == 36
    return response


def test_a_permission_is_a_statement_in_the_policy(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    statement = add(
        lambda_client,
        function,
        SourceArn="arn:aws:s3:::bucket",
        SourceAccount=ACCOUNT,
        EventSourceToken="token",
        PrincipalOrgID="o-abcdefghij",
        FunctionUrlAuthType="AWS_IAM",
        InvokedViaFunctionUrl=True,
    )
    assert statement == (
        '{"Sid":"s3","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},'
        f'"Action":"lambda:InvokeFunction","Resource":"{ARN}{function}",'
        f'"Condition":{{"StringEquals":{{"AWS:SourceAccount":"{ACCOUNT}",'
        '"lambda:EventSourceToken":"token","lambda:FunctionUrlAuthType":"AWS_IAM",'
        '"aws:PrincipalOrgID":"o-abcdefghij"},"Bool":{"lambda:InvokedViaFunctionUrl":"true"},'
        '"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}}'
    )
    second = add(lambda_client, function, "all", Principal="*", Action="lambda:*")
    found = policy(lambda_client, function)
    assert found["Policy"] == (
        f'{{"Version":"2012-10-17","Id":"default","Statement":[{statement},{second}]}}'
    )
    assert policy(lambda_client, ARN + function) == found
    assert policy(lambda_client, function, Qualifier="$LATEST") == found


def test_a_version_has_a_policy_of_its_own(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    statement = json.loads(add(lambda_client, function, Qualifier="1"))
    assert statement["Resource"] == f"{ARN}{function}:1"
    by_name = policy(lambda_client, f"{function}:1")
    assert json.loads(by_name["Policy"])["Statement"] == [statement]
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_policy(FunctionName=function)
    lambda_client.delete_function(FunctionName=function, Qualifier="1")
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_policy(FunctionName=function, Qualifier="1")


def test_an_alias_has_a_policy_of_its_own(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    lambda_client.publish_version(FunctionName=function)
    lambda_client.create_alias(FunctionName=function, Name="prod", FunctionVersion="1")
    statement = json.loads(add(lambda_client, f"{function}:prod"))
    assert statement["Resource"] == f"{ARN}{function}:prod"
    found = policy(lambda_client, function, Qualifier="prod")
    assert json.loads(found["Policy"])["Statement"] == [statement]
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_policy(FunctionName=function, Qualifier="1")
    lambda_client.delete_alias(FunctionName=function, Name="prod")
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_policy(FunctionName=function, Qualifier="prod")


def test_the_last_statement_takes_the_policy_with_it(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    add(lambda_client, function, "a")
    add(lambda_client, function, "b")
    response = lambda_client.remove_permission(FunctionName=function, StatementId="a")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert without_metadata(response) == {}
    left = json.loads(policy(lambda_client, function)["Policy"])["Statement"]
    assert [statement["Sid"] for statement in left] == ["b"]
    message = "Statement a is not found in resource policy."
    with refused(Refusal(404, MISSING, message)):
        lambda_client.remove_permission(FunctionName=function, StatementId="a")
    lambda_client.remove_permission(FunctionName=function, StatementId="b")
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_policy(FunctionName=function)
    message = "No policy is associated with the given resource."
    with refused(Refusal(404, MISSING, message)):
        lambda_client.remove_permission(FunctionName=function, StatementId="b")


def test_a_statement_id_is_used_once(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    add(lambda_client, function, "s3")
    message = (
        "The statement id (s3) provided already exists. Please provide a new statement id, or "
        "remove the existing statement."
    )
    with refused(Refusal(409, "ResourceConflictException", message)):
        add(lambda_client, function, "s3", Principal="sns.amazonaws.com")


def test_the_revision_is_guarded(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    add(lambda_client, function, "a")
    first = policy(lambda_client, function)["RevisionId"]
    add(lambda_client, function, "b", RevisionId=first)
    second = policy(lambda_client, function)["RevisionId"]
    assert second != first
    message = (
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to "
        "retrieve the latest Revision Id"
    )
    stale = Refusal(412, "PreconditionFailedException", message)
    with refused(stale):
        add(lambda_client, function, "c", RevisionId=first)
    with refused(stale):
        lambda_client.remove_permission(FunctionName=function, StatementId="a", RevisionId=first)
    assert policy(lambda_client, function)["RevisionId"] == second
    lambda_client.remove_permission(FunctionName=function, StatementId="a", RevisionId=second)


def test_permissions_leave_the_function_as_it_is(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    function = make_function()
    before = without_metadata(lambda_client.get_function_configuration(FunctionName=function))
    add(lambda_client, function)
    after = without_metadata(lambda_client.get_function_configuration(FunctionName=function))
    assert after == before


@pytest.mark.parametrize(
    ("principal", "written"),
    [
        ("*", "*"),
        ("events.amazonaws.com", {"Service": "events.amazonaws.com"}),
        ("123456789012", {"AWS": "arn:aws:iam::123456789012:root"}),
        (
            "arn:aws:iam::123456789012:role/r",
            {"AWS": "arn:aws:iam::123456789012:role/r"},
        ),
    ],
)
def test_a_principal_is_written_by_its_kind(
    lambda_client: Any, make_function: MakeFunction, principal: str, written: object
) -> None:
    statement = json.loads(add(lambda_client, make_function(), Principal=principal))
    assert statement["Principal"] == written
    assert "Condition" not in statement


@pytest.mark.parametrize("principal", ["invalid.nonaws.com", "nobody", "12", "arn:aws:s3:::b"])
def test_a_principal_that_is_nobody_is_refused(
    lambda_client: Any, make_function: MakeFunction, principal: str
) -> None:
    function = make_function()
    message = "The provided principal was invalid. Please check the principal and try again."
    with refused(Refusal(400, INVALID, message)):
        add(lambda_client, function, Principal=principal)


def test_what_is_not_there_has_no_policy(lambda_client: Any, make_function: MakeFunction) -> None:
    missing = Refusal(404, MISSING, f"Function not found: {ARN}nobody")
    with refused(missing):
        add(lambda_client, "nobody")
    with refused(missing):
        add(lambda_client, "nobody", Qualifier="prod")
    with refused(missing):
        lambda_client.get_policy(FunctionName="nobody")
    with refused(Refusal(404, MISSING, f"No policy found for: {ARN}nobody")):
        lambda_client.remove_permission(FunctionName="nobody", StatementId="s3")
    function = make_function()
    for qualifier, message in {
        "42": f"Function not found: {ARN}{function}:42",
        "a-$-sign": f"Function not found: {ARN}{function}:a-$-sign",
        "prod": f"Cannot find alias arn: {ARN}{function}:prod",
    }.items():
        with refused(Refusal(404, MISSING, message)):
            add(lambda_client, function, Qualifier=qualifier)
    message = "No policy is associated with the given resource."
    with refused(Refusal(404, MISSING, message)):
        lambda_client.remove_permission(FunctionName=function, StatementId="s3", Qualifier="prod")


def test_latest_has_no_policy_of_its_own(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    refusal = Refusal(400, INVALID, "We currently do not support adding policies for $LATEST.")
    with refused(refusal):
        add(lambda_client, function, Qualifier="$LATEST")
    with refused(refusal):
        add(lambda_client, f"{function}:$LATEST")


def test_a_policy_has_a_size(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    source = f"arn:aws:s3:::{'b' * 9_000}"
    add(lambda_client, function, "a", SourceArn=source)
    add(lambda_client, function, "b", SourceArn=source)
    before = policy(lambda_client, function)
    size = len(before["Policy"]) + 1 + len(add_size(before, "c"))
    message = f"The final policy size ({size}) is bigger than the limit (20480)."
    with refused(Refusal(400, "PolicyLengthExceededException", message)):
        add(lambda_client, function, "c", SourceArn=source)
    assert policy(lambda_client, function) == before


def add_size(found: dict[str, Any], sid: str) -> str:
    """Return the statement that a permission like the first would be."""
    first = json.loads(found["Policy"])["Statement"][0]
    return json.dumps({**first, "Sid": sid}, separators=(",", ":"))


def test_a_statement_id_is_checked_by_the_model(unchecked_client: Any) -> None:
    message = (
        "1 validation error detected: Value 'example.com' at 'statementId' failed to satisfy "
        "constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"
    )
    with refused(Refusal(400, "ValidationException", message, None)):
        add(unchecked_client, "nobody", "example.com")


def test_a_policy_goes_with_its_function(lambda_client: Any, make_function: MakeFunction) -> None:
    function = make_function()
    add(lambda_client, function)
    lambda_client.delete_function(FunctionName=function)
    make_function(FunctionName=function)
    with refused(Refusal(404, MISSING, "The resource you requested does not exist.")):
        lambda_client.get_policy(FunctionName=function)
