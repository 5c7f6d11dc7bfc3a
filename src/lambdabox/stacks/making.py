"""Bring a stack's resources to what its definition asks for, one after the other.

Each is stored before it is begun and when it is done, so that whoever goes on after a crash
knows what may be there. What is replaced or not wanted any more stays until all the rest is
done; then it goes with the leavings.
"""

from collections.abc import Mapping
from dataclasses import replace
from secrets import choice
from string import ascii_uppercase, digits
from typing import Any

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.stacks import StackResource
from lambdabox.domain.template_values import NO_VALUE, NotYetKnown
from lambdabox.domain.templates import Resource, TemplateError
from lambdabox.stacks.evaluation import Evaluated
from lambdabox.stacks.progress import Progress
from lambdabox.stacks.resources.kinds import ResourceError, changed_properties
from lambdabox.stacks.workshop import Workshop, with_result

_TOKEN = ascii_uppercase + digits


class StepFailed(Exception):
    """A resource could not be made or changed; its record says why."""

    def __init__(self, logical_id: str, verb: str) -> None:
        super().__init__(f"The following resource(s) failed to {verb}: [{logical_id}]. ")


class Unwanted(Exception):
    """Somebody has asked to delete the stack that is being created."""


class Making:
    def __init__(self, progress: Progress, workshop: Workshop) -> None:
        self._progress = progress
        self._workshop = workshop

    async def advance(self, evaluated: Evaluated, tags: Mapping[str, str]) -> None:
        """Make all that is to be there. Raises StepFailed, Unwanted and TemplateError."""
        for logical_id in evaluated.order:
            if self._progress.stack.is_unwanted:
                raise Unwanted
            await self._bring(logical_id, evaluated, tags)
        stack = self._progress.stack
        gone = [each for each in stack.resources if each.logical_id not in evaluated.needs]
        if gone:
            kept = tuple(each for each in stack.resources if each not in gone)
            await self._progress.change(resources=kept, leavings=(*stack.leavings, *gone))

    async def _bring(self, logical_id: str, evaluated: Evaluated, tags: Mapping[str, str]) -> None:
        declared = evaluated.template.resources[logical_id]
        known = self._progress.stack.resource(logical_id)
        wanted = StackResource(
            logical_id,
            declared.type,
            "CREATE_IN_PROGRESS",
            self._progress.now(),
            needs=tuple(sorted(evaluated.needs[logical_id])),
            deletion_policy=declared.deletion_policy,
            replace_policy=declared.replace_policy,
        )
        try:
            properties = self._properties(declared, evaluated, tags)
        except (TemplateError, NotYetKnown) as exc:
            await self._fail(known or wanted, "update" if known else "create", exc)
        wanted = replace(wanted, properties=properties)
        if known is None or not known.is_there:
            await self._create(wanted)
        else:
            await self._renew(known, wanted)

    def _properties(
        self, declared: Resource, evaluated: Evaluated, tags: Mapping[str, str]
    ) -> dict[str, Any]:
        properties = evaluated.values.of(dict(declared.properties))
        if properties is NO_VALUE or not isinstance(properties, dict):
            raise TemplateError(
                f"Template format error: Properties of {declared.logical_id} must be an object."
            )
        return self._workshop.complete(declared.type, properties, tags)

    async def _renew(self, known: StackResource, wanted: StackResource) -> None:
        """Change a resource that is there, or put another in its place."""
        if known.type != wanted.type:
            await self._fail(
                replace(known, status="UPDATE_FAILED"),
                "update",
                ResourceError("Update of resource type is not permitted."),
            )
        changed = changed_properties(known.properties, wanted.properties)
        current = replace(wanted, physical_id=known.physical_id, name=known.name)
        current = replace(current, status=known.status, attributes=known.attributes)
        kind = self._workshop.kind(known.type)
        if not (changed or kind.looks_closer) and known.status != "UPDATE_FAILED":
            if current != replace(known, changed=current.changed, reason=None):
                await self._progress.resource(current, is_told=False)
            return
        if kind.is_replaced_by(changed):
            rule = kind.name
            keeps_name = rule is not None and not known.name and rule.property not in changed
            if keeps_name and rule is not None and rule.is_id:
                name = wanted.properties.get(rule.property)
                await self._fail(
                    current,
                    "update",
                    ResourceError(
                        "CloudFormation cannot update a stack when a custom-named resource "
                        f"requires replacing. Rename {name} and update the stack again."
                    ),
                )
            await self._progress.change(leavings=(*self._progress.stack.leavings, known))
            await self._create(
                wanted,
                "UPDATE",
                "Requested update requires the creation of a new physical resource; hence "
                "creating one.",
            )
            return
        await self._progress.resource(replace(current, status="UPDATE_IN_PROGRESS", reason=None))
        await self.update(current, known.properties)

    async def update(self, resource: StackResource, before: Mapping[str, Any]) -> None:
        """Change a resource in its place. Raises StepFailed."""
        try:
            result = await self._workshop.update(self._progress.stack, resource, before)
        except (AwsCallError, ResourceError) as exc:
            await self._fail(resource, "update", exc)
        if result.physical_id != resource.physical_id:
            # A custom resource's function has made another; the old one goes at the end.
            old = replace(resource, properties=before)
            await self._progress.change(leavings=(*self._progress.stack.leavings, old))
        done = replace(resource, status="UPDATE_COMPLETE", reason=None)
        await self._progress.resource(with_result(done, result))

    async def _create(
        self, wanted: StackResource, verb: str = "CREATE", reason: str | None = None
    ) -> None:
        stack = self._progress.stack
        token = "".join(choice(_TOKEN) for _ in range(12))
        status = f"{verb}_IN_PROGRESS"
        try:
            name = self._workshop.made_up_name(stack, wanted, token)
            begun = replace(wanted, status=status, name=name, reason=reason)
            begun = await self._progress.resource(begun)

            async def initiated(physical_id: str) -> None:
                nonlocal begun
                begun = replace(
                    begun, physical_id=physical_id, reason="Resource creation Initiated"
                )
                begun = await self._progress.resource(begun)

            result = await self._workshop.create(stack, begun, initiated)
        except (AwsCallError, ResourceError) as exc:
            known = self._progress.stack.resource(wanted.logical_id)
            await self._fail(
                known if known is not None and known.status == status else wanted,
                "update" if verb == "UPDATE" else "create",
                exc,
            )
        done = replace(begun, status=f"{verb}_COMPLETE", reason=None)
        await self._progress.resource(with_result(done, result))

    async def _fail(self, resource: StackResource, verb: str, exc: Exception) -> Any:
        failed = replace(resource, status=f"{verb.upper()}_FAILED", reason=told(exc))
        await self._progress.resource(failed)
        raise StepFailed(resource.logical_id, verb) from exc


def told(exc: Exception) -> str:
    """Return what a stack's event says of a failure."""
    if isinstance(exc, AwsCallError):
        return (
            f'Resource handler returned message: "{exc.message}" (Service: {exc.service}, '
            f"Operation: {exc.operation}, Error Code: {exc.code})"
        )
    return str(exc) or type(exc).__name__
