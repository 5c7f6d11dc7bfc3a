"""AWS services as botocore's data files describe them: operations, and the shapes of values.

botocore's own reader of these files comes with an HTTP client and much else, a sixth of a
node's start that a node without calls to other services never uses. What the front ends ask
of a model is little, and is read here; a test compares it with what botocore reads.
"""

import gzip
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

_SERIALIZATION = frozenset(
    {
        "event", "eventheader", "eventpayload", "eventstream", "flattened", "hostLabel",
        "jsonvalue", "location", "payload", "queryName", "resultWrapper", "streaming",
        "timestampFormat", "xmlAttribute", "xmlNamespace",
    }
)  # fmt: skip
"""The traits of a shape that say how it travels; the others are `metadata`."""


class Shape:
    """A type of values, with the traits that the place has where it is referred to."""

    def __init__(self, name: str, traits: Mapping[str, Any], service: "ServiceModel") -> None:
        self.name = name
        self.type_name: str = traits["type"]
        self._traits = traits
        self._service = service

    @cached_property
    def serialization(self) -> Mapping[str, Any]:
        """How it travels; `name` is its name on the wire, where that is another."""
        found = {name: value for name, value in self._traits.items() if name in _SERIALIZATION}
        if "locationName" in self._traits:
            found["name"] = self._traits["locationName"]
        return found

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Constraints, and what else the model says of it."""
        return self._traits

    @cached_property
    def members(self) -> Mapping[str, "Shape"]:
        """A structure's members by name."""
        references = self._traits.get("members", {})
        return {name: self._service.resolve(reference) for name, reference in references.items()}

    @property
    def required_members(self) -> list[str]:
        required: list[str] = self._traits.get("required", [])
        return required

    @cached_property
    def member(self) -> "Shape":
        """What a list's elements are."""
        return self._service.resolve(self._traits["member"])

    @cached_property
    def key(self) -> "Shape":
        """What a map's keys are."""
        return self._service.resolve(self._traits["key"])

    @cached_property
    def value(self) -> "Shape":
        """What a map's values are."""
        return self._service.resolve(self._traits["value"])


class OperationModel:
    def __init__(self, name: str, traits: Mapping[str, Any], service: "ServiceModel") -> None:
        self.name = name
        self.http: Mapping[str, Any] = traits.get("http", {})
        self._traits = traits
        self._service = service

    @cached_property
    def input_shape(self) -> Shape | None:
        """None for an operation that takes nothing."""
        return self._shape("input")

    @cached_property
    def output_shape(self) -> Shape | None:
        """None for an operation that answers nothing."""
        return self._shape("output")

    def _shape(self, direction: str) -> Shape | None:
        reference = self._traits.get(direction)
        return None if reference is None else self._service.resolve(reference)


class ServiceModel:
    def __init__(self, service_name: str, description: Mapping[str, Any]) -> None:
        self.service_name = service_name
        self.metadata: Mapping[str, Any] = description["metadata"]
        self.operations: Mapping[str, Any] = description["operations"]
        self.shapes: Mapping[str, Any] = description["shapes"]
        self._shapes: dict[str, Shape] = {}

    @classmethod
    def load(cls, service_name: str) -> "ServiceModel":
        """Read botocore's own description, never one from the user's home directory."""
        return cls(service_name, _without_documentation(orjson.loads(_newest(service_name))))

    def operation_model(self, name: str) -> OperationModel:
        return OperationModel(name, self.operations[name], self)

    def shape_for(self, name: str) -> Shape:
        known = self._shapes.get(name)
        if known is None:
            known = self._shapes[name] = Shape(name, self.shapes[name], self)
        return known

    def resolve(self, reference: Mapping[str, Any]) -> Shape:
        """Return the shape that is referred to, with the traits that the reference adds."""
        name = reference["shape"]
        if len(reference) == 1:
            return self.shape_for(name)
        traits = {**self.shapes[name], **reference}
        del traits["shape"]
        return Shape(name, traits, self)


def _newest(service_name: str) -> bytes:
    """Return the description of the newest version of a service's API."""
    package = find_spec("botocore")  # finds it and does not import it
    if package is None or package.origin is None:
        raise ModuleNotFoundError("botocore, whose data describe AWS's services, is not installed.")
    versions = (Path(package.origin).parent / "data" / service_name).iterdir()
    return _read(max(versions, key=lambda version: version.name))


def _read(version: Path) -> bytes:
    packed = version / "service-2.json.gz"
    if packed.exists():
        return gzip.decompress(packed.read_bytes())
    return (version / "service-2.json").read_bytes()


def _without_documentation(part: Any) -> Any:
    """Return a description without its texts, two thirds of what it takes in memory."""
    match part:
        case dict():
            return {
                name: _without_documentation(value)
                for name, value in part.items()
                # A member of this name refers to a shape; a text is a text.
                if name != "documentation" or not isinstance(value, str)
            }
        case list():
            return [_without_documentation(each) for each in part]
        case _:
            return part
