"""What happens at times and for events: AWS::Events::*, AWS::Scheduler::*, StepFunctions."""

from typing import Any

import orjson

from lambdabox.stacks.resources.kinds import (
    NameRule,
    Properties,
    ResourceError,
    ResourceKind,
    Result,
    Work,
    picked,
    tag_map,
    until,
    without,
)


def _bus(properties: Properties) -> dict[str, Any]:
    return picked(properties, "EventBusName")


async def _put_rule(work: Work, properties: Properties) -> Result:
    name = properties["Name"]
    tags = [{"Key": key, "Value": value} for key, value in tag_map(properties.get("Tags")).items()]
    given = {**without(properties, "Targets", "Tags"), **({"Tags": tags} if tags else {})}
    arn = (await work.call("events", "PutRule", given))["RuleArn"]
    await work.initiated(name)
    await _put_targets(work, name, properties)
    return Result(name, {"Arn": arn})


async def _put_targets(work: Work, name: str, properties: Properties) -> None:
    targets = properties.get("Targets")
    if not targets:
        return
    given = {"Rule": name, "Targets": targets, **_bus(properties)}
    answer = await work.call("events", "PutTargets", given)
    if answer.get("FailedEntryCount"):
        raise ResourceError(str(answer["FailedEntries"][0].get("ErrorMessage")))


async def _change_rule(work: Work, id: str, properties: Properties, before: Properties) -> Result:
    given = without(properties, "Targets", "Tags")
    arn = (await work.call("events", "PutRule", given))["RuleArn"]
    kept = {target["Id"] for target in properties.get("Targets") or ()}
    gone = [each["Id"] for each in before.get("Targets") or () if each["Id"] not in kept]
    if gone:
        await work.call("events", "RemoveTargets", {"Rule": id, "Ids": gone, **_bus(properties)})
    await _put_targets(work, id, properties)
    return Result(id, {"Arn": arn})


async def _delete_rule(work: Work, id: str, properties: Properties) -> None:
    listed = await work.call_if_there(
        "events", "ListTargetsByRule", {"Rule": id, **_bus(properties)}
    )
    if listed is None:
        return
    if ids := [target["Id"] for target in listed["Targets"]]:
        what = {"Rule": id, "Ids": ids, **_bus(properties)}
        await work.call_if_there("events", "RemoveTargets", what)
    await work.call_if_there("events", "DeleteRule", {"Name": id, **_bus(properties)})


RULE = ResourceKind(
    _put_rule,
    _delete_rule,
    _change_rule,
    fixed=frozenset({"EventBusName", "Name"}),
    name=NameRule("Name", 64, is_id=True),
)


async def _create_bus(work: Work, properties: Properties) -> Result:
    created = await work.call("events", "CreateEventBus", without(properties, "Policy", "Tags"))
    name = properties["Name"]
    return Result(name, {"Arn": created["EventBusArn"], "Name": name})


async def _delete_bus(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("events", "DeleteEventBus", {"Name": id})


BUS = ResourceKind(_create_bus, _delete_bus, required=("Name",))


async def _create_schedule(work: Work, properties: Properties) -> Result:
    arn = (await work.call("scheduler", "CreateSchedule", properties))["ScheduleArn"]
    return Result(properties["Name"], {"Arn": arn})


async def _update_schedule(
    work: Work, id: str, properties: Properties, _before: Properties
) -> Result:
    arn = (await work.call("scheduler", "UpdateSchedule", properties))["ScheduleArn"]
    return Result(id, {"Arn": arn})


async def _delete_schedule(work: Work, id: str, properties: Properties) -> None:
    what = {"Name": id, **picked(properties, "GroupName")}
    await work.call_if_there("scheduler", "DeleteSchedule", what)


SCHEDULE = ResourceKind(
    _create_schedule,
    _delete_schedule,
    _update_schedule,
    fixed=frozenset({"GroupName", "Name"}),
    required=("FlexibleTimeWindow", "ScheduleExpression", "Target"),
    name=NameRule("Name", 64, is_id=True),
)


async def _create_group(work: Work, properties: Properties) -> Result:
    created = await work.call("scheduler", "CreateScheduleGroup", properties)
    return Result(properties["Name"], {"Arn": created["ScheduleGroupArn"]})


async def _delete_group(work: Work, id: str, _properties: Properties) -> None:
    await work.call_if_there("scheduler", "DeleteScheduleGroup", {"Name": id})


SCHEDULE_GROUP = ResourceKind(
    _create_group, _delete_group, name=NameRule("Name", 64, is_id=True), tags="list"
)


async def _machine(work: Work, properties: Properties) -> dict[str, Any]:
    definition = properties.get("DefinitionString", properties.get("Definition"))
    if definition is None and "DefinitionS3Location" in properties:
        where = without(properties["DefinitionS3Location"], "Version")
        definition = (await work.call("s3", "GetObject", where))["Body"].decode()
    if definition is None:
        raise ResourceError("A state machine needs a Definition.")
    if not isinstance(definition, str):
        definition = orjson.dumps(definition).decode()
    for name, value in (properties.get("DefinitionSubstitutions") or {}).items():
        definition = definition.replace(f"${{{name}}}", str(value))
    return {"definition": definition, "roleArn": properties["RoleArn"]}


async def _create_machine(work: Work, properties: Properties) -> Result:
    given = {
        "name": properties["StateMachineName"],
        "type": properties.get("StateMachineType", "STANDARD"),
        **await _machine(work, properties),
    }
    arn = (await work.call("stepfunctions", "CreateStateMachine", given))["stateMachineArn"]
    return Result(arn, {"Arn": arn, "Name": properties["StateMachineName"]})


async def _update_machine(
    work: Work, id: str, properties: Properties, _before: Properties
) -> Result:
    given = {"stateMachineArn": id, **await _machine(work, properties)}
    await work.call("stepfunctions", "UpdateStateMachine", given)
    return Result(id, {"Arn": id, "Name": id.rpartition(":")[2]})


async def _delete_machine(work: Work, id: str, _properties: Properties) -> None:
    what = {"stateMachineArn": id}
    await work.call_if_there("stepfunctions", "DeleteStateMachine", what)

    async def gone() -> bool | None:
        shown = await work.call_if_there("stepfunctions", "DescribeStateMachine", what)
        return None if shown is not None else True

    await until(gone, "deleted")


STATE_MACHINE = ResourceKind(
    _create_machine,
    _delete_machine,
    _update_machine,
    fixed=frozenset({"StateMachineName", "StateMachineType"}),
    required=("RoleArn",),
    name=NameRule("StateMachineName", 80),
    tags="list",
)
