"""Our reading of botocore's service descriptions, compared with botocore's own."""

import json
import subprocess
import sys
from typing import Any

import pytest
from botocore.model import Shape as ClientShape
from wire import client_model

from lambdabox.api.service_model import ServiceModel, Shape, _without_documentation

SERVICES = ("lambda", "logs", "cloudformation", "cloudwatch")
TRAITS = ("min", "max", "pattern", "enum", "document", "exception", "error")


def _is_same(ours: Shape, theirs: ClientShape, seen: set[tuple[str, str]]) -> None:
    """Compare two shapes, and those that they lead to; `seen` ends what refers to itself."""
    assert (ours.name, ours.type_name) == (theirs.name, theirs.type_name)
    assert ours.serialization == theirs.serialization
    assert _chosen(ours.metadata) == _chosen(theirs.metadata)
    place = (ours.name, json.dumps(theirs.serialization, sort_keys=True))
    if place in seen:
        return
    seen.add(place)
    match theirs.type_name:
        case "structure":
            assert list(ours.members) == list(theirs.members)
            assert ours.required_members == theirs.required_members
            for name, member in theirs.members.items():
                _is_same(ours.members[name], member, seen)
        case "list":
            _is_same(ours.member, theirs.member, seen)
        case "map":
            _is_same(ours.key, theirs.key, seen)
            _is_same(ours.value, theirs.value, seen)


def _chosen(metadata: Any) -> dict[str, Any]:
    return {name: metadata[name] for name in TRAITS if name in metadata}


@pytest.mark.parametrize("service", SERVICES)
def test_shapes_are_those_that_botocore_reads(service: str) -> None:
    ours, theirs = ServiceModel.load(service), client_model(service)
    assert list(ours.shapes) == theirs.shape_names
    seen: set[tuple[str, str]] = set()
    for name in theirs.shape_names:
        _is_same(ours.shape_for(name), theirs.shape_for(name), seen)
    assert len(seen) >= len(theirs.shape_names)


@pytest.mark.parametrize("service", SERVICES)
def test_operations_are_those_that_botocore_reads(service: str) -> None:
    ours, theirs = ServiceModel.load(service), client_model(service)
    assert ours.metadata == theirs.metadata
    assert sorted(ours.operations) == sorted(theirs.operation_names)
    for name in theirs.operation_names:
        here, there = ours.operation_model(name), theirs.operation_model(name)
        assert (here.name, here.http) == (there.name, there.http)
        assert getattr(here.input_shape, "name", None) == getattr(there.input_shape, "name", None)
        assert getattr(here.output_shape, "name", None) == getattr(there.output_shape, "name", None)


def test_texts_for_people_are_not_kept() -> None:
    model = ServiceModel.load("lambda")
    assert not [name for name, traits in model.shapes.items() if "documentation" in traits]
    assert not [name for name, traits in model.operations.items() if "documentation" in traits]


def test_a_member_called_documentation_is_not_a_text() -> None:
    members = {"documentation": {"shape": "Text", "documentation": "<p>What it is.</p>"}}
    assert _without_documentation({"members": members}) == {
        "members": {"documentation": {"shape": "Text"}}
    }


def test_a_model_is_read_without_importing_botocore() -> None:
    program = (
        "import sys; from lambdabox.api.service_model import ServiceModel; "
        "ServiceModel.load('lambda'); print('botocore' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert said.stdout.strip() == "False"
