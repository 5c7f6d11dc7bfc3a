"""Access policies as JSON: read what users write, write what AWS writes.

A statement keeps the text it was read from, so that a policy is shown as it was given: one
action stays a string, a list stays a list, and nothing that we do not know is lost.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args

from lambdabox.domain.conditions import Condition, ConditionError
from lambdabox.domain.conditions import parse as parse_condition
from lambdabox.domain.policies import (
    EVERYBODY,
    Effect,
    Names,
    Policy,
    PrincipalKind,
    Principals,
    Statement,
)
from lambdabox.domain.values import dataclass

VERSIONS = ("2012-10-17", "2008-10-17")

_KINDS: tuple[PrincipalKind, ...] = get_args(PrincipalKind)
_MEMBERS = frozenset({
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource",
    "NotResource", "Condition",
})  # fmt: skip
_ACCOUNT = re.compile(r"\d{12}")
_SERVICE = re.compile(r"([a-z0-9-]+\.)+(amazonaws\.com(\.cn)?|amazon\.com)")
_IDENTITY = re.compile(r"arn:aws[a-zA-Z-]*:(iam|sts)::\d{12}:(root|(user|role|assumed-role)/\S+)")


class PolicyError(ValueError):
    """What is given is no policy, or no principal. The message says why."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a permission lets whom do: the members of AddPermission and its like."""

    sid: str
    action: str
    principal: str
    source_arn: str | None = None
    source_account: str | None = None
    event_source_token: str | None = None
    url_auth_type: str | None = None
    via_function_url: bool | None = None
    organization: str | None = None


def statement_of(grant: Grant, resource: str) -> Statement:
    """Return the statement that AWS makes of a permission.

    Raises PolicyError for a principal that is nobody.
    """
    document: dict[str, Any] = {
        "Sid": grant.sid,
        "Effect": Effect.ALLOW.value,
        "Principal": _principal_of(grant.principal),
        "Action": grant.action,
        "Resource": resource,
    }
    conditions = _conditions_of(grant)
    if conditions:
        document["Condition"] = conditions
    return _statement(document)


def write(policy: Policy) -> str:
    """Return the policy in JSON, in the order in which AWS writes it."""
    name = "" if policy.id is None else f'"Id":{_text(policy.id)},'
    statements = ",".join(statement.text for statement in policy.statements)
    return f'{{"Version":{_text(policy.version)},{name}"Statement":[{statements}]}}'


def read(text: str, *, needs_principals: bool = True) -> Policy:
    """Return the policy that a JSON document holds. Raises PolicyError."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except RecursionError as exc:
        raise PolicyError("The policy is nested too deeply.") from exc
    except PolicyError:
        raise
    except ValueError as exc:
        raise PolicyError(f"The policy is not valid JSON: {exc}.") from exc
    if not isinstance(document, dict):
        raise PolicyError("The policy is not a JSON object.")
    _refuse_unknown(document, frozenset({"Version", "Id", "Statement"}), "policy")
    version = document.get("Version", VERSIONS[-1])
    if version not in VERSIONS:
        raise PolicyError(f"The policy's Version must be one of {', '.join(VERSIONS)}.")
    name = document.get("Id")
    if name is not None and not isinstance(name, str):
        raise PolicyError("The policy's Id must be a string.")
    statements = _statements(document.get("Statement"), needs_principals=needs_principals)
    return Policy(statements, name, version)


def _statements(given: Any, *, needs_principals: bool) -> tuple[Statement, ...]:
    listed = [given] if isinstance(given, dict) else given
    if not isinstance(listed, list) or not listed:
        raise PolicyError("The policy must have a Statement, an object or a list of objects.")
    statements = tuple(_statement(each, needs_principals=needs_principals) for each in listed)
    sids = [statement.sid for statement in statements if statement.sid is not None]
    if len(sids) != len(set(sids)):
        raise PolicyError("The Sid of a statement must be unique in the policy.")
    return statements


def _statement(document: Any, *, needs_principals: bool = True) -> Statement:
    if not isinstance(document, dict):
        raise PolicyError("A statement must be a JSON object.")
    _refuse_unknown(document, _MEMBERS, "statement")
    sid = document.get("Sid")
    if sid is not None and not isinstance(sid, str):
        raise PolicyError("The Sid of a statement must be a string.")
    effect = document.get("Effect")
    if effect not in list(Effect):
        raise PolicyError("The Effect of a statement must be Allow or Deny.")
    actions = _names(document, "Action")
    if actions is None:
        raise PolicyError("A statement must have an Action or a NotAction.")
    principals = _principals(document)
    if needs_principals and principals is None:
        raise PolicyError("A statement must have a Principal or a NotPrincipal.")
    return Statement(
        Effect(effect),
        actions,
        _text(document),
        sid,
        principals,
        _names(document, "Resource"),
        tuple(_conditions(document.get("Condition", {}))),
    )


def _names(document: Mapping[str, Any], member: str) -> Names | None:
    """Read `member` or, of those that are not meant, `Not{member}`."""
    excluding = f"Not{member}"
    if member in document and excluding in document:
        raise PolicyError(f"A statement cannot have both {member} and {excluding}.")
    if excluding in document:
        return Names(_strings(document[excluding], excluding), is_excluding=True)
    return Names(_strings(document[member], member)) if member in document else None


def _principals(document: Mapping[str, Any]) -> Principals | None:
    if "Principal" in document and "NotPrincipal" in document:
        raise PolicyError("A statement cannot have both Principal and NotPrincipal.")
    is_excluding = "NotPrincipal" in document
    given = document.get("NotPrincipal" if is_excluding else "Principal")
    if given is None:
        return None
    if given == EVERYBODY:
        return Principals({"AWS": (EVERYBODY,)}, is_excluding)
    if not isinstance(given, dict) or not given:
        raise PolicyError('A Principal must be "*" or an object such as {"Service": "…"}.')
    _refuse_unknown(given, frozenset(_KINDS), "Principal")
    names = {kind: _strings(given[kind], "Principal") for kind in _KINDS if kind in given}
    return Principals(names, is_excluding)


def _conditions(given: Any) -> Iterator[Condition]:
    if not isinstance(given, dict):
        raise PolicyError("A Condition must be a JSON object.")
    for operator, keys in given.items():
        if not isinstance(keys, dict) or not keys:
            raise PolicyError(f"The Condition {operator!r} must be an object with a condition key.")
        for key, value in keys.items():
            try:
                yield parse_condition(operator, key, _values(value, key))
            except ConditionError as exc:
                raise PolicyError(str(exc)) from exc


def _values(given: Any, key: str) -> tuple[str, ...]:
    """Values of a condition may be booleans and numbers, too."""
    listed = given if isinstance(given, list) else [given]
    if not all(isinstance(each, str | int) or _is_finite(each) for each in listed):
        raise PolicyError(f"The condition key {key!r} must have values of strings.")
    return tuple(each if isinstance(each, str) else json.dumps(each) for each in listed)


def _is_finite(given: Any) -> bool:
    return isinstance(given, float) and math.isfinite(given)


def _strings(given: Any, member: str) -> tuple[str, ...]:
    listed = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(each, str) and each for each in listed):
        raise PolicyError(f"{member} must be a string or a list of strings.")
    return tuple(cast("list[str]", listed))


def _principal_of(given: str) -> str | dict[str, str]:
    if given == EVERYBODY:
        return EVERYBODY
    if _ACCOUNT.fullmatch(given):
        return {"AWS": f"arn:aws:iam::{given}:root"}
    if _IDENTITY.fullmatch(given):
        return {"AWS": given}
    if _SERVICE.fullmatch(given):
        return {"Service": given}
    raise PolicyError(
        "The provided principal was invalid. Please check the principal and try again."
    )


def _conditions_of(grant: Grant) -> dict[str, dict[str, str]]:
    strings = {
        "AWS:SourceAccount": grant.source_account,
        "lambda:EventSourceToken": grant.event_source_token,
        "lambda:FunctionUrlAuthType": grant.url_auth_type,
        "aws:PrincipalOrgID": grant.organization,
    }
    via_url = None if grant.via_function_url is None else _text(grant.via_function_url)
    groups = {
        "StringEquals": strings,
        "Bool": {"lambda:InvokedViaFunctionUrl": via_url},
        "ArnLike": {"AWS:SourceArn": grant.source_arn},
    }
    given = {
        operator: {key: value for key, value in keys.items() if value is not None}
        for operator, keys in groups.items()
    }
    return {operator: keys for operator, keys in given.items() if keys}


def _refuse_unknown(document: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    unknown = sorted(document.keys() - known)
    if unknown:
        raise PolicyError(f"A {what} has no member {unknown[0]!r}.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member given twice would be read differently by different readers."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise PolicyError("The policy has a member twice in the same object.")
    return dict(pairs)


def _refuse_constant(name: str) -> Any:
    raise PolicyError(f"The policy is not valid JSON: {name} is no JSON value.")


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
