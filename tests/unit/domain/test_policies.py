import pytest

from lambdabox.domain.policies import (
    ANONYMOUS,
    AccessRequest,
    Caller,
    Effect,
    allows,
    decide,
)
from lambdabox.domain.policy_documents import Grant, PolicyError, read, statement_of, write

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:f"
S3 = Caller.service("s3.amazonaws.com")
INVOKE = "lambda:InvokeFunction"


def policy_text(*statements: str) -> str:
    return f'{{"Version":"2012-10-17","Statement":[{",".join(statements)}]}}'


def rule(
    effect: str = "Allow",
    *,
    principal: str = '"*"',
    action: str = f'"{INVOKE}"',
    resource: str = f'"{FUNCTION}"',
    more: str = "",
) -> str:
    return (
        f'{{"Effect":"{effect}","Principal":{principal},"Action":{action},"Resource":{resource}'
        f"{more}}}"
    )


def is_allowed(
    *statements: str,
    caller: Caller = S3,
    action: str = INVOKE,
    resource: str = FUNCTION,
    **context: str,
) -> bool:
    known = {key.replace("_", ":").lower(): (value,) for key, value in context.items()}
    return allows(read(policy_text(*statements)), AccessRequest(caller, action, resource, known))


def test_what_nothing_allows_is_not_allowed() -> None:
    other = rule(action='"lambda:GetFunction"')
    assert not is_allowed(other)
    assert decide(read(policy_text(other)), AccessRequest(S3, INVOKE, FUNCTION)) is None


def test_an_explicit_deny_wins() -> None:
    assert is_allowed(rule())
    assert not is_allowed(rule(), rule("Deny", principal='{"Service":"s3.amazonaws.com"}'))
    assert not is_allowed(rule("Deny"), rule())
    denied = decide(read(policy_text(rule("Deny"))), AccessRequest(S3, INVOKE, FUNCTION))
    assert denied is Effect.DENY


@pytest.mark.parametrize(
    ("principal", "caller", "expected"),
    [
        ('"*"', ANONYMOUS, True),
        ('{"AWS":"*"}', ANONYMOUS, True),
        ('{"AWS":"*"}', S3, True),
        ('{"Service":"s3.amazonaws.com"}', S3, True),
        ('{"Service":["sns.amazonaws.com","s3.amazonaws.com"]}', S3, True),
        ('{"Service":"sns.amazonaws.com"}', S3, False),
        ('{"AWS":"s3.amazonaws.com"}', S3, False),
        ('{"Service":"s3.amazonaws.com"}', ANONYMOUS, False),
        ('{"AWS":"111111111111"}', Caller.identity("arn:aws:iam::111111111111:user/u"), True),
        (
            '{"AWS":"arn:aws:iam::111111111111:root"}',
            Caller.identity("arn:aws:iam::111111111111:user/u"),
            True,
        ),
        ('{"AWS":"222222222222"}', Caller.identity("arn:aws:iam::111111111111:user/u"), False),
        (
            '{"AWS":"arn:aws:iam::111111111111:user/u"}',
            Caller.identity("arn:aws:iam::111111111111:user/v"),
            False,
        ),
        (
            '{"AWS":"arn:aws:iam::111111111111:role/r"}',
            Caller.identity("arn:aws:sts::111111111111:assumed-role/r/session"),
            True,
        ),
        (
            '{"AWS":"arn:aws:iam::111111111111:role/r"}',
            Caller.identity("arn:aws:sts::111111111111:assumed-role/q/r/session"),
            False,
        ),
    ],
)
def test_a_principal_is_named_exactly_or_as_its_account(
    principal: str, caller: Caller, expected: bool
) -> None:
    assert is_allowed(rule(principal=principal), caller=caller) is expected


def test_not_principal_means_everybody_else() -> None:
    text = policy_text(rule("Deny").replace('"Principal":"*"', '"NotPrincipal":{"AWS":"1"}'))
    assert decide(read(text), AccessRequest(S3, INVOKE, FUNCTION)) is Effect.DENY
    known = Caller("AWS", frozenset({"1"}))
    assert decide(read(text), AccessRequest(known, INVOKE, FUNCTION)) is None


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ('"lambda:*"', True),
        ('"*"', True),
        ('"LAMBDA:invoke*"', True),
        ('"lambda:Invoke?unction"', True),
        ('["lambda:GetFunction","lambda:InvokeFunction"]', True),
        ('"lambda:InvokeFunctionUrl"', False),
        ('"lambda:Invoke"', False),
        ('"s3:*"', False),
    ],
)
def test_actions_have_wildcards_and_no_case(action: str, expected: bool) -> None:
    assert is_allowed(rule(action=action)) is expected


def test_not_action_and_not_resource_mean_all_others() -> None:
    others = rule().replace('"Action"', '"NotAction"')
    assert not is_allowed(others)
    assert is_allowed(others, action="lambda:GetFunction")
    elsewhere = rule().replace('"Resource"', '"NotResource"')
    assert not is_allowed(elsewhere)
    assert is_allowed(elsewhere, resource=f"{FUNCTION}:prod")


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        (f"{FUNCTION}", f"{FUNCTION}:prod", False),
        (f"{FUNCTION}:*", f"{FUNCTION}:prod", True),
        (f"{FUNCTION}*", FUNCTION, True),
        ("*", FUNCTION, True),
        (f"{FUNCTION}".upper(), FUNCTION, False),
        ("arn:aws:lambda:us-east-1:${aws:principalaccount}:function:f", FUNCTION, False),
    ],
)
def test_a_resource_is_matched_with_its_qualifier(
    pattern: str, resource: str, expected: bool
) -> None:
    assert is_allowed(rule(resource=f'"{pattern}"'), resource=resource) is expected


def test_a_statement_without_a_resource_is_about_what_the_policy_belongs_to() -> None:
    assert is_allowed(rule().replace(f',"Resource":"{FUNCTION}"', ""))


def test_a_variable_is_filled_in_and_never_a_wildcard() -> None:
    mine = rule(resource='"arn:aws:lambda:us-east-1:000000000000:function:${aws:username}"')
    assert is_allowed(mine, aws_username="f")
    assert not is_allowed(mine, aws_username="*")


def test_all_conditions_must_hold() -> None:
    both = ',"Condition":{"StringEquals":{"aws:a":"1","aws:b":"2"}}'
    assert is_allowed(rule(more=both), aws_A="1", aws_b="2")
    assert not is_allowed(rule(more=both), aws_a="1")


@pytest.mark.parametrize(
    ("grant", "text"),
    [
        (
            Grant("s3", INVOKE, "s3.amazonaws.com", source_arn="arn:aws:s3:::b",
                  source_account="000000000000"),
            ('{"Sid":"s3","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},'
            f'"Action":"{INVOKE}","Resource":"{FUNCTION}","Condition":{{"StringEquals":'
            '{"AWS:SourceAccount":"000000000000"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"}}}'),
        ),
        (
            Grant("a", "lambda:*", "111111111111", organization="o-abcdefghij"),
            ('{"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},'
            f'"Action":"lambda:*","Resource":"{FUNCTION}","Condition":{{"StringEquals":'
            '{"aws:PrincipalOrgID":"o-abcdefghij"}}}'),
        ),
        (
            Grant("url", "lambda:InvokeFunctionUrl", "*", url_auth_type="NONE"),
            ('{"Sid":"url","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl",'
            f'"Resource":"{FUNCTION}","Condition":{{"StringEquals":'
            '{"lambda:FunctionUrlAuthType":"NONE"}}}'),
        ),
        (
            Grant("via", INVOKE, "*", via_function_url=True),
            (f'{{"Sid":"via","Effect":"Allow","Principal":"*","Action":"{INVOKE}",'
            f'"Resource":"{FUNCTION}","Condition":{{"Bool":'
            '{"lambda:InvokedViaFunctionUrl":"true"}}}'),
        ),
        (
            Grant("alexa", INVOKE, "alexa-appkit.amazon.com", event_source_token="amzn1.t"),
            ('{"Sid":"alexa","Effect":"Allow","Principal":{"Service":"alexa-appkit.amazon.com"},'
            f'"Action":"{INVOKE}","Resource":"{FUNCTION}","Condition":{{"StringEquals":'
            '{"lambda:EventSourceToken":"amzn1.t"}}}'),
        ),
        (
            Grant("role", INVOKE, "arn:aws:iam::111111111111:role/path/r"),
            ('{"Sid":"role","Effect":"Allow","Principal":'
            f'{{"AWS":"arn:aws:iam::111111111111:role/path/r"}},"Action":"{INVOKE}",'
            f'"Resource":"{FUNCTION}"}}'),
        ),
    ],
)  # fmt: skip
def test_a_permission_becomes_the_statement_that_aws_writes(grant: Grant, text: str) -> None:
    statement = statement_of(grant, FUNCTION)
    assert statement.text == text
    assert read(policy_text(text)).statements == (statement,)


@pytest.mark.parametrize(
    "principal", ["nobody", "invalid.nonaws.com", "12345", "arn:aws:s3:::b", "amazonaws.com", ""]
)
def test_a_principal_that_is_nobody_is_refused(principal: str) -> None:
    with pytest.raises(PolicyError, match="The provided principal was invalid"):
        statement_of(Grant("s", INVOKE, principal), FUNCTION)


def test_a_policy_is_written_as_it_was_read() -> None:
    text = policy_text(
        rule(action='["lambda:*"]', more=',"Condition":{"Bool":{"a":[true,"false"]}}')
    )
    assert write(read(text)) == text
    named = f'{{"Version":"2008-10-17","Id":"mine","Statement":[{rule()}]}}'
    assert write(read(named)) == named
    assert write(read(rule_alone := f'{{"Statement":{rule()}}}')) != rule_alone


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "The policy is not valid JSON"),
        ("[" * 100_000, "The policy is"),
        ("[]", "The policy is not a JSON object"),
        ("{}", "The policy must have a Statement"),
        ('{"Statement":[]}', "The policy must have a Statement"),
        ('{"Statement":[1]}', "A statement must be a JSON object"),
        ('{"Version":"1","Statement":[]}', "The policy's Version must be one of"),
        ('{"Version":{},"Statement":[]}', "The policy's Version must be one of"),
        ('{"Id":1,"Statement":[]}', "The policy's Id must be a string"),
        ('{"Rules":[]}', "A policy has no member 'Rules'"),
        (policy_text(rule("allow")), "The Effect of a statement must be Allow or Deny"),
        (policy_text(rule(more=',"Sid":1')), "The Sid of a statement must be a string"),
        (policy_text(rule(more=',"Effect":"Deny"')), "The policy has a member twice"),
        (policy_text(rule(action="[]")), "Action must be a string or a list of strings"),
        (policy_text(rule(action="7")), "Action must be a string or a list of strings"),
        (policy_text(rule(resource="null")), "Resource must be a string or a list of strings"),
        (policy_text(rule(principal='"me"')), "A Principal must be"),
        (policy_text(rule(principal='{"Me":"*"}')), "A Principal has no member 'Me'"),
        (policy_text(rule(more=',"NotAction":"*"')), "cannot have both Action and NotAction"),
        (policy_text(rule(more=',"Condition":[]')), "A Condition must be a JSON object"),
        (policy_text(rule(more=',"Condition":{"Bool":[]}')), "The Condition 'Bool' must be"),
        (policy_text(rule(more=',"Condition":{"Same":{"a":"b"}}')), "no condition operator 'Same'"),
        (
            policy_text(rule(more=',"Condition":{"Bool":{"a":{"b":"c"}}}')),
            "The condition key 'a' must have values of strings",
        ),
        (
            policy_text(rule(more=',"Condition":{"NumericEquals":{"a":1e999}}')),
            "The condition key 'a' must have values of strings",
        ),
        (
            policy_text(rule(more=',"Condition":{"NumericEquals":{"a":NaN}}')),
            "NaN is no JSON value",
        ),
        (
            policy_text('{"Effect":"Allow","Action":"*","Resource":"*"}'),
            "A statement must have a Principal",
        ),
        (
            policy_text('{"Effect":"Allow","Principal":"*","Resource":"*"}'),
            "A statement must have an Action",
        ),
        (
            policy_text(rule(more=',"Sid":"a"'), rule(more=',"Sid":"a"')),
            "The Sid of a statement must be unique",
        ),
    ],
)
def test_what_is_no_policy_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(PolicyError) as error:
        read(text)
    assert complaint in str(error.value)


def test_a_policy_of_an_identity_has_no_principals() -> None:
    text = policy_text('{"Effect":"Allow","Action":"lambda:*","Resource":"*"}')
    policy = read(text, needs_principals=False)
    assert allows(policy, AccessRequest(ANONYMOUS, INVOKE, FUNCTION))
