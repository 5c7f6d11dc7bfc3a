from support.functions import Clients, MakeFunction, without_metadata
from support.packages import python_package, zipped

ECHO_PACKAGE = zipped({"app.py": "def handler(event, context):\n    return event\n"})


def test_limits_and_usage_of_an_account(clients: Clients, make_function: MakeFunction) -> None:
    client = clients("lambda", "333344445555")
    limit = {
        "TotalCodeSize": 322_122_547_200,
        "CodeSizeUnzipped": 262_144_000,
        "CodeSizeZipped": 52_428_800,
        "ConcurrentExecutions": 1_000,
        "UnreservedConcurrentExecutions": 1_000,
    }
    assert without_metadata(client.get_account_settings()) == {
        "AccountLimit": limit,
        "AccountUsage": {"TotalCodeSize": 0, "FunctionCount": 0},
    }
    function = make_function(client=client)
    make_function(client=client)
    used = 2 * len(ECHO_PACKAGE)
    assert without_metadata(client.get_account_settings()) == {
        "AccountLimit": limit,
        "AccountUsage": {"TotalCodeSize": used, "FunctionCount": 2},
    }
    # A published version keeps its code when `$LATEST` moves on.
    client.publish_version(FunctionName=function)
    new = python_package("changed = 1\n")
    client.update_function_code(FunctionName=function, ZipFile=new)
    usage = client.get_account_settings()["AccountUsage"]
    assert usage == {"TotalCodeSize": used + len(new), "FunctionCount": 2}


def test_what_is_reserved_and_provisioned_is_not_unreserved(
    clients: Clients, make_function: MakeFunction
) -> None:
    client = clients("lambda", "666677778888")
    reserved, provisioned = make_function(client=client), make_function(client=client)
    client.put_function_concurrency(FunctionName=reserved, ReservedConcurrentExecutions=300)
    client.publish_version(FunctionName=provisioned)
    client.put_provisioned_concurrency_config(
        FunctionName=provisioned, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    limit = client.get_account_settings()["AccountLimit"]
    assert limit["ConcurrentExecutions"] == 1_000
    assert limit["UnreservedConcurrentExecutions"] == 699
    elsewhere = clients("lambda", "666677778888", "eu-west-1").get_account_settings()
    assert elsewhere["AccountLimit"]["UnreservedConcurrentExecutions"] == 1_000
