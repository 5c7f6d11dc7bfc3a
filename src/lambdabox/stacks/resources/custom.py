"""Resources that a function makes: AWS::CloudFormation::CustomResource and Custom::*.

The function gets a request and puts its answer to a URL, which is the node's: it may do so
long after it has returned, and from somewhere else. A function that fails before anybody has
answered is not waited for.
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import anyio
import orjson

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.arn import FunctionKey, Scope
from lambdabox.stacks.resources.kinds import (
    Answer,
    Properties,
    ResourceError,
    ResourceKind,
    Result,
    Work,
    nothing_to_delete,
)

_LONGEST_WAIT = 3_600.0
_INVOKE_SECONDS = 900.0


async def _create(work: Work, properties: Properties) -> Result:
    return await _asked(work, "Create", properties)


async def _update(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    old = {"PhysicalResourceId": id, "OldResourceProperties": _texts(before)}
    return await _asked(work, "Update", properties, old)


async def _delete(work: Work, id: str, properties: Properties) -> None:
    if await _is_there(work, properties):
        await _asked(work, "Delete", properties, {"PhysicalResourceId": id})


async def _is_there(work: Work, properties: Properties) -> bool:
    function = {"FunctionName": properties["ServiceToken"]}
    return await work.call_if_there("lambda", "GetFunctionConfiguration", function) is not None


async def _asked(
    work: Work, kind: str, properties: Properties, more: Mapping[str, Any] | None = None
) -> Result:
    with work.answers() as answer:
        request = {
            "RequestType": kind,
            "ServiceToken": properties["ServiceToken"],
            "ResponseURL": answer.url,
            "StackId": work.stack_id,
            "RequestId": str(uuid4()),
            "LogicalResourceId": work.logical_id,
            "ResourceType": work.type,
            "ResourceProperties": _texts(properties),
            **(more or {}),
        }
        seconds = float(properties.get("ServiceTimeout", _LONGEST_WAIT))
        with anyio.move_on_after(min(seconds, _LONGEST_WAIT)):
            return _result(await _answered(work, answer, request), request)
    raise ResourceError(
        f"CloudFormation did not receive a response from your Custom Resource. Please check your "
        f"logs for requestId [{request['RequestId']}]."
    )


async def _answered(work: Work, answer: Answer, request: Mapping[str, Any]) -> Any:
    failure: ResourceError | None = None

    async def invoke() -> None:
        nonlocal failure
        failure = await _invoked(work, request)
        if failure is not None:
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(invoke)
        body = await answer.wait()
        tasks.cancel_scope.cancel()
        return body
    raise failure or ResourceError("The function was not waited for.")


async def _invoked(work: Work, request: Mapping[str, Any]) -> ResourceError | None:
    """Run the function; return why nobody will answer, if that is certain."""
    arn = str(request["ServiceToken"])
    given = {"FunctionName": arn, "Payload": orjson.dumps(request)}
    try:
        done = await work.services.call(
            "lambda", "Invoke", given, _owner(work, arn), seconds=_INVOKE_SECONDS
        )
    except AwsCallError as exc:
        # A long run outlives the connection, and may still answer.
        return None if exc.code == "Unreachable" else ResourceError(exc.message)
    if "FunctionError" not in done:
        return None
    told = done["Payload"].decode(errors="replace")[:1_000]
    return ResourceError(f"The function {arn} failed before it answered: {told}")


def _owner(work: Work, arn: str) -> Scope:
    try:
        key = FunctionKey.of_arn(":".join(arn.split(":")[:7]))
    except ValueError:
        raise ResourceError(
            f"Invalid ServiceToken {arn[:200]}: it must be the ARN of a function."
        ) from None
    return Scope(work.scope.account, key.region)


def _result(body: Any, request: Mapping[str, Any]) -> Result:
    if not isinstance(body, dict) or body.get("Status") not in ("SUCCESS", "FAILED"):
        raise ResourceError("Invalid response from the custom resource: Status is missing.")
    if body["Status"] == "FAILED":
        raise ResourceError(
            f"Received response status [FAILED] from custom resource. Message returned: "
            f"{str(body.get('Reason', ''))[:1_000]} (RequestId: {request['RequestId']})"
        )
    id = body.get("PhysicalResourceId") or request.get("PhysicalResourceId")
    if not isinstance(id, str) or not id:
        raise ResourceError("Invalid PhysicalResourceId in the custom resource's response.")
    data = body.get("Data") or {}
    if not isinstance(data, dict):
        raise ResourceError("Invalid Data in the custom resource's response.")
    return Result(id, data)


def _texts(value: Any) -> Any:
    """Values as functions get them: all scalars are strings."""
    match value:
        case Mapping():
            return {str(name): _texts(each) for name, each in value.items()}
        case list():
            return [_texts(each) for each in value]
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


CUSTOM = ResourceKind(
    _create, _delete, _update, fixed=frozenset({"ServiceToken"}), required=("ServiceToken",)
)


async def _note(work: Work, _properties: Properties) -> Result:
    return Result(f"{work.stack_name}-{work.logical_id}")


async def _change_note(_work: Work, id: str, _new: Properties, _old: Properties) -> Result:
    return Result(id)


NOTE = ResourceKind(_note, nothing_to_delete, _change_note)
"""What says something of a stack and is nothing by itself."""
