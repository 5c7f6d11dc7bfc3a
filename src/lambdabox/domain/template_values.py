"""What the functions of a template come to, given what is known when the value is needed.

Pure: it is told of parameters, resources and exports, and makes values of them. What is not
known yet, the id of a resource that a change set would make for example, is an exception of
its own, so that a plan can tell "it will change" from "it is wrong".
"""

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lambdabox.domain.template_graph import PLACEHOLDER, unresolved
from lambdabox.domain.template_parameters import typed
from lambdabox.domain.templates import Template, TemplateError

NO_VALUE: Final = object()
"""What `AWS::NoValue` is: a property, or an element of a list, that is not there."""

_ZONES = "abc"


@dataclass(frozen=True, slots=True)
class Made:
    """A resource that is there: what `Ref` and `Fn::GetAtt` give."""

    ref: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


class NotYetKnown(Exception):
    """The value depends on a resource that is not there yet."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a template can know beside itself."""

    account: str
    region: str
    stack_name: str
    stack_id: str
    notification_arns: Sequence[str] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    exports: Mapping[str, str] = field(default_factory=dict)

    def pseudo(self, name: str) -> Any:
        """Return a pseudo parameter's value, or None."""
        return {
            "AWS::AccountId": self.account,
            "AWS::Region": self.region,
            "AWS::StackName": self.stack_name,
            "AWS::StackId": self.stack_id,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NotificationARNs": list(self.notification_arns),
            "AWS::NoValue": NO_VALUE,
        }.get(name)


Find = Callable[[str], Made | None]
"""Return a resource by its logical id; None if it is not there, and will not be.
Raises NotYetKnown."""


class Values:
    """Evaluates one template. All methods raise TemplateError and NotYetKnown."""

    def __init__(self, template: Template, surroundings: Surroundings, find: Find) -> None:
        self._template = template
        self._around = surroundings
        self._find = find
        self._conditions: dict[str, bool | None] = {}
        self.imported: set[str] = set()
        """The exports that were used so far."""
        self._functions: Mapping[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
            "Fn::Split": self._split,
            "Fn::If": self._if,
            "Fn::Equals": self._equals,
            "Fn::And": self._and,
            "Fn::Or": self._or,
            "Fn::Not": self._not,
            "Fn::FindInMap": self._find_in_map,
            "Fn::ImportValue": self._import_value,
            "Fn::Base64": self._base64,
            "Fn::GetAZs": self._zones,
            "Fn::Length": self._length,
            "Fn::ToJsonString": self._json,
        }

    def of(self, value: Any) -> Any:
        """Return what a value comes to. It may be NO_VALUE."""
        match value:
            case dict():
                if len(value) == 1:
                    name, argument = next(iter(value.items()))
                    if name in self._functions:
                        return self._functions[name](argument)
                    if name.startswith("Fn::"):
                        raise TemplateError(
                            f"Template error: the function {name} is not supported here"
                        )
                return self._members(value)
            case list():
                found = [self.of(each) for each in value]
                return [each for each in found if each is not NO_VALUE]
            case _:
                return value

    def _members(self, value: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: self.of(each) for name, each in value.items()}
        return {name: each for name, each in found.items() if each is not NO_VALUE}

    def holds(self, condition: str) -> bool:
        """Return whether a condition of the template holds."""
        if condition not in self._template.conditions:
            raise TemplateError(
                "Template format error: Unresolved condition dependency "
                f"{condition} in the template"
            )
        if condition not in self._conditions:
            self._conditions[condition] = None  # being found out
            self._conditions[condition] = self._truth(self._template.conditions[condition])
        known = self._conditions[condition]
        if known is None:
            raise TemplateError(f"Circular dependency in the condition {condition}")
        return known

    def _truth(self, value: Any) -> bool:
        match value:
            case {"Condition": str(name)} if len(value) == 1:
                return self.holds(name)
            case dict():
                value = self.of(value)
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return str(value) == "true"
        raise TemplateError(
            "Template error: every condition must come to true or false, not to "
            f"{json.dumps(value, default=str)[:100]}"
        )

    def _ref(self, name: Any) -> Any:
        if not isinstance(name, str):
            raise _malformed("Ref", "the name of a parameter or of a resource")
        pseudo = self._around.pseudo(name)
        if pseudo is not None:
            return pseudo
        parameter = self._template.parameters.get(name)
        if parameter is not None:
            return typed(parameter, self._around.parameters[name])
        return self._made(name).ref

    def _made(self, name: str) -> Made:
        made = self._find(name)
        if made is None:
            raise unresolved([name])
        return made

    def _get_att(self, argument: Any) -> Any:
        parts = argument.split(".", 1) if isinstance(argument, str) else argument
        if not isinstance(parts, list) or len(parts) != 2 or not isinstance(parts[0], str):
            raise _malformed("Fn::GetAtt", "a resource and the name of an attribute")
        attribute = self._string(parts[1], "Fn::GetAtt")
        found: Any = self._made(parts[0]).attributes.get(attribute)
        if found is None:
            raise TemplateError(
                f"Template error: resource {parts[0]} does not support attribute type {attribute} "
                "in Fn::GetAtt"
            )
        return found

    def _sub(self, argument: Any) -> str:
        text, local = argument, {}
        if isinstance(argument, list) and len(argument) == 2:
            text, local = argument
        if not isinstance(text, str) or not isinstance(local, dict):
            raise _malformed("Fn::Sub", "a string, or a string and an object of values")

        def replaced(found: re.Match[str]) -> str:
            mark, name = found.group(1), found.group(2).strip()
            if mark:
                return "${" + found.group(2) + "}"
            if name in local:
                return self._string(local[name], "Fn::Sub")
            if "." in name:
                return self._string({"Fn::GetAtt": name}, "Fn::Sub")
            return self._string({"Ref": name}, "Fn::Sub")

        return PLACEHOLDER.sub(replaced, text)

    def _join(self, argument: Any) -> str:
        if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str):
            raise _malformed("Fn::Join", "a delimiter and a list of strings")
        return argument[0].join(
            self._text(each, "Fn::Join") for each in self._list(argument[1], "Fn::Join")
        )

    def _select(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 2:
            raise _malformed("Fn::Select", "an index and a list")
        index, items = self.of(argument[0]), self._list(argument[1], "Fn::Select")
        if not str(index).isdecimal() or int(index) >= len(items):
            raise TemplateError(
                f"Template error: Fn::Select cannot select nonexistent value at index {index}"
            )
        return items[int(index)]

    def _split(self, argument: Any) -> list[str]:
        if not isinstance(argument, list) or len(argument) != 2 or not argument[0]:
            raise _malformed("Fn::Split", "a delimiter and a string")
        return self._string(argument[1], "Fn::Split").split(str(argument[0]))

    def _if(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
            raise _malformed("Fn::If", "the name of a condition and two values")
        return self.of(argument[1] if self.holds(argument[0]) else argument[2])

    def _equals(self, argument: Any) -> bool:
        if not isinstance(argument, list) or len(argument) != 2:
            raise _malformed("Fn::Equals", "two values")
        first, second = (self.of(each) for each in argument)
        return bool(_as_text(first) == _as_text(second))

    def _and(self, argument: Any) -> bool:
        return all(self._truth(each) for each in self._terms(argument, "Fn::And"))

    def _or(self, argument: Any) -> bool:
        return any(self._truth(each) for each in self._terms(argument, "Fn::Or"))

    def _not(self, argument: Any) -> bool:
        if not isinstance(argument, list) or len(argument) != 1:
            raise _malformed("Fn::Not", "a list of one condition")
        return not self._truth(argument[0])

    def _terms(self, argument: Any, name: str) -> list[Any]:
        if not isinstance(argument, list) or not 2 <= len(argument) <= 10:
            raise _malformed(name, "a list of 2 to 10 conditions")
        return argument

    def _find_in_map(self, argument: Any) -> Any:
        if not isinstance(argument, list) or len(argument) not in (3, 4):
            raise _malformed("Fn::FindInMap", "a map and two keys")
        name, *keys = (self._string(each, "Fn::FindInMap") for each in argument[:3])
        found: Any = self._template.mappings.get(name)
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            return self.of(found)
        if len(argument) == 4 and isinstance(argument[3], dict) and "DefaultValue" in argument[3]:
            return self.of(argument[3]["DefaultValue"])
        shown = "::".join([name, *keys])
        raise TemplateError(f"Template error: Unable to get mapping for {shown}")

    def _import_value(self, argument: Any) -> str:
        name = self._string(argument, "Fn::ImportValue")
        if name not in self._around.exports:
            raise TemplateError(f"No export named {name} found.")
        self.imported.add(name)
        return self._around.exports[name]

    def _base64(self, argument: Any) -> str:
        return base64.b64encode(self._string(argument, "Fn::Base64").encode()).decode()

    def _zones(self, argument: Any) -> list[str]:
        region = self._string(argument, "Fn::GetAZs") or self._around.region
        return [f"{region}{zone}" for zone in _ZONES]

    def _length(self, argument: Any) -> int:
        return len(self._list(argument, "Fn::Length"))

    def _json(self, argument: Any) -> str:
        return json.dumps(self.of(argument), separators=(",", ":"))

    def _list(self, value: Any, function: str) -> list[Any]:
        found = self.of(value)
        if not isinstance(found, list):
            raise _malformed(function, "a list")
        return found

    def _string(self, value: Any, function: str) -> str:
        return self._text(self.of(value), function)

    def _text(self, value: Any, function: str) -> str:
        if value is NO_VALUE or isinstance(value, list | dict) or value is None:
            raise _malformed(function, "strings")
        return str(_as_text(value))


def _as_text(value: Any) -> Any:
    """Scalars as the text that they stand for: 1 and "1" are the same in a template."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _malformed(function: str, wanted: str) -> TemplateError:
    return TemplateError(f"Template error: every {function} object requires {wanted}")
