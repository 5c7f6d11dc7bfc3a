"""Access policies: who may do what to which resource, and under which conditions.

The rules are pure and know nothing of functions: `decide` says what a policy makes of a
request. An explicit deny wins over every allow, and what nothing allows is not allowed.
How a policy is written, and read, is the business of `policy_documents`.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Literal

from lambdabox.domain.conditions import Condition, Context, holds
from lambdabox.domain.values import dataclass
from lambdabox.domain.wildcards import filled_in, fits, is_match

PrincipalKind = Literal["AWS", "Service", "Federated", "CanonicalUser"]
EVERYBODY = "*"

_ARN = re.compile(r"arn:(?P<partition>[^:]+):(?:iam|sts)::(?P<account>\d{12}):(?P<name>.+)")
_ASSUMED_ROLE = re.compile(r"assumed-role/(?P<role>.+)/[^/]+")


class Effect(StrEnum):
    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the names under which a policy may mean them."""

    kind: PrincipalKind | None
    """None for somebody of whom nothing is known."""
    names: frozenset[str] = frozenset()

    @classmethod
    def service(cls, name: str) -> "Caller":
        """Return the service that is called, say, s3.amazonaws.com."""
        return cls("Service", frozenset({name}))

    @classmethod
    def identity(cls, arn: str) -> "Caller":
        """Return the user, role or role session with this ARN, or the account's root.

        A policy that names an account means everybody in it, one that names a role means its
        sessions.
        """
        found = _ARN.fullmatch(arn)
        if found is None:
            return cls("AWS", frozenset({arn}))
        partition, account = found["partition"], found["account"]
        names = {arn, account, f"arn:{partition}:iam::{account}:root"}
        if session := _ASSUMED_ROLE.fullmatch(found["name"]):
            names.add(f"arn:{partition}:iam::{account}:role/{session['role']}")
        return cls("AWS", frozenset(names))


ANONYMOUS = Caller(None)


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """What somebody wants to do."""

    caller: Caller
    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Principals:
    """Whom a statement is about: those named, or everybody else."""

    names: Mapping[PrincipalKind, tuple[str, ...]]
    is_excluding: bool = False

    def include(self, caller: Caller) -> bool:
        return self._name(caller) is not self.is_excluding

    def _name(self, caller: Caller) -> bool:
        if EVERYBODY in self.names.get("AWS", ()):
            return True
        named = self.names.get(caller.kind, ()) if caller.kind else ()
        return EVERYBODY in named or not caller.names.isdisjoint(named)


@dataclass(frozen=True, slots=True)
class Names:
    """Which actions or resources a statement is about: those that fit, or all others."""

    patterns: tuple[str, ...]
    is_excluding: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule. `text` is how it is written, in JSON."""

    effect: Effect
    actions: Names
    text: str
    sid: str | None = None
    principals: Principals | None = None
    """None where the policy belongs to an identity, and is about that."""
    resources: Names | None = None
    """None means whatever the policy belongs to."""
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    statements: tuple[Statement, ...] = ()
    id: str | None = "default"
    version: str = "2012-10-17"


def allows(policy: Policy, request: AccessRequest) -> bool:
    """Whether `policy` lets the request pass, if nothing else forbids it."""
    return decide(policy, request) is Effect.ALLOW


def decide(policy: Policy, request: AccessRequest) -> Effect | None:
    """Return what `policy` says about a request: None if nothing."""
    effects = {each.effect for each in policy.statements if _applies(each, request)}
    if Effect.DENY in effects:
        return Effect.DENY
    return Effect.ALLOW if effects else None


def _applies(statement: Statement, request: AccessRequest) -> bool:
    return (
        (statement.principals is None or statement.principals.include(request.caller))
        and _includes_action(statement.actions, request.action)
        and _includes_resource(statement.resources, request)
        and all(holds(condition, request.context) for condition in statement.conditions)
    )


def _includes_action(actions: Names, action: str) -> bool:
    wanted = action.lower()
    is_named = any(is_match(pattern.lower(), wanted) for pattern in actions.patterns)
    return is_named is not actions.is_excluding


def _includes_resource(resources: Names | None, request: AccessRequest) -> bool:
    if resources is None:
        return True
    is_named = any(_resource_fits(pattern, request) for pattern in resources.patterns)
    return is_named is not resources.is_excluding


def _resource_fits(pattern: str, request: AccessRequest) -> bool:
    def value_of(name: str) -> str | None:
        values = request.context.get(name, ())
        return values[0] if len(values) == 1 else None

    tokens = filled_in(pattern, value_of)
    return tokens is not None and fits(tokens, request.resource)
