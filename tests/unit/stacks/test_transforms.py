"""Transforms of templates: what is included, looped over, and who may name what."""

from collections.abc import Mapping
from typing import Any

import pytest

from lambdabox.aws_ports import AwsCallError
from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import StackError
from lambdabox.domain.templates import TemplateError
from lambdabox.stacks.transforms import EXTENSIONS, SAM, Transforms

pytestmark = pytest.mark.anyio

SCOPE = Scope("123456789012", "eu-west-1")
QUEUE = {"Type": "AWS::SQS::Queue"}


class Bucket:
    """S3 with one bucket: `parts`."""

    def __init__(self, **objects: str) -> None:
        self._objects = objects

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        _scope: Scope,
        *,
        seconds: float = 30.0,
    ) -> Mapping[str, Any]:
        text = self._objects.get(parameters["Key"].removesuffix(".yaml"))
        if parameters["Bucket"] != "parts" or text is None:
            raise AwsCallError(service, operation, "NoSuchKey", "The key does not exist.")
        return {"Body": text.encode()}


async def _sam(
    document: Mapping[str, Any], values: Mapping[str, Any], _region: str
) -> dict[str, Any]:
    return {**document, "Seen": {"resources": list(document["Resources"]), "values": values}}


async def _expanded(
    document: dict[str, Any], values: Mapping[str, str] | None = None, **objects: str
) -> dict[str, Any]:
    return await Transforms(Bucket(**objects), _sam).expanded(SCOPE, document, values or {})


LOOP = {
    "Parameters": {"Names": {"Type": "CommaDelimitedList"}},
    "Resources": {"Fn::ForEach::Q": ["N", {"Ref": "Names"}, {"Queue${N}": QUEUE}]},
}


async def test_sam_sees_what_loops_have_made() -> None:
    found = await _expanded({**LOOP, "Transform": [EXTENSIONS, SAM]}, {"Names": "A,B"})
    assert found["Seen"] == {"resources": ["QueueA", "QueueB"], "values": {"Names": ["A", "B"]}}
    assert "Transform" not in found


async def test_who_only_looks_need_not_give_values() -> None:
    assert (await _expanded({**LOOP, "Transform": EXTENSIONS}))["Resources"] == {}


async def test_an_include_stands_beside_what_is_there() -> None:
    include = {"Name": "AWS::Include", "Parameters": {"Location": {"Fn::Sub": "s3://parts/a.yaml"}}}
    found = await _expanded(
        {"Resources": {"Api": {"Fn::Transform": include, "Type": "mine"}}},
        a="Type: theirs\nProperties: {Name: !Ref X}\n",
    )
    assert found["Resources"]["Api"] == {"Type": "mine", "Properties": {"Name": {"Ref": "X"}}}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"Name": "Mine", "Parameters": {}}, "No transform named Mine found"),
        ({"Name": "AWS::Include", "Parameters": {"Location": "a.yaml"}}, "not a valid S3 uri"),
        ("AWS::Include", "requires a Name and Parameters"),
    ],
)
async def test_an_include_that_is_none_is_refused(asked: Any, told: str) -> None:
    with pytest.raises(TemplateError, match=told):
        await _expanded({"Resources": {"A": {"Fn::Transform": asked}}})


async def test_an_include_that_is_not_there_is_told_by_its_name() -> None:
    include = {"Name": "AWS::Include", "Parameters": {"Location": "s3://parts/gone.yaml"}}
    with pytest.raises(StackError, match=r"does not exist.*\ns3://parts/gone.yaml"):
        await _expanded({"Resources": {"A": {"Fn::Transform": include}}})


async def test_a_macro_is_refused() -> None:
    with pytest.raises(TemplateError, match="No transform named Mine found"):
        await _expanded({"Transform": "Mine", "Resources": {"Q": QUEUE}})
