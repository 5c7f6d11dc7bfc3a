"""Make, change and delete one resource of a stack, of whatever type it is.

Knows what all types have in common: names made up, tags of the stack, values that are looked
up at the last moment, and what is said of a type that there is not.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import orjson

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.stacks import Stack, StackResource
from lambdabox.domain.templates import TemplateError
from lambdabox.stacks.resources.kinds import (
    Answers,
    NestedStacks,
    ResourceError,
    ResourceKind,
    Result,
    Work,
    tag_map,
)
from lambdabox.stacks.resources.registry import kind_of

log = logging.getLogger(__name__)

Initiated = Callable[[str], Awaitable[None]]

_DYNAMIC = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^{}]+)\}\}")


@dataclass(frozen=True, slots=True)
class Workshop:
    services: AwsServices
    answers: Answers
    nested: NestedStacks

    def kind(self, type: str) -> ResourceKind:
        """Return the kind that a type is of. Raises ResourceError."""
        kind = kind_of(type)
        if kind is None:
            raise ResourceError(f"Resource type {type} is not supported by lambdabox.")
        return kind

    def complete(
        self, type: str, properties: Mapping[str, Any], tags: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return a resource's properties with the tags of its stack."""
        kind = kind_of(type)
        if kind is None or kind.tags == "none" or not tags:
            return dict(properties)
        try:
            merged = {**tags, **tag_map(properties.get("Tags"))}
        except (KeyError, TypeError) as exc:
            raise TemplateError(f"The Tags of a {type} are not a list of keys and values.") from exc
        if kind.tags == "map":
            return {**properties, "Tags": merged}
        listed = [{"Key": key, "Value": value} for key, value in merged.items()]
        return {**properties, "Tags": listed}

    def made_up_name(self, stack: Stack, resource: StackResource, token: str) -> str:
        """Return a name for a resource whose author gave none; empty if it has one, or none."""
        rule = self.kind(resource.type).name
        if rule is None or rule.property in resource.properties:
            return ""
        suffix = f"-{token}{rule.suffix(resource.properties)}"
        name = f"{stack.name}-{resource.logical_id}"[: rule.longest - len(suffix)] + suffix
        return name.lower() if rule.is_lower else name

    async def create(self, stack: Stack, resource: StackResource, initiated: Initiated) -> Result:
        kind = self.kind(resource.type)
        work = self._work(stack, resource, initiated)
        properties = await self._final(work, kind, resource.properties)
        if missing := [name for name in kind.required if name not in properties]:
            raise ResourceError(
                f"Properties validation failed for resource {resource.logical_id} with message: "
                f"#: required key [{missing[0]}] not found"
            )
        with _author_at_fault(resource):
            return await kind.create(work, properties)

    async def update(
        self, stack: Stack, resource: StackResource, before: Mapping[str, Any]
    ) -> Result:
        kind = self.kind(resource.type)
        if kind.update is None:
            raise ResourceError(f"A {resource.type} cannot be changed.")
        work = self._work(stack, resource, _ignored)
        final = await self._final(work, kind, resource.properties)
        final_before = await self._final(work, kind, before)
        with _author_at_fault(resource):
            return await kind.update(work, resource.physical_id, final, final_before)

    async def delete(self, stack: Stack, resource: StackResource) -> None:
        """Delete a resource; one that is not there any more is no error."""
        kind = kind_of(resource.type)
        if kind is None:
            return  # it was never made
        physical_id = resource.physical_id
        if not physical_id and kind.name is not None and kind.name.is_id:
            physical_id = resource.name  # it was being made when the node was stopped
        if physical_id:
            work = self._work(stack, resource, _ignored)
            properties = _named(kind, resource.name, resource.properties)
            with _author_at_fault(resource):
                await kind.delete(work, physical_id, properties)

    def _work(self, stack: Stack, resource: StackResource, initiated: Initiated) -> Work:
        return Work(
            services=self.services,
            scope=stack.scope,
            stack_name=stack.name,
            stack_id=stack.id,
            logical_id=resource.logical_id,
            type=resource.type,
            name=resource.name,
            initiated=initiated,
            answers=self.answers,
            nested=self.nested,
        )

    async def _final(
        self, work: Work, kind: ResourceKind, properties: Mapping[str, Any]
    ) -> dict[str, Any]:
        found: dict[str, Any] = await self._resolved(work, dict(properties))
        return _named(kind, work.name, found)

    async def _resolved(self, work: Work, value: Any) -> Any:
        """Return a value with what `{{resolve:...}}` in it means."""
        match value:
            case dict():
                return {name: await self._resolved(work, each) for name, each in value.items()}
            case list():
                return [await self._resolved(work, each) for each in value]
            case str() if "{{resolve:" in value:
                for found in _DYNAMIC.finditer(value):
                    looked_up = await _looked_up(work, found.group(1), found.group(2))
                    value = value.replace(found.group(0), looked_up)
                return value
            case _:
                return value


@contextmanager
def _author_at_fault(resource: StackResource) -> Iterator[None]:
    """Properties may be of any shape: what a kind stumbles over is told as their author's."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as exc:
        log.info("%s cannot be made as it is declared", resource.logical_id, exc_info=exc)
        raise ResourceError(
            f"Properties validation failed for resource {resource.logical_id} with message: "
            f"{type(exc).__name__}: {exc}"
        ) from exc


async def _ignored(_physical_id: str) -> None:
    """The physical id is known already."""


def _named(kind: ResourceKind, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {**properties, kind.name.property: name} if kind.name and name else dict(properties)


async def _looked_up(work: Work, service: str, reference: str) -> str:
    try:
        if service != "secretsmanager":
            found = await work.call(
                "ssm", "GetParameter", {"Name": reference, "WithDecryption": True}
            )
            return str(found["Parameter"]["Value"])
        return await _secret(work, reference)
    except (AwsCallError, KeyError, orjson.JSONDecodeError) as exc:
        raise ResourceError(
            f"Could not find a value for the reference {{{{resolve:{service}:{reference}}}}}: {exc}"
        ) from exc


async def _secret(work: Work, reference: str) -> str:
    # An ARN has six colons of its own; a plain name has none.
    parts = reference.split(":")
    size = 7 if reference.startswith("arn:") else 1
    id, rest = ":".join(parts[:size]), [*parts[size:], "", "", "", ""]
    stage, version = rest[2], rest[3]
    found = await work.call(
        "secretsmanager",
        "GetSecretValue",
        {"SecretId": id, "VersionStage": stage or None, "VersionId": version or None},
    )
    text = str(found["SecretString"])
    return str(orjson.loads(text)[rest[1]]) if rest[1] else text


def with_result(resource: StackResource, result: Result) -> StackResource:
    return replace(resource, physical_id=result.physical_id, attributes=dict(result.attributes))
