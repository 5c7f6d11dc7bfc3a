"""What `Fn::ForEach` makes of a template."""

from typing import Any

import pytest

from lambdabox.domain.template_loops import MAX_VALUES, unrolled, with_policies
from lambdabox.domain.templates import TemplateError


def _evaluate(value: Any) -> Any:
    known = {"Names": ["orders", "bills"], "Policy": "Retain", "Numbers": [1, True]}
    match value:
        case {"Ref": str(name)}:
            return known[name]
        case _:
            return value


def test_a_resource_for_each_name_and_an_output_for_each() -> None:
    found = unrolled(
        {
            "Resources": {
                "Fn::ForEach::Queues": [
                    "Name",
                    {"Ref": "Names"},
                    {
                        "Queue${Name}": {
                            "Type": "AWS::SQS::Queue",
                            "Properties": {
                                "QueueName": {"Fn::Sub": "${Name}-${AWS::Region}"},
                                "Tags": [{"Key": "of", "Value": {"Ref": "Name"}}],
                            },
                        }
                    },
                ],
                "Other": {"Type": "AWS::SNS::Topic"},
            },
            "Outputs": {
                "Fn::ForEach::Urls": [
                    "Name",
                    {"Ref": "Names"},
                    {"Arn${Name}": {"Value": {"Fn::GetAtt": [{"Fn::Sub": "Queue${Name}"}, "Arn"]}}},
                ]
            },
        },
        _evaluate,
    )
    assert list(found["Resources"]) == ["Queueorders", "Queuebills", "Other"]
    assert found["Resources"]["Queuebills"]["Properties"] == {
        "QueueName": {"Fn::Sub": "bills-${AWS::Region}"},
        "Tags": [{"Key": "of", "Value": "bills"}],
    }
    assert found["Outputs"] == {
        "Arnorders": {"Value": {"Fn::GetAtt": ["Queueorders", "Arn"]}},
        "Arnbills": {"Value": {"Fn::GetAtt": ["Queuebills", "Arn"]}},
    }


def test_a_loop_in_a_loop_and_one_in_properties() -> None:
    found = unrolled(
        {
            "Resources": {
                "Fn::ForEach::Outer": [
                    "A",
                    ["x", "y"],
                    {"Fn::ForEach::Inner": ["B", ["${A}1"], {"R${A}${B}": {"Type": "T${B}"}}]},
                ],
                "Plain": {
                    "Type": "T",
                    "Properties": {"Fn::ForEach::P": ["N", ["One", "Two"], {"P${N}": "${N}"}]},
                },
            }
        },
        _evaluate,
    )
    assert found["Resources"] == {
        "Rxx1": {"Type": "Tx1"},
        "Ryy1": {"Type": "Ty1"},
        "Plain": {"Type": "T", "Properties": {"POne": "One", "PTwo": "Two"}},
    }


def test_the_ampersand_leaves_letters_and_digits_only() -> None:
    loop = ["Host", ["a.b-c"], {"Zone&{Host}": {"Type": "T", "Properties": {"Name": "${Host}"}}}]
    found = unrolled({"Resources": {"Fn::ForEach::Zones": loop}}, _evaluate)
    assert found["Resources"] == {"Zoneabc": {"Type": "T", "Properties": {"Name": "a.b-c"}}}


def test_numbers_and_truths_become_text() -> None:
    loop = ["N", {"Ref": "Numbers"}, {"R${N}": {"Type": "T"}}]
    assert list(unrolled({"Resources": {"Fn::ForEach::N": loop}}, _evaluate)["Resources"]) == [
        "R1",
        "Rtrue",
    ]


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        ("text", "a name, a collection and an object"),
        (["N", ["a"]], "a name, a collection and an object"),
        ([["N"], ["a"], {}], "a name, a collection and an object"),
        (["no.name", ["a"], {}], "a name, a collection and an object"),
        (["N", {"Ref": "Policy"}, {}], "a list to go through"),
        (["N", [["a"]], {"R${N}": 1}], "a list of strings"),
        (["N", ["a", "b"], {"Same": 1}], "makes Same twice"),
    ],
)
def test_a_loop_that_is_none_is_refused(loop: Any, told: str) -> None:
    with pytest.raises(TemplateError, match=told):
        unrolled({"Resources": {"Fn::ForEach::Bad": loop}}, _evaluate)


def test_a_small_text_cannot_become_an_enormous_one() -> None:
    names = [f"n{at}" for at in range(100)]
    loop: Any = {"R${A}${B}${C}": {"Type": "T"}}
    for identifier in "CBA":
        loop = {f"Fn::ForEach::{identifier}": [identifier, names, loop]}
    with pytest.raises(TemplateError, match=f"more than {MAX_VALUES} values"):
        unrolled({"Resources": loop}, _evaluate)


def test_a_long_name_is_not_put_in_a_thousand_places() -> None:
    loop = ["A", ["x" * 100_000], {"R": {"Type": "${A}" * 1_000}}]
    with pytest.raises(TemplateError, match="letters"):
        unrolled({"Resources": {"Fn::ForEach::A": loop}}, _evaluate)


def test_names_that_are_no_strings_stay_as_they_are() -> None:
    loop = ["A", ["x"], {"R${A}": {1: "${A}"}}]
    found = unrolled({"Resources": {"Fn::ForEach::A": loop}}, _evaluate)
    assert found["Resources"] == {"Rx": {1: "x"}}


def test_loops_are_nested_five_deep_at_most() -> None:
    loop: Any = {"R": {"Type": "T"}}
    for at in range(6):
        loop = {f"Fn::ForEach::L{at}": [f"I{at}", ["a"], loop]}
    with pytest.raises(TemplateError, match="no more than 5 loops"):
        unrolled({"Resources": loop}, _evaluate)


def test_policies_may_be_functions() -> None:
    found = with_policies(
        {"Resources": {"R": {"Type": "T", "DeletionPolicy": {"Ref": "Policy"}}}}, _evaluate
    )
    assert found["Resources"]["R"] == {"Type": "T", "DeletionPolicy": "Retain"}
