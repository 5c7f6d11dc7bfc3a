"""A template's `Rules`: what must hold of parameters before anything is made.

The CDK writes one into every template: that the account is bootstrapped, and not too long ago.
"""

from collections.abc import Mapping
from typing import Any

from lambdabox.domain.template_values import Values
from lambdabox.domain.templates import Template, TemplateError


def check_rules(template: Template, values: Values) -> None:
    """Raise TemplateError for the first assertion that does not hold."""
    for name, rule in template.rules.items():
        if not isinstance(rule, Mapping) or not isinstance(rule.get("Assertions"), list):
            raise TemplateError(f"Template format error: Rule {name} must have Assertions.")
        condition = rule.get("RuleCondition")
        if condition is not None and not _holds(condition, values):
            continue
        for assertion in rule["Assertions"]:
            if not isinstance(assertion, Mapping) or "Assert" not in assertion:
                raise TemplateError(f"Template format error: Rule {name} must have an Assert.")
            if not _holds(assertion["Assert"], values):
                told = assertion.get("AssertDescription", "its assertion does not hold")
                raise TemplateError(f"Template error: Rule {name} failed: {told}")


def _holds(value: Any, values: Values) -> bool:
    """Return what a function of rules comes to; others are those of conditions."""
    match value:
        case {"Fn::Contains": [among, one]}:
            return _text(values.of(one)) in _texts(values.of(among))
        case {"Fn::EachMemberIn": [these, those]}:
            return set(_texts(values.of(these))) <= set(_texts(values.of(those)))
        case {"Fn::EachMemberEquals": [these, one]}:
            wanted = _text(values.of(one))
            return all(each == wanted for each in _texts(values.of(these)))
        case {"Fn::Not": [one]}:
            return not _holds(one, values)
        case {"Fn::And": list(terms)}:
            return all(_holds(each, values) for each in terms)
        case {"Fn::Or": list(terms)}:
            return any(_holds(each, values) for each in terms)
        case bool():
            return value
        case _:
            return _text(values.of(value)) == "true"


def _texts(value: Any) -> list[str]:
    return [_text(each) for each in value] if isinstance(value, list) else []


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
