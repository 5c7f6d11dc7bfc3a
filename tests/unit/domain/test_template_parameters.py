"""Values of parameters, and templates that are not laid out as they should be."""

from typing import Any

import pytest

from lambdabox.domain.template_parameters import Given, choose, shown, typed
from lambdabox.domain.templates import Parameter, TemplateError, read_template

DECLARED = {
    "Name": Parameter("Name", longest=5, allowed_pattern="[a-z]+"),
    "Stage": Parameter("Stage", default="dev", allowed_values=("dev", "prod")),
    "Size": Parameter("Size", "Number", default="3", minimum=1, maximum=9),
}


def test_given_values_come_before_previous_and_defaults() -> None:
    given = [Given("Name", "abc"), Given("Stage", use_previous=True)]
    assert choose(DECLARED, given, {"Stage": "prod", "Size": "9"}) == {
        "Name": "abc",
        "Stage": "prod",
        "Size": "3",
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "Parameters: [Name] must have values"),
        ([Given("Other", "x")], "Parameters: [Other] do not exist in the template"),
        ([Given("Name", "abcdef")], "Parameter 'Name' must contain at most 5 characters"),
        ([Given("Name", "ABC")], "Parameter 'Name' must match pattern [a-z]+"),
        ([Given("Name", "a"), Given("Stage", "x")],
         "Parameter 'Stage' must be one of AllowedValues"),
        ([Given("Name", "a"), Given("Size", "x")], "Parameter 'Size' must be a number"),
        ([Given("Name", "a"), Given("Size", "0")],
         "Parameter 'Size' must be a number not less than 1"),
        ([Given("Name", "a"), Given("Size", "10")],
         "Parameter 'Size' must be a number not greater than 9"),
        ([Given("Name", use_previous=True)], "Parameters: [Name] must have values"),
    ],
)  # fmt: skip
def test_values_are_refused(given: list[Given], message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        choose(DECLARED, given, {})
    assert str(caught.value) == message


def test_lists_are_split_and_secrets_masked() -> None:
    names = Parameter("Names", "List<String>")
    assert typed(names, "a, b") == ["a", "b"]
    assert typed(Parameter("N", "AWS::SSM::Parameter::Value<List<String>>"), "a,b") == ["a", "b"]
    assert typed(Parameter("N", "Number"), "1") == "1"
    assert shown(Parameter("Word", no_echo=True), "secret") == "****"


RESOURCE = {"A": {"Type": "AWS::SQS::Queue"}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the template is not an object"),
        ({}, "At least one Resources member must be defined"),
        ({"Resources": {}}, "At least one Resources member must be defined"),
        ({"Resources": []}, "Resources must be an object"),
        ({"Resources": {"A": {}}}, "Every Resources object must contain a Type member"),
        ({"Resources": {"A": "x"}}, "Every Resources object must contain a Type member"),
        ({"Resources": {"A-B": RESOURCE["A"]}}, "Resource name A-B is non alphanumeric"),
        ({"Resources": {"A": {**RESOURCE["A"], "Properties": []}}}, None),
        ({"Resources": {"A": {**RESOURCE["A"], "Properties": "x"}}}, "must be an object"),
        ({"Resources": {"A": {**RESOURCE["A"], "DependsOn": 1}}}, "DependsOn of A"),
        ({"Resources": {"A": {**RESOURCE["A"], "DeletionPolicy": "x"}}}, "DeletionPolicy x for A"),
        ({"Resources": RESOURCE, "Nonsense": 1}, "Invalid template property or properties"),
        ({"Resources": RESOURCE, "Parameters": {"P": {}}}, "must contain a Type member. [P]"),
        ({"Resources": RESOURCE, "Parameters": {"P": {"Type": "S", "MinLength": "x"}}},
         "MinLength must be a number"),
        ({"Resources": RESOURCE, "Outputs": {"O": {}}}, "must contain a Value member. [O]"),
        ({"Resources": RESOURCE, "Conditions": "x"}, "Conditions must be an object"),
        ({"Resources": {f"A{n}": RESOURCE["A"] for n in range(501)}}, "Number of resources, 501"),
    ],
)  # fmt: skip
def test_a_template_that_is_not_laid_out_is_refused(document: Any, message: str | None) -> None:
    if message is None:
        assert read_template(document).resources["A"].properties == {}
        return
    with pytest.raises(TemplateError) as caught:
        read_template(document)
    assert message in str(caught.value)
