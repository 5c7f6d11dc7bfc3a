"""What every kind of trigger can tell and do; the page that adds one knows no more of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lambdabox.console.forms import Form
from lambdabox.console.trigger_kinds.workbench import Workbench
from lambdabox.domain.errors import InvalidParameterValueException


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that exists and may be chosen."""

    value: str
    title: str


class TriggerKind(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def noun(self) -> str:
        """What the source is called, `queue`; empty if nothing is chosen or made."""

    def suggestion(self, function_name: str, /) -> str:
        """Return a name for a new source."""

    def plan(self, form: Form, /) -> Sequence[str]:
        """Return what `add` makes of a form for a new source, in sentences."""

    async def choices(self, bench: Workbench, /) -> Sequence[Choice]:
        """Return what exists. May wait for the service to start. Raises AwsCallError."""

    async def add(self, bench: Workbench, form: Form) -> None:
        """Make the trigger. Raises ApiError or AwsCallError; what was made stays."""


def chosen(form: Form, noun: str) -> str:
    """Return what exists and was chosen, empty if a new one is wanted."""
    if form.text("use") != "existing":
        return ""
    if not form.text("existing"):
        raise InvalidParameterValueException(f"Choose one that exists, or make a new {noun}.")
    return form.text("existing")


async def new_name(kind: TriggerKind, bench: Workbench, form: Form) -> str:
    """Return the name for a new one.

    Services take a name that is there already for the same thing, and some change that: who
    means it is to say so.
    """
    name = form.text("new_name")
    if not name:
        raise InvalidParameterValueException(f"The new {kind.noun or kind.title} needs a name.")
    if any(name in (each.value, each.title) for each in await kind.choices(bench)):
        raise InvalidParameterValueException(
            f"The {kind.noun} {name} is there already. Choose it as one that exists, or take "
            "another name."
        )
    return name
