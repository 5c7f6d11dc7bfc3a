"""Operations on change sets, which is how deployment tools create and update stacks."""

from collections.abc import Mapping
from typing import Any

from lambdabox.api import stack_shapes as shapes
from lambdabox.api.cloudformation import Handler
from lambdabox.api.operations.stacks import page
from lambdabox.domain.arn import Scope
from lambdabox.stacks.change_sets import ChangeSets, Draft
from lambdabox.stacks.stacks import Stacks

Params = Mapping[str, Any]


class ChangeSetOperations:
    def __init__(self, change_sets: ChangeSets, stacks: Stacks) -> None:
        self._change_sets = change_sets
        self._stacks = stacks

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateChangeSet": self._create,
            "DeleteChangeSet": self._delete,
            "DescribeChangeSet": self._describe,
            "DescribeChangeSetHooks": self._hooks,
            "ExecuteChangeSet": self._execute,
            "ListChangeSets": self._list,
        }

    async def _create(self, scope: Scope, params: Params) -> Params:
        draft = Draft(
            name=params["ChangeSetName"],
            stack_name=params["StackName"],
            wanted=shapes.wanted(params),
            type=params.get("ChangeSetType", "UPDATE"),
            description=params.get("Description"),
            on_failure=params.get("OnStackFailure"),
        )
        made = await self._change_sets.create(scope, draft)
        return {"Id": made.id, "StackId": made.stack_id}

    async def _describe(self, scope: Scope, params: Params) -> Params:
        found = await self._change_sets.get(scope, params["ChangeSetName"], params.get("StackName"))
        shown = shapes.change_set(found)
        return {**shown, **page("Changes", shown["Changes"], params)}

    async def _hooks(self, scope: Scope, params: Params) -> Params:
        found = await self._change_sets.get(scope, params["ChangeSetName"], params.get("StackName"))
        return {
            "ChangeSetId": found.id,
            "ChangeSetName": found.name,
            "Hooks": [],
            "Status": "PLANNED",
            "StackId": found.stack_id,
            "StackName": found.stack_name,
        }

    async def _execute(self, scope: Scope, params: Params) -> Params:
        await self._change_sets.execute(
            scope,
            params["ChangeSetName"],
            params.get("StackName"),
            disables_rollback=params.get("DisableRollback", False),
            token=params.get("ClientRequestToken"),
        )
        return {}

    async def _delete(self, scope: Scope, params: Params) -> Params:
        await self._change_sets.delete(scope, params["ChangeSetName"], params.get("StackName"))
        return {}

    async def _list(self, scope: Scope, params: Params) -> Params:
        stack = await self._stacks.get(scope, params["StackName"])
        found = [
            shapes.change_set_summary(each) for each in await self._change_sets.of(scope, stack)
        ]
        return page("Summaries", found, params)
