"""What a CloudFormation template is made of: its sections, checked and named.

A template is a document of its author's, so that nothing in it is taken for granted: whatever
is not laid out as CloudFormation wants it is refused in CloudFormation's words, before
anything is made of it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from lambdabox.domain.values import dataclass

MAX_RESOURCES = 500
MAX_PARAMETERS = 200
MAX_OUTPUTS = 200

_LOGICAL_ID = re.compile(r"[A-Za-z0-9]{1,255}")
_SECTIONS = frozenset({
    "AWSTemplateFormatVersion", "Conditions", "Description", "Globals", "Hooks", "Mappings",
    "Metadata", "Outputs", "Parameters", "Resources", "Rules", "Transform",
})  # fmt: skip
_POLICIES = frozenset({"Delete", "Retain", "RetainExceptOnCreate", "Snapshot"})


class TemplateError(ValueError):
    """The template, or what was given to it, cannot be used. The message is CloudFormation's."""


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    type: str = "String"
    default: str | None = None
    description: str | None = None
    no_echo: bool = False
    allowed_values: tuple[str, ...] = ()
    allowed_pattern: str | None = None
    constraint: str | None = None
    """What to say of a value that is not allowed."""
    minimum: float | None = None
    maximum: float | None = None
    shortest: int | None = None
    longest: int | None = None


@dataclass(frozen=True, slots=True)
class Resource:
    logical_id: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    condition: str | None = None
    depends_on: tuple[str, ...] = ()
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"
    """What becomes of what is replaced."""


@dataclass(frozen=True, slots=True)
class Output:
    name: str
    value: Any
    description: str | None = None
    export: Any = None
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A template whose transforms, if it had any, are done."""

    resources: Mapping[str, Resource]
    description: str | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Output] = field(default_factory=dict)


def read_template(document: Any) -> Template:
    """Return the template that a document is. Raises TemplateError."""
    document = _mapping(document, "Template format error: the template is not an object.")
    if unknown := sorted(str(name) for name in document.keys() - _SECTIONS):
        raise TemplateError(f"Invalid template property or properties [{', '.join(unknown)}]")
    resources = {each.logical_id: each for each in _resources(document)}
    if not resources:
        raise TemplateError("Template format error: At least one Resources member must be defined.")
    description = document.get("Description")
    if description is not None and not isinstance(description, str):
        raise TemplateError("Template format error: Description must be a string.")
    return Template(
        resources=resources,
        description=description,
        parameters=read_parameters(document),
        mappings=_section(document, "Mappings"),
        conditions=_section(document, "Conditions"),
        rules=_section(document, "Rules"),
        outputs={each.name: each for each in _outputs(document)},
    )


def transforms(document: Any) -> tuple[str, ...]:
    """Return the names of the transforms that a template declares, in their order."""
    declared = document.get("Transform") if isinstance(document, dict) else None
    if declared is None:
        return ()
    names = declared if isinstance(declared, list) else [declared]
    if not all(isinstance(name, str) for name in names):
        raise TemplateError("Template format error: Transform must be a name, or a list of names.")
    return tuple(names)


def read_parameters(document: Mapping[str, Any]) -> Mapping[str, Parameter]:
    """Return the parameters that a template declares. Raises TemplateError."""
    section = _section(document, "Parameters")
    if len(section) > MAX_PARAMETERS:
        raise TemplateError(
            f"Template format error: Number of parameters, {len(section)}, is greater than "
            f"maximum allowed, {MAX_PARAMETERS}"
        )
    return {name: _parameter(name, body) for name, body in section.items()}


def _parameter(name: str, body: Any) -> Parameter:
    where = f"Template format error: Every Parameters object must contain a Type member. [{name}]"
    body = _mapping(body, where)
    kind = body.get("Type")
    if not isinstance(kind, str):
        raise TemplateError(where)
    allowed = body.get("AllowedValues") or []
    if not isinstance(allowed, list):
        raise TemplateError(f"Template format error: AllowedValues of {name} must be a list.")
    return Parameter(
        name,
        kind,
        default=_text(body.get("Default")),
        description=_text(body.get("Description")),
        no_echo=_text(body.get("NoEcho")) == "true",
        allowed_values=tuple(_text(value) or "" for value in allowed),
        allowed_pattern=_text(body.get("AllowedPattern")),
        constraint=_text(body.get("ConstraintDescription")),
        minimum=_number(body, "MinValue"),
        maximum=_number(body, "MaxValue"),
        shortest=_whole(body, "MinLength"),
        longest=_whole(body, "MaxLength"),
    )


def _resources(document: Mapping[str, Any]) -> Iterator[Resource]:
    section = _section(document, "Resources")
    if len(section) > MAX_RESOURCES:
        raise TemplateError(
            f"Template format error: Number of resources, {len(section)}, is greater than "
            f"maximum allowed, {MAX_RESOURCES}"
        )
    for logical_id, body in section.items():
        if not isinstance(logical_id, str) or not _LOGICAL_ID.fullmatch(logical_id):
            raise TemplateError(
                f"Template format error: Resource name {logical_id} is non alphanumeric."
            )
        yield _resource(logical_id, body)


def _resource(logical_id: str, body: Any) -> Resource:
    where = (
        "Template format error: [/Resources/"
        f"{logical_id}] Every Resources object must contain a Type member."
    )
    body = _mapping(body, where)
    kind, condition = body.get("Type"), body.get("Condition")
    if not isinstance(kind, str):
        raise TemplateError(where)
    if condition is not None and not isinstance(condition, str):
        raise TemplateError(f"Template format error: Condition of {logical_id} must be a string.")
    depends = body.get("DependsOn") or []
    depends = [depends] if isinstance(depends, str) else depends
    if not isinstance(depends, list) or not all(isinstance(each, str) for each in depends):
        raise TemplateError(
            f"Template format error: DependsOn of {logical_id} must be a name or a list of names."
        )
    return Resource(
        logical_id,
        kind,
        properties=_mapping(
            body.get("Properties") or {},
            f"Template format error: Properties of {logical_id} must be an object.",
        ),
        condition=condition,
        depends_on=tuple(depends),
        deletion_policy=_policy(logical_id, body, "DeletionPolicy"),
        replace_policy=_policy(logical_id, body, "UpdateReplacePolicy"),
    )


def _policy(logical_id: str, body: Mapping[str, Any], name: str) -> str:
    policy = body.get(name, "Delete")
    if not isinstance(policy, str) or policy not in _POLICIES:
        raise TemplateError(f"Template format error: Unrecognized {name} {policy} for {logical_id}")
    return policy


def _outputs(document: Mapping[str, Any]) -> Iterator[Output]:
    section = _section(document, "Outputs")
    if len(section) > MAX_OUTPUTS:
        raise TemplateError(
            f"Template format error: Number of outputs, {len(section)}, is greater than maximum "
            f"allowed, {MAX_OUTPUTS}"
        )
    for name, declared in section.items():
        where = f"Template format error: Every Outputs object must contain a Value member. [{name}]"
        body = _mapping(declared, where)
        if "Value" not in body:
            raise TemplateError(where)
        export = body.get("Export")
        if export is not None:
            export = _mapping(export, f"Template format error: Export of {name} must be an object.")
        yield Output(
            str(name),
            body["Value"],
            description=_text(body.get("Description")),
            export=export.get("Name") if export else None,
            condition=_text(body.get("Condition")),
        )


def _section(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = document.get(name)
    return _mapping(
        {} if section is None else section,
        f"Template format error: {name} must be an object.",
    )


def _mapping(value: Any, otherwise: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise TemplateError(otherwise)
    return value


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _number(body: Mapping[str, Any], name: str) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TemplateError(f"Template format error: {name} must be a number.") from None


def _whole(body: Mapping[str, Any], name: str) -> int | None:
    value = _number(body, name)
    return None if value is None else int(value)
