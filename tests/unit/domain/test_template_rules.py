"""Rules of templates, which parameters must keep."""

from typing import Any

import pytest

from lambdabox.domain.template_rules import check_rules
from lambdabox.domain.template_values import Surroundings, Values
from lambdabox.domain.templates import TemplateError, read_template

# As the CDK writes it into every template.
BOOTSTRAPPED = {
    "Assertions": [
        {
            "Assert": {
                "Fn::Not": [{"Fn::Contains": [["1", "2", "3", "4", "5"], {"Ref": "Version"}]}]
            },
            "AssertDescription": "CDK bootstrap stack version 6 required.",
        }
    ]
}


def _check(rule: Any, version: str = "6") -> None:
    document = {
        "Parameters": {
            "Version": {"Type": "String"},
            "Names": {"Type": "CommaDelimitedList"},
        },
        "Rules": {"Rule": rule},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    }
    template = read_template(document)
    given = {"Version": version, "Names": "a,b"}
    around = Surroundings("123456789012", "eu-west-1", "app", "arn", parameters=given)
    check_rules(template, Values(template, around, lambda _name: None))


def test_an_account_that_was_bootstrapped_long_ago_is_refused() -> None:
    _check(BOOTSTRAPPED)
    with pytest.raises(TemplateError, match="CDK bootstrap stack version 6 required"):
        _check(BOOTSTRAPPED, "5")


def test_a_rule_whose_condition_does_not_hold_asks_nothing() -> None:
    condition = {"Fn::Equals": [{"Ref": "Version"}, "6"]}
    rule = {"RuleCondition": condition, "Assertions": [{"Assert": False}]}
    _check(rule, "7")
    with pytest.raises(TemplateError, match="Rule Rule failed: its assertion does not hold"):
        _check(rule)


@pytest.mark.parametrize(
    ("asserted", "holds"),
    [
        ({"Fn::EachMemberIn": [{"Ref": "Names"}, ["a", "b", "c"]]}, True),
        ({"Fn::EachMemberIn": [{"Ref": "Names"}, ["a", "c"]]}, False),
        ({"Fn::EachMemberEquals": [{"Ref": "Names"}, "a"]}, False),
        ({"Fn::EachMemberEquals": [["a", "a"], "a"]}, True),
        ({"Fn::And": [{"Fn::Contains": [["6"], {"Ref": "Version"}]}, True]}, True),
        ({"Fn::Or": [{"Fn::Contains": [["7"], {"Ref": "Version"}]}, False]}, False),
    ],
)
def test_functions_of_rules(asserted: Any, holds: bool) -> None:
    rule = {"Assertions": [{"Assert": asserted}]}
    if holds:
        _check(rule)
    else:
        with pytest.raises(TemplateError):
            _check(rule)


@pytest.mark.parametrize(
    "rule", ["text", {}, {"Assertions": ["x"]}, {"Assertions": [{"Assert": {"Fn::Contains": 1}}]}]
)
def test_a_rule_that_is_none_is_refused(rule: Any) -> None:
    with pytest.raises(TemplateError):
        _check(rule)
