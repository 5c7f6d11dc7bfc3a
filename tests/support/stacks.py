"""Stacks, as tests deploy, await and delete them through boto3."""

import json
from collections.abc import Mapping
from typing import Any

from support.functions import eventually

BUSY = "_IN_PROGRESS"


def await_stack(client: Any, name: str) -> dict[str, Any]:
    """Return a stack once nobody is changing it."""

    def look() -> dict[str, Any] | None:
        [stack] = client.describe_stacks(StackName=name)["Stacks"]
        return None if stack["StackStatus"].endswith(BUSY) else stack

    stack = eventually(look)
    for event in reversed(client.describe_stack_events(StackName=stack["StackId"])["StackEvents"]):
        if event["ResourceStatus"].endswith("_FAILED"):  # told where an assertion fails
            print(event["LogicalResourceId"], event.get("ResourceStatusReason"))
    return stack


def text_of(template: str | Mapping[str, Any]) -> str:
    return template if isinstance(template, str) else json.dumps(template)


def create(
    client: Any, name: str, template: str | Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    client.create_stack(
        StackName=name,
        TemplateBody=text_of(template),
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        **more,
    )
    return await_stack(client, name)


def update(
    client: Any, name: str, template: str | Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    client.update_stack(
        StackName=name,
        TemplateBody=text_of(template),
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        **more,
    )
    return await_stack(client, name)


def delete(client: Any, name: str) -> dict[str, Any]:
    """Delete a stack, and return it as it is shown afterwards."""
    [stack] = client.describe_stacks(StackName=name)["Stacks"]
    client.delete_stack(StackName=name)
    return await_stack(client, stack["StackId"])


def outputs(stack: Mapping[str, Any]) -> dict[str, str]:
    return {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}


def physical_ids(client: Any, name: str) -> dict[str, str]:
    found = client.describe_stack_resources(StackName=name)["StackResources"]
    return {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in found}


def told(client: Any, name: str) -> list[tuple[str, str]]:
    """What happened, oldest first: whose, and which status."""
    pages = client.get_paginator("describe_stack_events").paginate(StackName=name)
    events = [event for page in pages for event in page["StackEvents"]]
    return [(each["LogicalResourceId"], each["ResourceStatus"]) for each in reversed(events)]


def reason(client: Any, name: str, logical_id: str, status: str) -> str:
    events = client.describe_stack_events(StackName=name)["StackEvents"]
    [found] = [
        each
        for each in events
        if (each["LogicalResourceId"], each["ResourceStatus"]) == (logical_id, status)
    ]
    return str(found["ResourceStatusReason"])
