"""What `top` shows."""

from lambdabox.cli.top import cells, joined


def row(name: str, running: int, invocations: int) -> dict[str, object]:
    return {"FunctionName": name, "Running": running, "Invocations": invocations}


def test_the_busiest_is_first_and_all_functions_are_there() -> None:
    page = {"Functions": [row("often", 0, 90), row("gone", 0, 5), row("now", 1, 2)]}
    functions = [
        {"FunctionName": name, "State": state}
        for name, state in (("often", "Active"), ("now", "Active"), ("idle", "Pending"))
    ]
    shown = joined(page, functions)["Functions"]
    assert [(each["FunctionName"], each["State"]) for each in shown] == [
        ("now", "Active"), ("often", "Active"), ("gone", "Deleted"), ("idle", "Pending"),
    ]  # fmt: skip


def test_a_function_that_has_not_run_has_no_figures() -> None:
    idle = joined({"Functions": []}, [{"FunctionName": "idle"}])["Functions"][0]
    assert cells(idle, 60.0) == ("idle", "Active", "0", *"--------")
