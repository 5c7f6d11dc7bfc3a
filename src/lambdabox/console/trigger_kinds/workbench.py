"""What a trigger is made with: calls of Lambda's API and of other services, and a record.

The record tells, in sentences, what was made, in the order in which it was. If a step is
refused, whoever asked is told what was made before it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from lambdabox.aws_ports import AwsServices
from lambdabox.console.function_calls import FunctionCalls
from lambdabox.domain.arn import Scope

OWN = "console-"
"""What the ids of statements begin with that the console has added."""


@dataclass(slots=True)
class Workbench:
    calls: FunctionCalls
    aws: AwsServices
    qualifier: str = ""
    """The version or alias that is to be invoked, if not the function itself."""
    done: list[str] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        return Scope(self.calls.key.account, self.calls.key.region)

    @property
    def name(self) -> str:
        return self.calls.key.name

    @property
    def function_arn(self) -> str:
        """What the source is to invoke."""
        arn = self.calls.key.arn
        return f"{arn}:{self.qualifier}" if self.qualifier else arn

    def arn(self, service: str, resource: str) -> str:
        """Name something of another service, in this account and region."""
        return f"arn:aws:{service}:{self.scope.region}:{self.scope.account}:{resource}"

    async def ask(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """Call another service. Raises AwsCallError."""
        return await self.aws.call(service, operation, parameters, self.scope)

    async def allow(self, principal: str, source_arn: str, *, account: bool = False) -> None:
        """Let a service invoke the function for this source, unless it may already."""
        condition = {"SourceArn": source_arn}
        if account:
            condition["SourceAccount"] = self.scope.account
        if source_arn in await allowed_sources(self.calls, principal, self.qualifier):
            return
        service = principal.partition(".")[0]
        await self.calls.call(
            "AddPermission",
            {
                "StatementId": f"{OWN}{service}-{mark(source_arn)}",
                "Action": "lambda:InvokeFunction",
                "Principal": principal,
                **condition,
                **({"Qualifier": self.qualifier} if self.qualifier else {}),
            },
        )
        self.done.append(f"{principal} may invoke the function for {source_arn} (its policy).")


async def allowed_sources(
    calls: FunctionCalls, principal: str, qualifier: str = ""
) -> Mapping[str, str]:
    """Return the sources that the policy lets a service in for, and the statements' ids."""
    parameters = {"Qualifier": qualifier} if qualifier else {}
    policy = await calls.find("GetPolicy", parameters)
    statements = orjson.loads(policy["Policy"])["Statement"] if policy else ()
    return {
        source_arn(statement): str(statement.get("Sid", ""))
        for statement in statements
        if _lets_invoke(statement, principal)
    }


def _lets_invoke(statement: Mapping[str, Any], principal: str) -> bool:
    who, actions = statement.get("Principal"), statement.get("Action")
    return (
        statement.get("Effect") == "Allow"
        and isinstance(who, dict)
        and who.get("Service") == principal
        and "lambda:InvokeFunction" in (actions if isinstance(actions, list) else [actions])
    )


def source_arn(statement: Mapping[str, Any]) -> str:
    """Return what a statement lets its service in for; empty if for anything."""
    for condition in (statement.get("Condition") or {}).values():
        for name, value in condition.items():
            if name.lower() == "aws:sourcearn":
                return str(value)
    return ""


def mark(arn: str) -> str:
    """A word for an ARN, for statements' ids, which take few characters."""
    return hashlib.sha256(arn.encode()).hexdigest()[:12]
