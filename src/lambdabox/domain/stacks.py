"""Stacks, their resources, events and change sets, and the states that they go through.

A stack that is being changed carries what it was (`before`) and what is left to delete
(`leavings`), so that whoever finds it after a crash knows how to bring it to an end.
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from lambdabox.domain.arn import Scope
from lambdabox.domain.values import dataclass

MAX_NAME = 128


class StackError(Exception):
    """A refusal that CloudFormation's caller is told. `code` is its name on the wire."""

    def __init__(self, message: str, code: str = "ValidationError", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Definition:
    """What a stack is made from."""

    text: str
    """The template as it was sent."""
    document: Mapping[str, Any]
    """The template with its transforms done."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    looked_up: Mapping[str, str] = field(default_factory=dict)
    """The values of parameters that name a value of Systems Manager."""
    capabilities: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    notification_arns: tuple[str, ...] = ()
    role_arn: str | None = None

    @property
    def values(self) -> Mapping[str, str]:
        return {**self.parameters, **self.looked_up}


@dataclass(frozen=True, slots=True)
class StackResource:
    logical_id: str
    type: str
    status: str
    changed: float
    physical_id: str = ""
    name: str = ""
    """The name made up for it; empty if the template names it, or it has none."""
    reason: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    deletion_policy: str = "Delete"
    replace_policy: str = "Delete"

    @property
    def is_there(self) -> bool:
        """Whether there is something to delete, if its creation has come to an end or not."""
        return bool(self.physical_id)


@dataclass(frozen=True, slots=True)
class StackOutput:
    name: str
    value: str
    description: str | None = None
    export: str | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    name: str
    id: str
    """The ARN."""
    status: str
    created: float
    reason: str | None = None
    updated: float | None = None
    deleted: float | None = None
    definition: Definition | None = None
    """What it is made from, or is being made from. None where only a change set is there."""
    previous: Definition | None = None
    """What it was made from before, while an update may still be undone."""
    resources: tuple[StackResource, ...] = ()
    before: tuple[StackResource, ...] = ()
    """The resources as they were before the update."""
    leavings: tuple[StackResource, ...] = ()
    """What is to be deleted when the change is done."""
    outputs: tuple[StackOutput, ...] = ()
    imports: tuple[str, ...] = ()
    """The exports of other stacks that it uses."""
    on_failure: str = "ROLLBACK"
    """ROLLBACK, DELETE or DO_NOTHING."""
    timeout_minutes: int | None = None
    is_protected: bool = False
    is_unwanted: bool = False
    """Whether it is to be deleted as soon as what is being done with it allows it."""
    retained: tuple[str, ...] = ()
    """What a deletion is to leave, by logical id."""
    change_set_id: str | None = None
    token: str | None = None
    event_count: int = 0
    parent_id: str | None = None
    """The stack of which it is a resource."""
    root_id: str | None = None
    """The first of those that hold it."""

    @property
    def scope(self) -> Scope:
        parts = self.id.split(":")
        return Scope(parts[4], parts[3])

    @property
    def uuid(self) -> str:
        return self.id.rpartition("/")[2]

    @property
    def is_busy(self) -> bool:
        """Whether somebody is changing it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW

    def resource(self, logical_id: str) -> StackResource | None:
        return next((each for each in self.resources if each.logical_id == logical_id), None)


REVIEW = "REVIEW_IN_PROGRESS"
UPDATABLE = frozenset({
    "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED",
    "CREATE_FAILED",
})  # fmt: skip
STACK_TYPE = "AWS::CloudFormation::Stack"


@dataclass(frozen=True, slots=True)
class StackEvent:
    id: str
    stack_id: str
    stack_name: str
    logical_id: str
    physical_id: str
    type: str
    status: str
    time: float
    reason: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a change set would do with one resource."""

    action: str
    """Add, Modify or Remove."""
    logical_id: str
    type: str
    physical_id: str | None = None
    replacement: str | None = None
    """True, False or Conditional."""
    properties: tuple[str, ...] = ()
    """Those that change."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    name: str
    id: str
    stack_id: str
    stack_name: str
    status: str
    execution_status: str
    created: float
    definition: Definition
    reason: str | None = None
    description: str | None = None
    is_create: bool = False
    on_failure: str | None = None
    changes: tuple[Change, ...] = ()
