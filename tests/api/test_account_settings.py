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
