"""Delete resources of a stack: all of them, or what a change has left.

In the reverse of the order in which they were made. What cannot be deleted stays, with what it
needs, and the rest goes.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.stacks import StackResource
from lambdabox.domain.template_graph import in_order
from lambdabox.domain.templates import TemplateError
from lambdabox.stacks.making import told
from lambdabox.stacks.progress import Progress
from lambdabox.stacks.resources.kinds import ResourceError
from lambdabox.stacks.workshop import Workshop

_GONE = frozenset({"DELETE_COMPLETE", "DELETE_SKIPPED"})


class Removing:
    def __init__(self, progress: Progress, workshop: Workshop) -> None:
        self._progress = progress
        self._workshop = workshop

    async def all(
        self, *, keeps: Collection[str] = frozenset({"Retain"}), retained: Collection[str] = ()
    ) -> list[str]:
        """Delete a stack's resources; return the logical ids of those that could not be."""
        failed: list[str] = []
        blocked: set[str] = set()
        for resource in backwards(self._progress.stack.resources):
            if resource.status in _GONE:
                continue
            if resource.logical_id in blocked:
                blocked.update(resource.needs)
                continue
            is_kept = resource.deletion_policy in keeps or resource.logical_id in retained
            if not await self._remove(resource, is_kept=is_kept):
                failed.append(resource.logical_id)
                blocked.update(resource.needs)
        return failed

    async def leavings(self) -> None:
        """Delete what was replaced or is not in the template any more.

        What cannot be deleted is told, and not the stack's any more, as on AWS.
        """
        for resource in backwards(self._progress.stack.leavings):
            is_replaced = self._progress.stack.resource(resource.logical_id) is not None
            policy = resource.replace_policy if is_replaced else resource.deletion_policy
            deleting = replace(resource, status="DELETE_IN_PROGRESS", reason=None)
            if policy == "Retain":
                await self._progress.tell(replace(deleting, status="DELETE_SKIPPED"))
            else:
                await self._progress.tell(deleting)
                reason = await self._deleted(resource)
                status = "DELETE_COMPLETE" if reason is None else "DELETE_FAILED"
                await self._progress.tell(replace(deleting, status=status, reason=reason))
            left = tuple(each for each in self._progress.stack.leavings if each != resource)
            await self._progress.change(leavings=left)

    async def _remove(self, resource: StackResource, *, is_kept: bool) -> bool:
        if is_kept:
            await self._progress.resource(replace(resource, status="DELETE_SKIPPED", reason=None))
            return True
        begun = await self._progress.resource(
            replace(resource, status="DELETE_IN_PROGRESS", reason=None)
        )
        reason = await self._deleted(begun)
        status = "DELETE_COMPLETE" if reason is None else "DELETE_FAILED"
        await self._progress.resource(replace(begun, status=status, reason=reason))
        return reason is None

    async def _deleted(self, resource: StackResource) -> str | None:
        """Delete a resource; return why it could not be, if so."""
        try:
            await self._workshop.delete(self._progress.stack, resource)
        except (AwsCallError, ResourceError) as exc:
            return told(exc)
        return None


def backwards(resources: Sequence[StackResource]) -> list[StackResource]:
    """Return resources, each before all that it needs."""
    needs = {each.logical_id: frozenset(each.needs) for each in resources}
    try:
        position = {name: at for at, name in enumerate(in_order(needs))}
    except TemplateError:  # of replaced and new ones that need each other
        position = {each.logical_id: at for at, each in enumerate(resources)}
    return sorted(resources, key=lambda each: position[each.logical_id], reverse=True)
