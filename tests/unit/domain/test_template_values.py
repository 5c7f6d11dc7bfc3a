"""What the functions of templates come to."""

from typing import Any

import pytest

from lambdabox.domain.template_graph import dependencies, in_order
from lambdabox.domain.template_values import (
    NO_VALUE,
    Made,
    NotYetKnown,
    Surroundings,
    Values,
)
from lambdabox.domain.templates import TemplateError, read_template

DOCUMENT = {
    "Parameters": {
        "Stage": {"Type": "String"},
        "Zones": {"Type": "CommaDelimitedList"},
    },
    "Mappings": {"Sizes": {"prod": {"Memory": 512, "Names": ["a", "b"]}}},
    "Conditions": {
        "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "IsNotProd": {"Fn::Not": [{"Condition": "IsProd"}]},
        "Both": {"Fn::And": [{"Condition": "IsProd"}, {"Condition": "IsNotProd"}]},
        "Either": {"Fn::Or": [{"Condition": "IsProd"}, {"Condition": "IsNotProd"}]},
        "Circle": {"Fn::Not": [{"Condition": "Circle"}]},
    },
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}, "Later": {"Type": "AWS::SQS::Queue"}},
}
MADE = {"Queue": Made("http://queue", {"Arn": "arn:queue", "Nested.Name": "inner"})}


def _find(name: str) -> Made | None:
    if name == "Later":
        raise NotYetKnown
    return MADE.get(name)


@pytest.fixture
def values() -> Values:
    around = Surroundings(
        "123456789012",
        "eu-west-1",
        "app",
        "arn:stack",
        parameters={"Stage": "prod", "Zones": "a, b,c"},
        exports={"other-url": "http://other"},
    )
    return Values(read_template(DOCUMENT), around, _find)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"Ref": "Stage"}, "prod"),
        ({"Ref": "Zones"}, ["a", "b", "c"]),
        ({"Ref": "Queue"}, "http://queue"),
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Ref": "AWS::AccountId"}, "123456789012"),
        ({"Fn::GetAtt": ["Queue", "Arn"]}, "arn:queue"),
        ({"Fn::GetAtt": "Queue.Nested.Name"}, "inner"),
        ({"Fn::Sub": "${AWS::StackName}-${Stage}-${Queue.Arn}"}, "app-prod-arn:queue"),
        ({"Fn::Sub": ["${A}/${!A}/${Stage}", {"A": {"Ref": "Queue"}}]}, "http://queue/${A}/prod"),
        ({"Fn::Sub": ["${A}", {"A": "${!B} stays"}]}, "${!B} stays"),
        ({"Fn::Join": ["-", ["a", 1, True, {"Ref": "Stage"}]]}, "a-1-true-prod"),
        ({"Fn::Join": [",", {"Ref": "Zones"}]}, "a,b,c"),
        ({"Fn::Select": ["1", {"Ref": "Zones"}]}, "b"),
        ({"Fn::Split": ["/", "a/b"]}, ["a", "b"]),
        ({"Fn::If": ["IsProd", 1, 2]}, 1),
        ({"Fn::If": ["IsNotProd", 1, {"Ref": "AWS::NoValue"}]}, NO_VALUE),
        ({"Fn::If": ["Both", 1, 2]}, 2),
        ({"Fn::If": ["Either", 1, 2]}, 1),
        ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "Memory"]}, 512),
        ({"Fn::FindInMap": ["Sizes", "dev", "Memory", {"DefaultValue": 128}]}, 128),
        ({"Fn::ImportValue": {"Fn::Sub": "other-${Word}"}}, TemplateError),
        ({"Fn::ImportValue": "other-url"}, "http://other"),
        ({"Fn::Base64": "ä"}, "w6Q="),
        ({"Fn::GetAZs": ""}, ["eu-west-1a", "eu-west-1b", "eu-west-1c"]),
        ({"Fn::Length": {"Ref": "Zones"}}, 3),
        ({"Fn::ToJsonString": {"a": [{"Ref": "Stage"}]}}, '{"a":["prod"]}'),
        ({"a": {"Ref": "AWS::NoValue"}, "b": [{"Ref": "AWS::NoValue"}, 1]}, {"b": [1]}),
        ({"Condition": {"StringEquals": {}}}, {"Condition": {"StringEquals": {}}}),
        ("plain ${text}", "plain ${text}"),
    ],
)
def test_a_value_comes_to(values: Values, value: Any, expected: Any) -> None:
    if expected is TemplateError:
        with pytest.raises(TemplateError):
            values.of(value)
    else:
        assert values.of(value) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"Ref": "Nobody"}, "Unresolved resource dependencies [Nobody]"),
        ({"Ref": ["x"]}, "every Ref object requires"),
        ({"Fn::GetAtt": ["Queue", "Url"]}, "does not support attribute type Url"),
        ({"Fn::GetAtt": ["Queue"]}, "every Fn::GetAtt object requires"),
        ({"Fn::Select": [9, ["a"]]}, "cannot select nonexistent value at index 9"),
        ({"Fn::Select": ["-1", ["a"]]}, "cannot select nonexistent value"),
        ({"Fn::Join": "x"}, "every Fn::Join object requires"),
        ({"Fn::Join": ["", [["nested"]]]}, "every Fn::Join object requires strings"),
        ({"Fn::Sub": {"a": 1}}, "every Fn::Sub object requires"),
        ({"Fn::FindInMap": ["Sizes", "dev", "Memory"]}, "Unable to get mapping for Sizes::dev"),
        ({"Fn::If": ["Nobody", 1, 2]}, "Unresolved condition dependency Nobody"),
        ({"Fn::If": ["Circle", 1, 2]}, "Circular dependency in the condition Circle"),
        ({"Fn::ImportValue": "nobody"}, "No export named nobody found."),
        ({"Fn::Cidr": []}, "the function Fn::Cidr is not supported here"),
    ],
)
def test_a_value_is_refused(values: Values, value: Any, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        values.of(value)
    assert message in str(caught.value)


def test_what_is_not_there_yet_is_no_error_of_the_template(values: Values) -> None:
    with pytest.raises(NotYetKnown):
        values.of({"Fn::Sub": "${Later.Arn}"})


def _ordered(**resources: Any) -> tuple[str, ...]:
    template = read_template({"Resources": resources})
    return in_order(dependencies(template, tuple(template.resources)))


def _resource(depends_on: Any = (), **properties: Any) -> dict[str, Any]:
    return {"Type": "T", "Properties": properties, "DependsOn": list(depends_on)}


def test_resources_come_after_what_they_need() -> None:
    order = _ordered(
        A=_resource(x={"Ref": "B"}),
        B=_resource(x=[{"y": {"Fn::Sub": "${C.Arn} ${!A}"}}]),
        C=_resource(depends_on=["D"]),
        D=_resource(),
        E=_resource(x={"Fn::Sub": ["${A} ${v}", {"A": "local", "v": {"Ref": "D"}}]}),
    )
    assert order == ("D", "C", "E", "B", "A")


def test_a_circle_names_those_in_it() -> None:
    with pytest.raises(TemplateError) as caught:
        _ordered(
            A=_resource(x={"Ref": "B"}),
            B=_resource(x={"Ref": "A"}),
            C=_resource(x={"Ref": "A"}),
        )
    assert str(caught.value) == "Circular dependency between resources: [A, B]"


def test_a_resource_that_needs_itself_is_a_circle() -> None:
    with pytest.raises(TemplateError, match=r"Circular dependency between resources: \[A\]"):
        _ordered(A=_resource(x={"Ref": "A"}))


def test_a_name_that_is_nowhere_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"Unresolved resource dependencies \[X\]"):
        _ordered(A=_resource(depends_on=["X"]))
