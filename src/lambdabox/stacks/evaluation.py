"""A stack's template with everything that is known of the stack around it."""

from collections.abc import Mapping
from dataclasses import dataclass

from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import Definition, Stack, StackOutput, StackResource
from lambdabox.domain.template_graph import dependencies, in_order
from lambdabox.domain.template_values import Find, Made, NotYetKnown, Surroundings, Values
from lambdabox.domain.templates import Template, TemplateError, read_template
from lambdabox.stacks.records import StackRecords


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A template, what it comes to, and the resources that are to be there, in their order."""

    template: Template
    values: Values
    order: tuple[str, ...]
    needs: Mapping[str, frozenset[str]]


async def exports_of(
    records: StackRecords, scope: Scope, *, without: str = ""
) -> dict[str, tuple[str, str]]:
    """Return what all stacks but one export: name to value and the name of the stack."""
    return {
        output.export: (output.value, stack.name)
        for stack in await records.stacks(scope)
        if stack.id != without
        for output in stack.outputs
        if output.export is not None
    }


def evaluate(
    stack: Stack, definition: Definition, exports: Mapping[str, tuple[str, str]], find: Find
) -> Evaluated:
    """Raises TemplateError."""
    template = read_template(definition.document)
    absent: set[str] = set()

    def found(logical_id: str) -> Made | None:
        if logical_id in absent or logical_id not in template.resources:
            return None
        return find(logical_id)

    surroundings = Surroundings(
        account=stack.scope.account,
        region=stack.scope.region,
        stack_name=stack.name,
        stack_id=stack.id,
        notification_arns=definition.notification_arns,
        parameters=definition.values,
        exports={name: value for name, (value, _) in exports.items()},
    )
    values = Values(template, surroundings, found)
    for logical_id, resource in template.resources.items():
        if resource.condition is not None and not values.holds(resource.condition):
            absent.add(logical_id)
    present = tuple(each for each in template.resources if each not in absent)
    needs = dependencies(template, present)
    return Evaluated(template, values, in_order(needs), needs)


def made(resource: StackResource | None) -> Made:
    """Return what a template sees of a resource. Raises NotYetKnown."""
    if resource is None or not resource.is_there:
        raise NotYetKnown
    return Made(resource.physical_id, resource.attributes)


def outputs_of(evaluated: Evaluated) -> tuple[StackOutput, ...]:
    """Return the outputs of a stack whose resources are there. Raises TemplateError."""
    template, values = evaluated.template, evaluated.values
    found = []
    for output in template.outputs.values():
        if output.condition is not None and not values.holds(output.condition):
            continue
        value = values.of(output.value)
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, str | int | float):
            raise TemplateError(
                f"Template format error: Output {output.name} is malformed. The Value field of "
                "every Outputs member must evaluate to a String."
            )
        export = values.of(output.export) if output.export is not None else None
        found.append(
            StackOutput(
                output.name,
                str(value),
                output.description,
                None if export is None else str(export),
            )
        )
    return tuple(found)
