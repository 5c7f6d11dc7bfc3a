"""From what a caller sends to what a stack is made from: the template, expanded and checked.

Templates come in the request or from a bucket, their values from the request, from the stack
as it is, from defaults or from Systems Manager. SAM's resources are expanded by a function that
is given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import Definition, StackError
from lambdabox.domain.template_graph import dependencies, in_order
from lambdabox.domain.template_parameters import Given, choose, ssm_name
from lambdabox.domain.template_rules import check_rules
from lambdabox.domain.template_values import Surroundings, Values
from lambdabox.domain.templates import (
    Template,
    TemplateError,
    read_parameters,
    read_template,
    transforms,
)
from lambdabox.stacks.fetching import fetched, object_of
from lambdabox.stacks.template_text import read_text
from lambdabox.stacks.transforms import Expand, Transforms

MAX_BODY = 51_200

_IAM_NAMES: Mapping[str, str | None] = {
    "AWS::IAM::AccessKey": None,
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": None,
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": None,
}
"""What needs a capability, and what in it needs more than that."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request says of a stack to be."""

    body: str | None = None
    url: str | None = None
    use_previous: bool = False
    parameters: Sequence[Given] = ()
    capabilities: tuple[str, ...] = ()
    tags: Mapping[str, str] | None = None
    """None leaves those of before."""
    notification_arns: tuple[str, ...] = ()
    role_arn: str | None = None


@dataclass(frozen=True, slots=True)
class Needed:
    """What a template asks of who deploys it."""

    capabilities: tuple[str, ...] = ()
    reason: str | None = None
    transforms: tuple[str, ...] = field(default=())


class Preparation:
    def __init__(self, services: AwsServices, expand: Expand) -> None:
        self._services = services
        self._transforms = Transforms(services, expand)

    async def text(self, scope: Scope, body: str | None, url: str | None) -> str:
        """Return the template that a request carries or names. Raises StackError."""
        if (body is None) == (url is None):
            raise StackError("Either Template URL or Template Body must be specified.")
        if body is not None:
            if len(body.encode()) > MAX_BODY:
                raise StackError(
                    "1 validation error detected: Value at 'templateBody' failed to satisfy "
                    f"constraint: Member must have length less than or equal to {MAX_BODY}"
                )
            return body
        return await fetched(self._services, scope, object_of(url or ""), url or "")

    async def definition(
        self,
        scope: Scope,
        wanted: Wanted,
        previous: Definition | None,
        *,
        expands_at_once: bool,
    ) -> Definition:
        """Return what the stack is to be made from. Raises StackError.

        `expands_at_once` says that nobody looks at the expanded template before it is used.
        """
        if wanted.use_previous:
            if previous is None:
                raise StackError("Template URL or Template Body must be specified.")
            text = previous.text
        else:
            text = await self.text(scope, wanted.body, wanted.url)
        try:
            return await self._definition(scope, text, wanted, previous, expands_at_once)
        except TemplateError as exc:
            raise StackError(str(exc)) from exc

    async def read(self, text: str) -> dict[str, Any]:
        """Return a template's text as an object. Raises StackError."""
        try:
            document: dict[str, Any] = await anyio.to_thread.run_sync(read_text, text)
        except TemplateError as exc:
            raise StackError(str(exc)) from exc
        return document

    async def _definition(
        self,
        scope: Scope,
        text: str,
        wanted: Wanted,
        previous: Definition | None,
        expands_at_once: bool,
    ) -> Definition:
        document = await self.read(text)
        declared = read_parameters(document)
        chosen = choose(declared, wanted.parameters, previous.parameters if previous else {})
        if transforms(document) and expands_at_once:
            _need(wanted, ("CAPABILITY_AUTO_EXPAND",))
        asked = {name: ssm_name(declared[name], value) for name, value in chosen.items()}
        looked_up = {
            name: await self._looked_up(scope, value) for name, value in asked.items() if value
        }
        values = {**chosen, **looked_up}
        expanded = await self.expanded(scope, document, values)
        template = read_template(expanded)
        around = Surroundings(scope.account, scope.region, "", "", parameters=values)
        check_rules(template, Values(template, around, lambda _logical_id: None))
        # A circle, or a name that is nowhere, is told before anything is made.
        in_order(dependencies(template, tuple(template.resources)))
        _need(wanted, needed(template).capabilities)
        tags = wanted.tags if wanted.tags is not None else (previous.tags if previous else {})
        return Definition(
            text=text,
            document=expanded,
            parameters=chosen,
            looked_up=looked_up,
            capabilities=wanted.capabilities,
            tags=tags,
            notification_arns=wanted.notification_arns,
            role_arn=wanted.role_arn or (previous.role_arn if previous else None),
        )

    async def expanded(
        self, scope: Scope, document: Mapping[str, Any], values: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return a template with its transforms done. Raises TemplateError and StackError."""
        return await self._transforms.expanded(scope, document, values)

    async def _looked_up(self, scope: Scope, name: str) -> str:
        try:
            found = await self._services.call(
                "ssm", "GetParameter", {"Name": name, "WithDecryption": True}, scope
            )
        except AwsCallError as exc:
            raise StackError(
                f"Unable to fetch parameters [{name}] from parameter store for this account."
            ) from exc
        return str(found["Parameter"]["Value"])


def needed(template: Template) -> Needed:
    """Return the capabilities that a template asks for."""
    with_access = [each for each in template.resources.values() if each.type in _IAM_NAMES]
    if not with_access:
        return Needed()
    types = ", ".join(sorted({each.type for each in with_access}))
    named = any(_IAM_NAMES[each.type] in each.properties for each in with_access)
    return Needed(
        ("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM",),
        f"The following resource(s) require capabilities: [{types}]",
    )


def _need(wanted: Wanted, capabilities: Sequence[str]) -> None:
    given = {*wanted.capabilities}
    if "CAPABILITY_NAMED_IAM" in given:
        given.add("CAPABILITY_IAM")
    if missing := [each for each in capabilities if each not in given]:
        raise StackError(
            f"Requires capabilities : [{', '.join(missing)}]", "InsufficientCapabilitiesException"
        )
