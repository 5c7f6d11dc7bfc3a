"""How stacks, their resources, events and change sets look on the wire."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambdabox.domain.stacks import (
    Change,
    ChangeSet,
    Definition,
    Stack,
    StackEvent,
    StackResource,
)
from lambdabox.domain.template_parameters import Given, shown
from lambdabox.domain.templates import Parameter, TemplateError, read_parameters
from lambdabox.stacks.preparation import Wanted
from lambdabox.stacks.stacks import Options

_DRIFT = {"StackDriftStatus": "NOT_CHECKED"}
_RESOURCE_DRIFT = {"StackResourceDriftStatus": "NOT_CHECKED"}


def wanted(params: Mapping[str, Any]) -> Wanted:
    """Return what a request says of a stack to be."""
    tags = params.get("Tags")
    return Wanted(
        body=params.get("TemplateBody"),
        url=params.get("TemplateURL"),
        use_previous=params.get("UsePreviousTemplate", False),
        parameters=[
            Given(
                each.get("ParameterKey", ""),
                each.get("ParameterValue"),
                each.get("UsePreviousValue", False),
            )
            for each in params.get("Parameters", ())
        ],
        capabilities=tuple(params.get("Capabilities", ())),
        tags=None if tags is None else {each["Key"]: each["Value"] for each in tags},
        notification_arns=tuple(params.get("NotificationARNs", ())),
        role_arn=params.get("RoleARN"),
    )


def options(params: Mapping[str, Any]) -> Options:
    on_failure = params.get("OnFailure", "ROLLBACK")
    return Options(
        on_failure="DO_NOTHING" if params.get("DisableRollback") else on_failure,
        timeout_minutes=params.get("TimeoutInMinutes"),
        is_protected=params.get("EnableTerminationProtection", False),
        token=params.get("ClientRequestToken"),
    )


def stack(stack: Stack) -> dict[str, Any]:
    definition = stack.definition
    return {
        **_times(stack),
        "StackId": stack.id,
        "StackName": stack.name,
        "ChangeSetId": stack.change_set_id,
        "Description": _description(definition),
        "Parameters": parameters(definition),
        "RollbackConfiguration": {},
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DisableRollback": stack.on_failure == "DO_NOTHING",
        "NotificationARNs": list(definition.notification_arns) if definition else [],
        "TimeoutInMinutes": stack.timeout_minutes,
        "Capabilities": list(definition.capabilities) if definition else [],
        "Outputs": [
            {
                "OutputKey": each.name,
                "OutputValue": each.value,
                "Description": each.description,
                "ExportName": each.export,
            }
            for each in stack.outputs
        ],
        "RoleARN": definition.role_arn if definition else None,
        "ParentId": stack.parent_id,
        "RootId": stack.root_id,
        "Tags": tags(definition),
        "EnableTerminationProtection": stack.is_protected,
        "DriftInformation": _DRIFT,
    }


def summary(stack: Stack) -> dict[str, Any]:
    return {
        **_times(stack),
        "StackId": stack.id,
        "StackName": stack.name,
        "TemplateDescription": _description(stack.definition),
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "ParentId": stack.parent_id,
        "RootId": stack.root_id,
        "DriftInformation": _DRIFT,
    }


def _times(stack: Stack) -> dict[str, Any]:
    return {
        "CreationTime": time(stack.created),
        "LastUpdatedTime": time(stack.updated),
        "DeletionTime": time(stack.deleted),
    }


def time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _description(definition: Definition | None) -> Any:
    return definition.document.get("Description") if definition else None


def tags(definition: Definition | None) -> list[dict[str, str]]:
    found = definition.tags if definition else {}
    return [{"Key": key, "Value": value} for key, value in found.items()]


def parameters(definition: Definition | None) -> list[dict[str, Any]]:
    """The values of parameters, those that may not be shown masked."""
    if definition is None:
        return []
    declared = declared_parameters(definition.document)
    return [
        {
            "ParameterKey": name,
            "ParameterValue": shown(declared.get(name), value),
            "ResolvedValue": definition.looked_up.get(name),
        }
        for name, value in definition.parameters.items()
    ]


def declared_parameters(document: Mapping[str, Any]) -> Mapping[str, Parameter]:
    try:
        return read_parameters(document)
    except TemplateError:
        return {}


def resource(stack: Stack, resource: StackResource) -> dict[str, Any]:
    """As DescribeStackResources shows one."""
    return {
        "StackName": stack.name,
        "StackId": stack.id,
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id or None,
        "ResourceType": resource.type,
        "Timestamp": time(resource.changed),
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason,
        "DriftInformation": _RESOURCE_DRIFT,
    }


def resource_detail(stack: Stack, found: StackResource) -> dict[str, Any]:
    """As DescribeStackResource shows one."""
    shown = resource(stack, found)
    shown["LastUpdatedTimestamp"] = shown.pop("Timestamp")
    return {**shown, "Metadata": "{}"}


def resource_summary(stack: Stack, found: StackResource) -> dict[str, Any]:
    """As ListStackResources shows one."""
    shown = resource(stack, found)
    shown["LastUpdatedTimestamp"] = shown.pop("Timestamp")
    del shown["StackName"], shown["StackId"]
    return shown


def event(event: StackEvent) -> dict[str, Any]:
    return {
        "StackId": event.stack_id,
        "EventId": event.id,
        "StackName": event.stack_name,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id,
        "ResourceType": event.type,
        "Timestamp": time(event.time),
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ClientRequestToken": event.token,
    }


def change_set(found: ChangeSet) -> dict[str, Any]:
    definition = found.definition
    return {
        **change_set_summary(found),
        "Parameters": parameters(definition),
        "NotificationARNs": list(definition.notification_arns),
        "RollbackConfiguration": {},
        "Capabilities": list(definition.capabilities),
        "Tags": tags(definition),
        "Changes": [_change(each) for each in found.changes],
        "OnStackFailure": found.on_failure,
    }


def change_set_summary(found: ChangeSet) -> dict[str, Any]:
    return {
        "StackId": found.stack_id,
        "StackName": found.stack_name,
        "ChangeSetId": found.id,
        "ChangeSetName": found.name,
        "ExecutionStatus": found.execution_status,
        "Status": found.status,
        "StatusReason": found.reason,
        "CreationTime": time(found.created),
        "Description": found.description,
        "IncludeNestedStacks": False,
    }


def _change(change: Change) -> dict[str, Any]:
    details = [
        {
            "Target": {
                "Attribute": "Properties",
                "Name": name,
                "RequiresRecreation": _RECREATION.get(change.replacement or "", "Never"),
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for name in change.properties
    ]
    return {
        "Type": "Resource",
        "ResourceChange": {
            "Action": change.action,
            "LogicalResourceId": change.logical_id,
            "PhysicalResourceId": change.physical_id,
            "ResourceType": change.type,
            "Replacement": change.replacement,
            "Scope": ["Properties"] if change.action == "Modify" else [],
            "Details": details,
        },
    }


_RECREATION = {"True": "Always", "Conditional": "Conditionally"}


def declaration(parameter: Parameter) -> dict[str, Any]:
    """A parameter as GetTemplateSummary shows it."""
    allowed = {"AllowedValues": list(parameter.allowed_values)} if parameter.allowed_values else {}
    return {
        "ParameterKey": parameter.name,
        "DefaultValue": parameter.default,
        "ParameterType": parameter.type,
        "NoEcho": parameter.no_echo,
        "Description": parameter.description,
        "ParameterConstraints": allowed,
    }


def template_parameter(parameter: Parameter) -> dict[str, Any]:
    """A parameter as ValidateTemplate shows it."""
    return {
        "ParameterKey": parameter.name,
        "DefaultValue": parameter.default,
        "NoEcho": parameter.no_echo,
        "Description": parameter.description,
    }
