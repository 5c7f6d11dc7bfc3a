"""What a change set would do, told before anything is done.

The values of what is not there yet are not known: a property that depends on one will change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdabox.domain.stacks import Change, Definition, Stack, StackResource
from lambdabox.domain.template_values import Made, NotYetKnown
from lambdabox.domain.templates import Resource
from lambdabox.stacks.evaluation import Evaluated, evaluate, made, outputs_of
from lambdabox.stacks.resources.kinds import changed_properties
from lambdabox.stacks.resources.registry import kind_of
from lambdabox.stacks.workshop import Workshop


@dataclass(frozen=True, slots=True)
class Plan:
    changes: tuple[Change, ...]
    is_empty: bool
    """Whether neither resources nor what is told of the stack would change."""


class Planning:
    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def plan(
        self, stack: Stack, definition: Definition, exports: Mapping[str, tuple[str, str]]
    ) -> Plan:
        """Raises TemplateError."""
        renewed: set[str] = set()

        def find(logical_id: str) -> Made:
            if logical_id in renewed:
                raise NotYetKnown
            return made(stack.resource(logical_id))

        evaluated = evaluate(stack, definition, exports, find)
        changes = []
        for logical_id in evaluated.order:
            change = self._change(stack, evaluated, logical_id, definition.tags)
            if change is None:
                continue
            changes.append(change)
            if change.action == "Add" or change.replacement != "False":
                renewed.add(logical_id)
        changes += [
            Change("Remove", each.logical_id, each.type, each.physical_id)
            for each in stack.resources
            if each.logical_id not in evaluated.needs and each.is_there
        ]
        is_empty = not changes and self._tells_the_same(stack, definition, evaluated)
        return Plan(tuple(changes), is_empty)

    def _change(
        self, stack: Stack, evaluated: Evaluated, logical_id: str, tags: Mapping[str, str]
    ) -> Change | None:
        declared = evaluated.template.resources[logical_id]
        known = stack.resource(logical_id)
        if known is None or not known.is_there:
            return Change("Add", logical_id, declared.type)
        after, unknown = self._properties(evaluated, declared)
        after = self._workshop.complete(declared.type, after, tags)
        before = {name: each for name, each in known.properties.items() if name not in unknown}
        changed = changed_properties(before, after) | unknown
        is_same = known.type == declared.type and known.status != "UPDATE_FAILED"
        if not changed and is_same and not self._workshop.kind(known.type).looks_closer:
            return None
        replacement = self._replacement(known, declared, changed, unknown)
        names = tuple(sorted(changed))
        return Change("Modify", logical_id, declared.type, known.physical_id, replacement, names)

    def _properties(
        self, evaluated: Evaluated, declared: Resource
    ) -> tuple[dict[str, Any], frozenset[str]]:
        """Return the properties that are known, and the names of those that are not."""
        known, unknown = {}, set()
        for name, value in declared.properties.items():
            try:
                found = evaluated.values.of({name: value} if name[:4] != "Fn::" else value)
            except NotYetKnown:
                unknown.add(name)
            else:
                known.update(found if isinstance(found, dict) else {})
        return known, frozenset(unknown)

    def _replacement(
        self,
        known: StackResource,
        declared: Resource,
        changed: frozenset[str],
        unknown: frozenset[str],
    ) -> str:
        kind = kind_of(declared.type)
        if kind is None or known.type != declared.type or kind.is_replaced_by(changed - unknown):
            return "True"
        return "Conditional" if kind.is_replaced_by(unknown) and unknown else "False"

    def _tells_the_same(self, stack: Stack, definition: Definition, evaluated: Evaluated) -> bool:
        before = stack.definition
        if before is None or before.tags != definition.tags:
            return False
        if before.notification_arns != definition.notification_arns:
            return False
        if evaluated.template.description != before.document.get("Description"):
            return False
        return stack.outputs == outputs_of(evaluated)
