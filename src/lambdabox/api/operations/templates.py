"""Operations on templates: shown, checked and summed up, without anything being made."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from lambdabox.api import stack_shapes as shapes
from lambdabox.api.cloudformation import Handler
from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import Definition, StackError
from lambdabox.domain.templates import (
    Template,
    TemplateError,
    read_parameters,
    read_template,
    transforms,
)
from lambdabox.stacks.change_sets import ChangeSets
from lambdabox.stacks.preparation import Needed, Preparation, needed
from lambdabox.stacks.stacks import Stacks
from lambdabox.stacks.transforms import EXTENSIONS

Params = Mapping[str, Any]

_STAGES = ["Original", "Processed"]
_NESTED_AT = re.compile(r"""((?:Location|TemplateURL)["']?\s*:\s*["']?)http://[^/\s"']+/""")


class TemplateOperations:
    def __init__(self, stacks: Stacks, change_sets: ChangeSets, preparation: Preparation) -> None:
        self._stacks = stacks
        self._change_sets = change_sets
        self._preparation = preparation

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "GetStackPolicy": self._policy,
            "GetTemplate": self._get,
            "GetTemplateSummary": self._summary,
            "ValidateTemplate": self._validate,
        }

    async def _policy(self, scope: Scope, params: Params) -> Params:
        await self._stacks.get(scope, params["StackName"])
        return {}

    async def _get(self, scope: Scope, params: Params) -> Params:
        definition = await self._definition(scope, params)
        if definition is None:  # the CDK looks before it executes a new stack's change set
            return {"TemplateBody": "", "StagesAvailable": _STAGES[:1]}
        processed = params.get("TemplateStage") == "Processed"
        text = definition.text
        body = orjson.dumps(definition.document).decode() if processed else text
        return {"TemplateBody": _readdressed(body, scope), "StagesAvailable": _STAGES}

    async def _definition(self, scope: Scope, params: Params) -> Definition | None:
        """Return what is named; None for a stack that only a change set has been made for."""
        name, stack_name = params.get("ChangeSetName"), params.get("StackName")
        if name is not None:
            return (await self._change_sets.get(scope, name, stack_name)).definition
        if stack_name is None:
            raise StackError("StackName is required.")
        return (await self._stacks.get(scope, stack_name)).definition

    async def _validate(self, scope: Scope, params: Params) -> Params:
        document, template = await self._read(scope, params)
        told = needed(template)
        declared = read_parameters(document)
        return {
            "Parameters": [shapes.template_parameter(each) for each in declared.values()],
            "Description": document.get("Description"),
            **_capabilities(document, told),
        }

    async def _summary(self, scope: Scope, params: Params) -> Params:
        if params.get("StackName") and not (
            params.get("TemplateBody") or params.get("TemplateURL")
        ):
            definition = await self._definition(scope, params)
            if definition is None:
                raise StackError(f"Stack with id {params['StackName']} does not have a template")
            params = {"TemplateBody": None, "text": definition.text}
        document, template = await self._read(scope, params)
        told = needed(template)
        declared = read_parameters(document)
        types = {each.type for each in template.resources.values()}
        if EXTENSIONS not in transforms(document):
            types = {str(each.get("Type")) for each in document["Resources"].values()}
        metadata = document.get("Metadata")
        return {
            "Parameters": [shapes.declaration(each) for each in declared.values()],
            "Description": document.get("Description"),
            "ResourceTypes": sorted(types),
            "Version": _text(document.get("AWSTemplateFormatVersion")),
            "Metadata": None if metadata is None else orjson.dumps(metadata).decode(),
            **_capabilities(document, told),
        }

    async def _read(self, scope: Scope, params: Params) -> tuple[dict[str, Any], Template]:
        """Return a template as it was sent, and expanded as far as defaults allow."""
        text = params.get("text")
        if text is None:
            body, url = params.get("TemplateBody"), params.get("TemplateURL")
            text = await self._preparation.text(scope, body, url)
        document = await self._preparation.read(text)
        try:
            declared = read_parameters(document)
            if EXTENSIONS not in transforms(document):
                read_template({**document, "Transform": None})  # what is wrong without expansion
            values = {
                name: each.default for name, each in declared.items() if each.default is not None
            }
            expanded = await self._preparation.expanded(scope, document, values)
            return document, read_template(expanded)
        except TemplateError as exc:
            raise StackError(str(exc)) from exc


def _readdressed(text: str, scope: Scope) -> str:
    """Return a template whose nested ones lie where AWS has them.

    The SAM CLI names them by the address at which it found S3, and afterwards does not know
    its own names again unless they are AWS's.
    """
    return _NESTED_AT.sub(rf"\1https://s3.{scope.region}.amazonaws.com/", text)


def _capabilities(document: Params, told: Needed) -> dict[str, Any]:
    declared = transforms(document)
    expanding = ("CAPABILITY_AUTO_EXPAND",) if declared else ()
    return {
        "Capabilities": [*told.capabilities, *expanding],
        "CapabilitiesReason": told.reason,
        "DeclaredTransforms": list(declared),
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
