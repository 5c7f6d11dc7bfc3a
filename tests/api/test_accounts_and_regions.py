"""A 12-digit access key is an account; accounts and regions see nothing of each other."""

from typing import Any

import pytest
from support.functions import (
    ACCOUNT,
    REGION,
    Clients,
    MakeFunction,
    Refusal,
    eventually,
    invoke,
    log_messages,
    refusal_of,
    refused,
)
from support.node import Node

OTHER = "111122223333"


def test_a_function_belongs_to_the_account_and_region_of_its_request(
    clients: Clients, make_function: MakeFunction
) -> None:
    for account, region in ((OTHER, "us-east-1"), (OTHER, "eu-central-1"), ("test", "eu-west-1")):
        client = clients("lambda", account, region)
        function = make_function(
            "import os\ndef handler(event, context):\n"
            "    return [context.invoked_function_arn, os.environ['AWS_REGION']]\n",
            client=client,
        )
        owner = account if account.isdigit() else ACCOUNT
        arn = f"arn:aws:lambda:{region}:{owner}:function:{function}"
        assert client.get_function(FunctionName=function)["Configuration"]["FunctionArn"] == arn
        assert invoke(client, function).value == [arn, region]


@pytest.mark.parametrize("key", ["test", "AKIAIOSFODNN7EXAMPLE", "12345678901", "1234567890123"])
def test_any_other_key_is_the_default_account(
    node: Node, clients: Clients, make_function: MakeFunction, key: str
) -> None:
    function = make_function()
    shown = clients("lambda", key).get_function(FunctionName=function)
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"
    assert shown["Configuration"]["FunctionArn"] == arn


@pytest.mark.parametrize(("account", "region"), [(OTHER, REGION), ("test", "ap-south-1")])
def test_the_same_name_elsewhere_is_another_function(
    lambda_client: Any, clients: Clients, make_function: MakeFunction, account: str, region: str
) -> None:
    here = make_function("def handler(event, context):\n    return 'here'\n", Tags={"a": "here"})
    elsewhere = clients("lambda", account, region)
    with pytest.raises(elsewhere.exceptions.ResourceNotFoundException):
        elsewhere.invoke(FunctionName=here)
    assert here not in [f["FunctionName"] for f in elsewhere.list_functions()["Functions"]]
    make_function(
        "def handler(event, context):\n    return 'there'\n", client=elsewhere, FunctionName=here
    )
    assert invoke(lambda_client, here).value == "here"
    assert invoke(elsewhere, here).value == "there"
    assert "Tags" not in elsewhere.get_function(FunctionName=here)
    elsewhere.delete_function(FunctionName=here)
    assert invoke(lambda_client, here).value == "here"
    assert lambda_client.get_function(FunctionName=here)["Tags"] == {"a": "here"}


@pytest.mark.parametrize(
    "operation", ["invoke", "get_function", "get_function_configuration", "delete_function"]
)
def test_an_arn_of_another_region_is_not_reachable(
    lambda_client: Any, make_function: MakeFunction, operation: str
) -> None:
    arn = f"arn:aws:lambda:ap-southeast-1:{ACCOUNT}:function:{make_function()}"
    message = f"Functions from 'ap-southeast-1' are not reachable in this region ('{REGION}')"
    with refused(Refusal(404, "ResourceNotFoundException", message)):
        getattr(lambda_client, operation)(FunctionName=arn)


@pytest.mark.parametrize("form", ["arn:aws:lambda:{region}:{account}:function:{name}",
                                  "{account}:function:{name}"])  # fmt: skip
def test_an_arn_of_another_account_is_denied(
    lambda_client: Any, clients: Clients, make_function: MakeFunction, form: str
) -> None:
    function = make_function(client=clients("lambda", OTHER))
    arn = form.format(region=REGION, account=OTHER, name=function)
    for operation in ("invoke", "get_function", "delete_function"):
        with pytest.raises(lambda_client.exceptions.ClientError) as caught:
            getattr(lambda_client, operation)(FunctionName=arn)
        refusal = refusal_of(caught.value)
        assert (refusal.status, refusal.code, refusal.type) == (403, "AccessDeniedException", None)
        assert arn in refusal.message


def test_tags_by_arn_stay_within_account_and_region(
    lambda_client: Any, clients: Clients, make_function: MakeFunction
) -> None:
    function = make_function(client=clients("lambda", OTHER))
    with pytest.raises(lambda_client.exceptions.ClientError) as caught:
        lambda_client.list_tags(Resource=f"arn:aws:lambda:{REGION}:{OTHER}:function:{function}")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_events_in_the_queue_keep_their_account(
    clients: Clients, make_function: MakeFunction
) -> None:
    client, logs = clients("lambda", OTHER, "eu-north-1"), clients("logs", OTHER, "eu-north-1")
    function = make_function(client=client)
    client.invoke(FunctionName=function, InvocationType="Event", Payload=b"1")
    group = f"/aws/lambda/{function}"
    messages = eventually(lambda: [m for m in log_messages(logs, group) if "REPORT" in m])
    assert len(messages) == 1
