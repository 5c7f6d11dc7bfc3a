"""What names a layer, and who may use one."""

import json
from dataclasses import replace

import pytest

from lambdabox.domain.arn import LATEST, FunctionKey, Scope
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.domain.functions import Code, Deployment, FunctionSettings, LayerUse
from lambdabox.domain.layers import (
    LayerGrant,
    LayerKey,
    LayerPolicy,
    LayerVersion,
    parse_layer,
    parse_version_arn,
)

SCOPE = Scope("123456789012", "us-east-1")
KEY = LayerKey(SCOPE.account, SCOPE.region, "shared")
VERSION = LayerVersion(KEY, 3, Code("ab" * 32, 10), 20, 0.0)
OTHER = "210987654321"


def test_a_layer_is_named_by_its_name_or_arn() -> None:
    assert parse_layer("shared", SCOPE) == KEY
    assert parse_layer(KEY.arn, SCOPE) == KEY
    foreign = replace(KEY, account=OTHER)
    assert parse_layer(foreign.arn, SCOPE) == foreign
    with pytest.raises(ResourceNotFoundException, match="eu-west-1"):
        parse_layer(replace(KEY, region="eu-west-1").arn, SCOPE)


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (f"{KEY.arn}:1", (KEY, 1)),
        (f"{KEY.arn}:999999999", (KEY, 999_999_999)),
        (f"{KEY.arn}:0", None),
        (f"{KEY.arn}:01", None),
        (f"{KEY.arn}:9999999999", None),
        ("arn:aws:lambda:::awslayer:AmazonLinux1803", None),
    ],
)
def test_a_version_is_named_by_its_arn(arn: str, expected: tuple[LayerKey, int] | None) -> None:
    assert parse_version_arn(arn) == expected


@pytest.mark.parametrize(
    ("grant", "account", "organization", "expected"),
    [
        (LayerGrant("s", OTHER), OTHER, None, True),
        (LayerGrant("s", OTHER), "111111111111", None, False),
        (LayerGrant("s", f"arn:aws:iam::{OTHER}:root"), OTHER, None, True),
        (LayerGrant("s", f"arn:aws:iam::{OTHER}:root"), "111111111111", None, False),
        (LayerGrant("s", "*"), OTHER, None, True),
        (LayerGrant("s", "*", "o-exampleorg1"), OTHER, None, False),
        (LayerGrant("s", "*", "o-exampleorg1"), OTHER, "o-exampleorg1", True),
        (LayerGrant("s", "*", "o-exampleorg1"), OTHER, "o-anotherorg1", False),
        (LayerGrant("s", OTHER, "o-exampleorg1"), "111111111111", "o-exampleorg1", False),
    ],
)
def test_a_grant_opens_a_version(
    grant: LayerGrant, account: str, organization: str | None, expected: bool
) -> None:
    assert not VERSION.is_open_to(account, organization)
    opened = replace(VERSION, policy=LayerPolicy("revision", (grant,)))
    assert opened.is_open_to(account, organization) is expected
    assert opened.is_open_to(SCOPE.account, None)


def test_a_policy_is_a_document_of_iam() -> None:
    policy = LayerPolicy("revision", (LayerGrant("one", "*", "o-exampleorg1"),))
    assert json.loads(policy.document(VERSION.arn)) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [
            {
                "Sid": "one",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "lambda:GetLayerVersion",
                "Resource": f"{KEY.arn}:3",
                "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-exampleorg1"}},
            }
        ],
    }


def test_a_deployment_names_the_content_of_its_layers_once_each() -> None:
    uses = tuple(LayerUse(f"arn{n}", 1, digest) for n, digest in enumerate(["a", "b", "a", ""]))
    settings = FunctionSettings(role="role", layers=uses)
    key = FunctionKey(SCOPE.account, SCOPE.region, "hello")
    deployment = Deployment("id", key, LATEST, settings, Code("code", 1))
    assert deployment.digests == ("code", "b", "a")
