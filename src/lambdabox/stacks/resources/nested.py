"""Stacks in stacks: AWS::CloudFormation::Stack.

What SAM makes of an application, and the CDK of a nested stack. A nested stack is looked at in
each update of the one that holds it, for its template may have changed where it lies.
"""

from lambdabox.stacks.resources.kinds import NameRule, Properties, ResourceKind, Result, Work


async def _create(work: Work, properties: Properties) -> Result:
    return await work.nested.create(work.stack_id, work.name, properties, work.initiated)


async def _update(work: Work, id: str, properties: Properties, _before: Properties) -> Result:
    return await work.nested.update(work.stack_id, id, properties)


async def _delete(work: Work, id: str, _properties: Properties) -> None:
    await work.nested.delete(work.stack_id, id)


NESTED = ResourceKind(
    _create,
    _delete,
    _update,
    required=("TemplateURL",),
    name=NameRule("StackName", 128, is_id=True),
    tags="list",
    looks_closer=True,
)
