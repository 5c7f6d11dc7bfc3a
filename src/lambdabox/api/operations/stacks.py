"""Operations on stacks: what deployment tools ask of CloudFormation."""

from collections.abc import Iterable, Mapping
from typing import Any

from lambdabox.api import stack_shapes as shapes
from lambdabox.api.cloudformation import Handler
from lambdabox.api.paging import read_marker, write_marker
from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import Stack, StackError
from lambdabox.stacks.stacks import Stacks

PAGE = 100

Params = Mapping[str, Any]


class StackOperations:
    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "ContinueUpdateRollback": self._continue_rollback,
            "CreateStack": self._create,
            "DeleteStack": self._delete,
            "DescribeStackEvents": self._events,
            "DescribeStackResource": self._resource,
            "DescribeStackResources": self._resources,
            "DescribeStacks": self._describe,
            "ListExports": self._exports,
            "ListImports": self._imports,
            "ListStackResources": self._list_resources,
            "ListStacks": self._list,
            "RollbackStack": self._roll_back,
            "UpdateStack": self._update,
            "UpdateTerminationProtection": self._protect,
        }

    async def _create(self, scope: Scope, params: Params) -> Params:
        stack = await self._stacks.create(
            scope, params["StackName"], shapes.wanted(params), shapes.options(params)
        )
        return {"StackId": stack.id}

    async def _update(self, scope: Scope, params: Params) -> Params:
        stack = await self._stacks.update(
            scope, params["StackName"], shapes.wanted(params), shapes.options(params)
        )
        return {"StackId": stack.id}

    async def _delete(self, scope: Scope, params: Params) -> Params:
        await self._stacks.delete(
            scope,
            params["StackName"],
            retained=params.get("RetainResources", ()),
            token=params.get("ClientRequestToken"),
        )
        return {}

    async def _describe(self, scope: Scope, params: Params) -> Params:
        if name := params.get("StackName"):
            return {"Stacks": [shapes.stack(await self._stacks.get(scope, name))]}
        found = [shapes.stack(stack) for stack in await self._stacks.all(scope)]
        return page("Stacks", found, params)

    async def _list(self, scope: Scope, params: Params) -> Params:
        stacks = [*await self._stacks.all(scope), *await self._stacks.deleted(scope)]
        stacks.sort(key=lambda stack: stack.created, reverse=True)
        wanted = params.get("StackStatusFilter")
        found = [shapes.summary(stack) for stack in stacks if not wanted or stack.status in wanted]
        return page("StackSummaries", found, params)

    async def _events(self, scope: Scope, params: Params) -> Params:
        found = await self._stacks.events(scope, params["StackName"])
        return page("StackEvents", map(shapes.event, found), params)

    async def _resources(self, scope: Scope, params: Params) -> Params:
        stack = await self._found(scope, params)
        wanted = params.get("LogicalResourceId")
        found = [
            shapes.resource(stack, each)
            for each in stack.resources
            if wanted is None or each.logical_id == wanted
        ]
        return {"StackResources": found}

    async def _found(self, scope: Scope, params: Params) -> Stack:
        """Return the stack that is named, or the one with the resource that is."""
        if name := params.get("StackName"):
            return await self._stacks.get(scope, name)
        physical_id = params.get("PhysicalResourceId")
        for stack in await self._stacks.all(scope):
            if any(each.physical_id == physical_id for each in stack.resources):
                return stack
        raise StackError(f"Stack for {physical_id} does not exist")

    async def _resource(self, scope: Scope, params: Params) -> Params:
        name, logical_id = params["StackName"], params["LogicalResourceId"]
        stack = await self._stacks.get(scope, name)
        found = stack.resource(logical_id)
        if found is None:
            raise StackError(f"Resource {logical_id} does not exist for stack {name}")
        return {"StackResourceDetail": shapes.resource_detail(stack, found)}

    async def _list_resources(self, scope: Scope, params: Params) -> Params:
        stack = await self._stacks.get(scope, params["StackName"])
        found = (shapes.resource_summary(stack, each) for each in stack.resources)
        return page("StackResourceSummaries", found, params)

    async def _protect(self, scope: Scope, params: Params) -> Params:
        stack = await self._stacks.protect(
            scope, params["StackName"], is_protected=params["EnableTerminationProtection"]
        )
        return {"StackId": stack.id}

    async def _continue_rollback(self, scope: Scope, params: Params) -> Params:
        await self._stacks.go_on_rolling_back(scope, params["StackName"])
        return {}

    async def _roll_back(self, scope: Scope, params: Params) -> Params:
        await self._stacks.go_on_rolling_back(scope, params["StackName"])
        return {"StackId": (await self._stacks.get(scope, params["StackName"])).id}

    async def _exports(self, scope: Scope, params: Params) -> Params:
        found = [
            {"ExportingStackId": stack.id, "Name": output.export, "Value": output.value}
            for stack in await self._stacks.all(scope)
            for output in stack.outputs
            if output.export is not None
        ]
        return page("Exports", found, params)

    async def _imports(self, scope: Scope, params: Params) -> Params:
        name = params["ExportName"]
        found = [stack.name for stack in await self._stacks.all(scope) if name in stack.imports]
        if not found:
            raise StackError(f"Export '{name}' is not imported by any stack.")
        return page("Imports", found, params)


def page(name: str, found: Iterable[Any], params: Params) -> dict[str, Any]:
    """Return a page of what was found, and where the next one begins."""
    everything = list(found)
    place = read_marker(params.get("NextToken"), int)
    start = place[0] if place else 0
    end = start + PAGE
    more = {"NextToken": write_marker(end)} if len(everything) > end else {}
    return {name: everything[start:end], **more}
