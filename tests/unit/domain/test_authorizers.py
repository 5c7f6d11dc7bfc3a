"""Identities are found where an authorizer says; answers let in whom they name."""

from typing import Any

import pytest

from lambdabox.domain.authorizers import (
    AnswerError,
    Authorizer,
    AuthorizerKind,
    Identity,
    answer_of,
)
from lambdabox.domain.policies import Effect

ARN = "arn:aws:execute-api:r:000000000000:a1/prod/GET/pets"
ASKED = Authorizer("z1", AuthorizerKind.REQUEST)
SIMPLE = Authorizer("z1", AuthorizerKind.REQUEST, is_simple=True)
IDENTITY = Identity(
    headers={"authorization": "me", "empty": ""},
    query={"key": "k"},
    stage_variables={"color": "red"},
    context={"routeKey": "GET /a", "identity": {"sourceIp": "1.2.3.4", "user": None}},
)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("$request.header.Authorization", "me"),
        ("method.request.header.Authorization", "me"),
        ("$request.querystring.key", "k"),
        ("method.request.querystring.key", "k"),
        ("$stageVariables.color", "red"),
        ("stageVariables.color", "red"),
        ("$context.routeKey", "GET /a"),
        ("context.identity.sourceIp", "1.2.3.4"),
    ],
)
def test_an_identity_is_where_its_source_says(source: str, value: str) -> None:
    assert IDENTITY.values([source]) == (value,)


@pytest.mark.parametrize(
    "source",
    [
        "$request.header.Other", "$request.header.Empty", "context.identity", "$context.a.b.c",
        "context.identity.user", "$request.body", "", "header.Authorization",
    ],
)  # fmt: skip
def test_one_that_is_missing_makes_nobody(source: str) -> None:
    assert IDENTITY.values(["$request.header.Authorization", source]) is None


def test_without_sources_everybody_is_asked_about() -> None:
    assert IDENTITY.values([]) == ()


def policy(*statements: dict[str, Any], **more: Any) -> dict[str, Any]:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    return {"principalId": "me", "policyDocument": document, **more}


def rule(effect: str, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("statements", "effect"),
    [
        ([rule("Allow", ARN)], Effect.ALLOW),
        ([rule("Allow", "*")], Effect.ALLOW),
        ([rule("Allow", ["x", "arn:aws:execute-api:*:*:a1/*/GET/*"])], Effect.ALLOW),
        ([rule("Allow", "arn:aws:execute-api:r:000000000000:a1/prod/PUT/*")], None),
        ([rule("Allow", "*", Action="execute-api:Manage")], None),
        ([rule("Allow", "*"), rule("Deny", ARN)], Effect.DENY),
        ([rule("Allow", "*", Condition={"IpAddress": {"aws:SourceIp": "1.2.3.0/24"}})],
         Effect.ALLOW),
        ([rule("Allow", "*", Condition={"IpAddress": {"aws:SourceIp": "9.2.3.0/24"}})], None),
    ],
)  # fmt: skip
def test_a_policy_is_applied_to_a_request(
    statements: list[dict[str, Any]], effect: Effect | None
) -> None:
    answer = answer_of(policy(*statements), ASKED, is_rest=True)
    assert answer.effect(ARN, "1.2.3.4") is effect
    assert answer.principal == "me"


@pytest.mark.parametrize("is_authorized", [True, False])
def test_a_simple_answer_is_yes_or_no(is_authorized: bool) -> None:
    given = {"isAuthorized": is_authorized, "context": {"list": [1], "map": {"a": "b"}}}
    answer = answer_of(given, SIMPLE, is_rest=False)
    assert answer.effect(ARN, "") is (Effect.ALLOW if is_authorized else None)
    assert answer.context == given["context"]


@pytest.mark.parametrize(
    ("result", "authorizer"),
    [
        (None, ASKED),
        ("yes", SIMPLE),
        ({}, ASKED),
        ({}, SIMPLE),
        ({"isAuthorized": "true"}, SIMPLE),
        ({"isAuthorized": 1}, SIMPLE),
        ({"isAuthorized": True}, ASKED),
        ({"isAuthorized": True, "context": []}, SIMPLE),
        (policy(rule("Allow", "*")), SIMPLE),
        (policy(), ASKED),
        (policy(rule("Maybe", "*")), ASKED),
        (policy({"Action": "execute-api:Invoke", "Effect": "Allow"}), ASKED),
        (policy(rule("Allow", "*"), principalId=5), ASKED),
        (policy(rule("Allow", "*"), context={"a": [1]}), ASKED),
        (policy(rule("Allow", "*"), context={"a": None}), ASKED),
        ({"policyDocument": "{}"}, ASKED),
    ],
)
def test_what_is_malformed_is_no_answer(result: Any, authorizer: Authorizer) -> None:
    with pytest.raises(AnswerError):
        answer_of(result, authorizer, is_rest=True)


def test_an_http_api_takes_any_context_with_a_policy() -> None:
    given = policy(rule("Allow", "*"), context={"a": [1]})
    assert answer_of(given, ASKED, is_rest=False).context == {"a": [1]}
