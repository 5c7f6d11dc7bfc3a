"""Bring one stack from an unfinished state to a finished one.

The statuses are CloudFormation's, and each is the place where a node that was stopped goes on:
what was being created or updated is undone, for nobody knows how far the last step came; what
was being undone or deleted goes on.
"""

from dataclasses import replace

import anyio

from lambdabox.domain.stacks import Definition, Stack, StackResource
from lambdabox.domain.template_values import NotYetKnown
from lambdabox.domain.templates import TemplateError
from lambdabox.stacks.evaluation import (
    Evaluated,
    evaluate,
    exports_of,
    made,
    outputs_of,
)
from lambdabox.stacks.making import Making, StepFailed, Unwanted
from lambdabox.stacks.progress import Progress
from lambdabox.stacks.records import StackRecords
from lambdabox.stacks.removing import Removing
from lambdabox.stacks.workshop import Workshop

STOPPED = "The node was stopped meanwhile. "
_CLEANUP = "_CLEANUP_IN_PROGRESS"


class Deployment:
    def __init__(self, progress: Progress, records: StackRecords, workshop: Workshop) -> None:
        self._progress = progress
        self._records = records
        self._making = Making(progress, workshop)
        self._removing = Removing(progress, workshop)

    async def run(self, *, is_resumed: bool) -> None:
        """Do what the stack's status says is being done."""
        match self._stack.status:
            case "CREATE_IN_PROGRESS" if is_resumed:
                await self._create_failed(STOPPED)
            case "CREATE_IN_PROGRESS":
                await self._create()
            case "UPDATE_IN_PROGRESS" if is_resumed:
                await self._update_failed(STOPPED)
            case "UPDATE_IN_PROGRESS":
                await self._update()
            case "ROLLBACK_IN_PROGRESS":
                await self._roll_back()
            case "UPDATE_ROLLBACK_IN_PROGRESS":
                await self._restore()
            case "DELETE_IN_PROGRESS":
                await self._delete()
            case status if status.endswith(_CLEANUP):
                await self._clean_up(status)

    @property
    def _stack(self) -> Stack:
        return self._progress.stack

    async def _create(self) -> None:
        minutes = self._stack.timeout_minutes
        try:
            with anyio.fail_after(minutes * 60 if minutes else None):
                await self._advance()
        except TimeoutError:
            await self._create_failed(f"It was not created within {minutes} minutes. ")
        except Unwanted:
            await self._start_deleting()
        except (StepFailed, TemplateError, NotYetKnown) as exc:
            await self._create_failed(str(exc))
        else:
            await self._progress.status("CREATE_COMPLETE")
            if self._stack.is_unwanted:
                await self._start_deleting()

    async def _update(self) -> None:
        try:
            await self._advance()
        except (StepFailed, TemplateError, NotYetKnown) as exc:
            await self._update_failed(str(exc))
        else:
            await self._clean_up(f"UPDATE_COMPLETE{_CLEANUP}")

    async def _advance(self) -> None:
        definition = self._stack.definition
        if definition is None:
            raise TemplateError("The stack has no template.")
        evaluated = await self._evaluated(definition)
        await self._making.advance(evaluated, definition.tags)
        outputs = outputs_of(evaluated)
        others = await exports_of(self._records, self._stack.scope, without=self._stack.id)
        for output in outputs:
            if output.export in others:
                raise TemplateError(
                    f"Export with name {output.export} is already exported by stack "
                    f"{others[output.export][1]}. "
                )
        await self._refuse_lost_exports({each.export for each in outputs if each.export})
        await self._progress.change(
            outputs=outputs, imports=tuple(sorted(evaluated.values.imported))
        )

    async def _evaluated(self, definition: Definition) -> Evaluated:
        exports = await exports_of(self._records, self._stack.scope, without=self._stack.id)
        return evaluate(
            self._stack,
            definition,
            exports,
            lambda logical_id: made(self._stack.resource(logical_id)),
        )

    async def _create_failed(self, reason: str) -> None:
        match self._stack.on_failure:
            case "DO_NOTHING":
                await self._progress.status("CREATE_FAILED", reason)
            case "DELETE":
                await self._start_deleting(reason + "Delete requested by user.")
            case _:
                await self._progress.status(
                    "ROLLBACK_IN_PROGRESS", reason + "Rollback requested by user."
                )
                await self._roll_back()

    async def _roll_back(self) -> None:
        failed = await self._removing.all()
        if self._stack.is_unwanted:
            await self._start_deleting()
        elif failed:
            await self._progress.status("ROLLBACK_FAILED", _not_deleted(failed))
        else:
            await self._progress.status("ROLLBACK_COMPLETE", outputs=(), imports=())
            if self._stack.is_unwanted:
                await self._start_deleting()

    async def _update_failed(self, reason: str) -> None:
        if self._stack.on_failure == "DO_NOTHING":
            await self._progress.status("UPDATE_FAILED", reason)
            return
        await self._progress.status("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        await self._restore()

    async def _restore(self) -> None:
        """Bring the resources back to what they were before the update."""
        before = {each.logical_id: each for each in self._stack.before}
        failed = []
        for current in self._stack.resources:
            was = before.get(current.logical_id)
            if was is None or was == current:
                continue
            if was.physical_id != current.physical_id:
                await self._put_back(current, was)
            elif was.properties != current.properties:
                try:
                    await self._change_back(current, was)
                except StepFailed:
                    failed.append(was.logical_id)
            else:
                await self._progress.resource(was, is_told=False)
        if failed:
            names = ", ".join(failed)
            reason = f"The following resource(s) failed to update: [{names}]. "
            await self._progress.status("UPDATE_ROLLBACK_FAILED", reason)
            return
        await self._leave_only_before()
        await self._clean_up(f"UPDATE_ROLLBACK_COMPLETE{_CLEANUP}")

    async def _put_back(self, current: StackResource, was: StackResource) -> None:
        """Use again what was replaced."""
        leavings = tuple(
            each for each in self._stack.leavings if each.physical_id != was.physical_id
        )
        if current.is_there or current.name:
            leavings = (*leavings, current)
        await self._progress.change(leavings=leavings)
        await self._progress.resource(replace(was, status="UPDATE_COMPLETE", reason=None))

    async def _change_back(self, current: StackResource, was: StackResource) -> None:
        begun = replace(was, status="UPDATE_IN_PROGRESS", reason=None)
        await self._progress.resource(begun)
        await self._making.update(begun, current.properties)

    async def _leave_only_before(self) -> None:
        """What the update has made goes; what it was about to delete stays."""
        stack = self._stack
        known = {each.logical_id for each in stack.before}
        there = {each.logical_id for each in stack.resources}
        added = tuple(each for each in stack.resources if each.logical_id not in known)
        kept = tuple(each for each in stack.resources if each.logical_id in known)
        removed = tuple(each for each in stack.before if each.logical_id not in there)
        ids = {each.physical_id for each in stack.before}
        leavings = tuple(each for each in stack.leavings if each.physical_id not in ids)
        await self._progress.change(
            resources=(*kept, *removed),
            leavings=(*leavings, *added),
            definition=stack.previous or stack.definition,
        )

    async def _clean_up(self, status: str) -> None:
        if self._stack.status != status:
            await self._progress.status(status)
        await self._removing.leavings()
        await self._progress.status(status.removesuffix(_CLEANUP), previous=None, before=())

    async def _start_deleting(self, reason: str | None = None) -> None:
        await self._progress.status("DELETE_IN_PROGRESS", reason)
        await self._delete()

    async def _delete(self) -> None:
        try:
            await self._refuse_lost_exports(set())
        except TemplateError as exc:
            await self._progress.status("DELETE_FAILED", str(exc))
            return
        await self._removing.leavings()
        failed = await self._removing.all(
            keeps={"Retain", "RetainExceptOnCreate"}, retained=self._stack.retained
        )
        if failed:
            await self._progress.status("DELETE_FAILED", _not_deleted(failed))
            return
        await self._progress.bury()

    async def _refuse_lost_exports(self, kept: set[str]) -> None:
        """Raise TemplateError if an export goes that another stack uses."""
        lost = {each.export for each in self._stack.outputs if each.export} - kept
        for other in await self._records.stacks(self._stack.scope):
            used = sorted(lost.intersection(other.imports))
            if used and other.id != self._stack.id:
                raise TemplateError(
                    f"Export {used[0]} cannot be deleted as it is in use by {other.name}"
                )


def _not_deleted(failed: list[str]) -> str:
    return f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
