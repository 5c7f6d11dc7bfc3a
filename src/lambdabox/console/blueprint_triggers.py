"""What invokes a function that begins as a blueprint, made like any trigger of the console.

A blueprint names a kind of trigger and its fields, as its form would have them, and may ask
for one of them: a bucket of its author's choice, or when it is to run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambdabox.console.blueprints import Blueprint
from lambdabox.console.forms import Form
from lambdabox.console.trigger_kinds.kind import TriggerKind
from lambdabox.console.trigger_kinds.kinds import KINDS


@dataclass(frozen=True, slots=True)
class Asked:
    """The field that the author may want otherwise."""

    label: str
    default: str
    answer: str


@dataclass(frozen=True, slots=True)
class BlueprintTrigger:
    kind: TriggerKind
    fields: Mapping[str, str]
    asked: Asked | None

    @property
    def form(self) -> Form:
        return Form({name: [value] for name, value in self.fields.items()})

    @property
    def source(self) -> str:
        """What the source will be called, empty if it is not called anything."""
        return self.fields["new_name"]

    @property
    def plan(self) -> Sequence[str]:
        return self.kind.plan(self.form)


def trigger_of(blueprint: Blueprint, function_name: str, answer: str) -> BlueprintTrigger | None:
    """Return what invokes the function; None for one that is invoked by hand."""
    given = blueprint.trigger
    if given is None:
        return None
    kind = KINDS[given["kind"]]
    fields = {"new_name": kind.suggestion(function_name), **given["fields"]}
    asks = given.get("asks")
    asked = Asked(asks["label"], fields[asks["field"]], answer) if asks else None
    if asks and answer:
        fields[asks["field"]] = answer
    return BlueprintTrigger(kind, fields, asked)
