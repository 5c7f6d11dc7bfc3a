"""What a template asks to be made of it before it is read: includes, loops, SAM's resources.

As on AWS, what is included comes first, for it stands deepest; then what the template names
in `Transform`, in that order.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import anyio.to_thread

from lambdabox.aws_ports import AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.template_loops import unrolled, with_policies
from lambdabox.domain.template_parameters import typed
from lambdabox.domain.template_values import Surroundings, Values
from lambdabox.domain.templates import Template, TemplateError, read_parameters, transforms
from lambdabox.stacks.fetching import fetched, object_of
from lambdabox.stacks.template_text import read_text

Expand = Callable[[Mapping[str, Any], Mapping[str, Any], str], Awaitable[dict[str, Any]]]
"""Expands a SAM template, given the values of parameters and the region. Raises TemplateError."""

SAM = "AWS::Serverless-2016-10-31"
EXTENSIONS = "AWS::LanguageExtensions"
INCLUDE = "AWS::Include"
MAX_INCLUDES = 20


class Transforms:
    def __init__(self, services: AwsServices, expand_sam: Expand) -> None:
        self._services = services
        self._expand_sam = expand_sam

    async def expanded(
        self, scope: Scope, document: Mapping[str, Any], values: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return a template with its transforms done. Raises TemplateError and StackError."""
        names = transforms(document)
        evaluated = _values(scope, document, values)
        inclusion = _Inclusion(self._services, scope, evaluated)
        expanded: dict[str, Any] = await inclusion.of(dict(document))
        for name in names:
            if name == SAM:
                declared = read_parameters(document)
                given = {each: typed(declared[each], text) for each, text in values.items()}
                expanded = await self._expand_sam(expanded, given, scope.region)
            elif name == EXTENSIONS:
                expanded = with_policies(unrolled(expanded, evaluated.of), evaluated.of)
            else:
                raise TemplateError(f"No transform named {name} found.")
        expanded.pop("Transform", None)
        return expanded


def _values(scope: Scope, document: Mapping[str, Any], values: Mapping[str, str]) -> Values:
    """Return what values come to before there are resources."""
    sections = {
        name: section
        for name in ("Mappings", "Conditions")
        if isinstance(section := document.get(name), dict)
    }
    declared = read_parameters(document)
    template = Template(
        resources={},
        parameters=declared,
        mappings=sections.get("Mappings", {}),
        conditions=sections.get("Conditions", {}),
    )
    # Who only looks at a template gives no values.
    known = {**dict.fromkeys(declared, ""), **values}
    around = Surroundings(scope.account, scope.region, "", "", parameters=known)
    return Values(template, around, lambda _logical_id: None)


class _Inclusion:
    """Puts what `Fn::Transform` includes in its place, beside what stands there already."""

    def __init__(self, services: AwsServices, scope: Scope, values: Values) -> None:
        self._services = services
        self._scope = scope
        self._values = values
        self._left = MAX_INCLUDES

    async def of(self, value: Any) -> Any:
        match value:
            case dict():
                found = {name: await self.of(each) for name, each in value.items()}
                if "Fn::Transform" not in found:
                    return found
                asked = found.pop("Fn::Transform")
                return {**await self._included(asked), **found}
            case list():
                return [await self.of(each) for each in value]
            case _:
                return value

    async def _included(self, asked: Any) -> dict[str, Any]:
        match asked:
            case {"Name": "AWS::Include", "Parameters": {"Location": location}}:
                pass
            case {"Name": str(name)}:
                raise TemplateError(f"No transform named {name} found.")
            case _:
                raise TemplateError("Template error: Fn::Transform requires a Name and Parameters")
        self._left -= 1
        if self._left < 0:
            raise TemplateError(
                f"Transform {INCLUDE} failed with: there are more than {MAX_INCLUDES} includes"
            )
        url = self._values.of(location)
        if not isinstance(url, str) or not url.startswith("s3://"):
            raise TemplateError(
                f"Transform {INCLUDE} failed with: The location parameter is not a valid S3 uri."
            )
        text = await fetched(self._services, self._scope, object_of(url), url)
        included: dict[str, Any] = await anyio.to_thread.run_sync(read_text, text)
        return included
