"""The values of a template's parameters: what was given, what was before, and what is default.

A value is text when it comes, and a list where its type says so. What may not be shown is
shown as CloudFormation shows it.
"""

import re
from collections.abc import Mapping, Sequence

from lambdabox.domain.templates import Parameter, TemplateError
from lambdabox.domain.values import dataclass

MASK = "****"
SSM = "AWS::SSM::Parameter::Value<"


@dataclass(frozen=True, slots=True)
class Given:
    """What a request says of one parameter."""

    name: str
    value: str | None = None
    use_previous: bool = False


def choose(
    declared: Mapping[str, Parameter], given: Sequence[Given], previous: Mapping[str, str]
) -> dict[str, str]:
    """Return the text of each parameter's value. Raises TemplateError."""
    names = [each.name for each in given]
    if unknown := [name for name in names if name not in declared]:
        raise TemplateError(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    chosen, missing = {}, []
    asked = {each.name: each for each in given}
    for name, parameter in declared.items():
        value = _value(parameter, asked.get(name), previous)
        if value is None:
            missing.append(name)
        else:
            _check(parameter, value)
            chosen[name] = value
    if missing:
        raise TemplateError(f"Parameters: [{', '.join(missing)}] must have values")
    return chosen


def _value(parameter: Parameter, given: Given | None, previous: Mapping[str, str]) -> str | None:
    if given is None:
        return parameter.default
    if given.use_previous:
        return previous.get(parameter.name)
    return given.value


def is_list(parameter: Parameter) -> bool:
    kind = _inner(parameter.type)
    return kind == "CommaDelimitedList" or kind.startswith("List<")


def typed(parameter: Parameter, text: str) -> str | list[str]:
    """Return the value that `Ref` gives."""
    if not is_list(parameter):
        return text
    return [part.strip() for part in text.split(",")] if text else []


def shown(parameter: Parameter | None, text: str) -> str:
    return MASK if parameter is not None and parameter.no_echo else text


def ssm_name(parameter: Parameter, text: str) -> str | None:
    """Return the name of the parameter of Systems Manager whose value is meant, if one is."""
    return text if parameter.type.startswith(SSM) else None


def _inner(kind: str) -> str:
    return kind.removeprefix(SSM)[:-1] if kind.startswith(SSM) else kind


def _check(parameter: Parameter, value: str) -> None:
    if parameter.type.startswith(SSM):
        return  # the name of a value, which is looked up later
    told = parameter.constraint
    for each in [value] if parameter.type != "CommaDelimitedList" else value.split(","):
        if parameter.allowed_values and each.strip() not in parameter.allowed_values:
            raise _refusal(parameter, told or "must be one of AllowedValues")
    if parameter.type == "Number":
        _check_number(parameter, value)
        return
    if parameter.type == "List<Number>":
        for each in value.split(","):
            _check_number(parameter, each.strip())
        return
    if parameter.shortest is not None and len(value) < parameter.shortest:
        raise _refusal(parameter, told or f"must contain at least {parameter.shortest} characters")
    if parameter.longest is not None and len(value) > parameter.longest:
        raise _refusal(parameter, told or f"must contain at most {parameter.longest} characters")
    if parameter.allowed_pattern is not None and not _matches(parameter, value):
        raise _refusal(parameter, told or f"must match pattern {parameter.allowed_pattern}")


def _check_number(parameter: Parameter, value: str) -> None:
    told = parameter.constraint
    try:
        number = float(value)
    except ValueError:
        raise _refusal(parameter, told or "must be a number") from None
    if parameter.minimum is not None and number < parameter.minimum:
        raise _refusal(parameter, told or f"must be a number not less than {parameter.minimum:g}")
    if parameter.maximum is not None and number > parameter.maximum:
        raise _refusal(
            parameter, told or f"must be a number not greater than {parameter.maximum:g}"
        )


def _matches(parameter: Parameter, value: str) -> bool:
    try:
        return re.fullmatch(parameter.allowed_pattern or "", value) is not None
    except re.error as exc:
        raise TemplateError(
            f"Template format error: AllowedPattern of {parameter.name} is not a regular "
            f"expression: {exc}"
        ) from exc


def _refusal(parameter: Parameter, what: str) -> TemplateError:
    return TemplateError(f"Parameter '{parameter.name}' {what}")
