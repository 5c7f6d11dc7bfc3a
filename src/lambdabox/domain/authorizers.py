"""Authorizers of APIs: where a request says who it is, and what an answer lets it do.

A function of the API's owner answers with a policy, as IAM's are written, or with yes or no.
An answer is remembered for requests to other methods, so it is kept apart from what it means
for one of them. What is malformed lets nobody in.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lambdabox.domain.policies import ANONYMOUS, AccessRequest, Effect, Policy, decide
from lambdabox.domain.policy_documents import PolicyError, read

INVOKE_API = "execute-api:Invoke"
MAX_TTL_SECONDS = 3600
DEFAULT_TTL_SECONDS = 300

_SOURCE = re.compile(
    r"\$?(?:(?:method\.)?request\.(?P<part>header|querystring)|(?P<known>context|stageVariables))"
    r"\.(?P<name>.+)"
)


class AuthorizerKind(Enum):
    TOKEN = "TOKEN"  # noqa: S105  # a word of the API's
    REQUEST = "REQUEST"
    JWT = "JWT"


@dataclass(frozen=True, slots=True)
class Authorizer:
    """Who is asked about a request. Compared by value: a changed one remembers nothing."""

    id: str
    kind: AuthorizerKind
    identity_sources: Sequence[str] = ()
    ttl_seconds: float = 0
    function_arn: str = ""
    payload: str = ""
    """Of an HTTP API: the format of the event."""
    acts_in_role: bool = False
    is_simple: bool = False
    """Whether the function says yes or no, or returns a policy."""
    expression: str = ""
    """What a token has to look like, if it is to be asked about at all."""
    issuer: str = ""
    audience: Sequence[str] = ()


class AnswerError(ValueError):
    """What an authorizer's function answered is no answer. The message says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function said of somebody: of all methods, if it returned a policy."""

    policy: Policy | None = None
    is_authorized: bool = False
    """What it said, if that was no policy."""
    principal: str | None = None
    context: Mapping[str, Any] | None = None

    def effect(self, arn: str, source_ip: str) -> Effect | None:
        """Return what it means for the method with this ARN: None if nothing."""
        if self.policy is None:
            return Effect.ALLOW if self.is_authorized else None
        known = {"aws:sourceip": (source_ip,)} if source_ip else {}
        return decide(self.policy, AccessRequest(ANONYMOUS, INVOKE_API, arn, known))


@dataclass(frozen=True, slots=True)
class Authorized:
    """What the function behind a route is told of somebody who was let in."""

    principal: str | None = None
    context: Mapping[str, Any] | None = None
    claims: Mapping[str, str] | None = None
    """Of a token, if it was one that was checked here."""
    scopes: Sequence[str] | None = None
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """The parts of a request in which identities are looked for. Names of headers are lower."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    stage_variables: Mapping[str, str]
    context: Mapping[str, Any] = field(default_factory=dict)

    def values(self, sources: Sequence[str]) -> tuple[str, ...] | None:
        """Return the value of each source; None if one is missing or empty."""
        found = [self._value(source) for source in sources]
        values = tuple(each for each in found if each)
        return values if len(values) == len(found) else None

    def _value(self, source: str) -> str | None:
        match = _SOURCE.fullmatch(source)
        if match is None:
            return None
        name = match["name"]
        if match["part"] == "header":
            return self.headers.get(name.lower())
        if match["part"] == "querystring":
            return self.query.get(name)
        if match["known"] == "stageVariables":
            return self.stage_variables.get(name)
        value: Any = self.context
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return str(value) if isinstance(value, str | int) else None


def answer_of(result: Any, authorizer: Authorizer, *, is_rest: bool) -> Answer:
    """Return what a function's result says. Raises AnswerError."""
    if not isinstance(result, dict):
        raise AnswerError("it is not an object")
    context = result.get("context")
    if not isinstance(context, dict | None):
        raise AnswerError("its context is not an object")
    if authorizer.is_simple:
        authorized = result.get("isAuthorized")
        if not isinstance(authorized, bool):
            raise AnswerError("its isAuthorized is neither true nor false")
        return Answer(is_authorized=authorized, context=context)
    if is_rest and not all(
        isinstance(each, str | int | float) for each in (context or {}).values()
    ):
        raise AnswerError("its context has a value that is no string, number or boolean")
    principal = result.get("principalId")
    if not isinstance(principal, str | None):
        raise AnswerError("its principalId is not a string")
    return Answer(_policy(result.get("policyDocument")), principal=principal, context=context)


def _policy(document: Any) -> Policy:
    if not isinstance(document, dict):
        raise AnswerError("its policyDocument is not an object")
    try:
        policy = read(json.dumps(document), needs_principals=False)
    except PolicyError as exc:
        raise AnswerError(f"its policyDocument is no policy: {exc}") from exc
    # Elsewhere a statement without one is about what the policy belongs to; this is nobody's.
    if any(statement.resources is None for statement in policy.statements):
        raise AnswerError("a statement of its policyDocument has no Resource")
    return policy
