"""Templates as people write them, YAML with CloudFormation's tags or JSON, to plain objects.

YAML's own ideas of dates and of `yes` are not CloudFormation's. Aliases may make a small text
enormous, so that what is read is counted before anybody walks through it.
"""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from lambdabox.domain.templates import TemplateError

MAX_VALUES = 200_000
MAX_DEPTH = 100


def read_text(text: str) -> Any:
    """Return the object that a template's text is. Raises TemplateError."""
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else _yaml(text)
    except RecursionError:
        raise TemplateError("Template format error: the template is nested too deeply.") from None
    except json.JSONDecodeError as exc:
        raise TemplateError(
            f"Template format error: JSON not well-formed. (line {exc.lineno}, column {exc.colno})"
        ) from exc
    if not isinstance(document, dict):
        raise TemplateError("Template format error: unsupported structure.")
    if any(number > MAX_VALUES for number, _ in enumerate(_values(document))):
        raise TemplateError(f"Template format error: it holds more than {MAX_VALUES} values.")
    return document


def _values(document: Any) -> Iterator[None]:
    """One for each value in a document, however often an alias leads to it."""
    waiting = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        yield None
        if depth > MAX_DEPTH:
            raise TemplateError("Template format error: the template is nested too deeply.")
        children = value.values() if isinstance(value, dict) else value
        if isinstance(value, dict | list):
            waiting.extend((child, depth + 1) for child in children)


def _yaml(text: str) -> Any:
    # Imported here, as everywhere in this module: templates are rare.
    import yaml

    try:
        return yaml.load(text, Loader=_loader())  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise TemplateError(
            f"Template format error: YAML not well-formed.{where} {exc.problem or ''}".rstrip()
        ) from exc
    except (yaml.YAMLError, ValueError, TypeError) as exc:
        raise TemplateError(f"Template format error: YAML not well-formed. {exc}") from exc


@cache
def _loader() -> Any:
    import yaml

    resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    # A class of its own: it knows `!Ref` and the others, and leaves dates as they are written.
    loader: Any = type("Loader", (yaml.SafeLoader,), {"yaml_implicit_resolvers": resolvers})
    loader.add_multi_constructor("!", _short_form)
    return loader


def _short_form(loader: Any, tag: str, node: Any) -> Any:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        argument = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        argument = loader.construct_sequence(node, deep=True)
    else:
        argument = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(argument, str):
        argument = argument.split(".", 1)
    return {tag if tag in ("Ref", "Condition") else f"Fn::{tag}": argument}
