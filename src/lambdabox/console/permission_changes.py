"""The resource policy of a function, statement by statement: shown, added to, taken from."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lambdabox.console.forms import Form
from lambdabox.console.function_calls import FunctionCalls

_OPTIONAL = (
    ("source_arn", "SourceArn"),
    ("source_account", "SourceAccount"),
    ("qualifier", "Qualifier"),
)


@dataclass(frozen=True, slots=True)
class Statement:
    sid: str
    who: str
    action: str
    conditions: str
    qualifier: str = ""
    """The alias whose policy this is from."""
    effect: str = "Allow"


def statements_of(document: str, qualifier: str = "") -> list[Statement]:
    return [
        Statement(
            sid=str(each.get("Sid", "")),
            who=_who(each.get("Principal") or each.get("NotPrincipal") or "nobody"),
            action=_joined(each.get("Action") or each.get("NotAction") or ""),
            conditions=", ".join(_conditions(each)),
            qualifier=qualifier,
            effect=str(each.get("Effect", "Allow")),
        )
        for each in orjson.loads(document)["Statement"]
    ]


def _who(principal: Any) -> str:
    if isinstance(principal, dict):
        return ", ".join(_joined(each) for each in principal.values())
    return "everybody" if principal == "*" else str(principal)


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _conditions(statement: Mapping[str, Any]) -> list[str]:
    return [
        f"{name.rpartition(':')[2]}: {_joined(value)}"
        for condition in (statement.get("Condition") or {}).values()
        for name, value in condition.items()
    ]


async def add_statement(calls: FunctionCalls, form: Form) -> str:
    """Let somebody invoke the function, or do something else with it."""
    parameters: dict[str, Any] = {
        "StatementId": form.text("statement_id"),
        "Action": form.text("permission") or "lambda:InvokeFunction",
        "Principal": form.text("principal"),
    }
    if parameters["Action"] == "lambda:InvokeFunctionUrl":
        parameters["FunctionUrlAuthType"] = form.text("url_auth") or "NONE"
    parameters |= {member: form.text(name) for name, member in _OPTIONAL if form.text(name)}
    await calls.call("AddPermission", parameters)
    return f"{parameters['Principal']} has the permission {parameters['Action']} now."


async def remove_statement(calls: FunctionCalls, form: Form) -> str:
    qualifier = {"Qualifier": form.text("qualifier")} if form.text("qualifier") else {}
    sid = form.text("statement_id")
    await calls.call("RemovePermission", {"StatementId": sid, **qualifier})
    return f"The statement {sid} is gone from the policy."
