"""What leads to a function and what follows it, as it is drawn."""

import json
from typing import Any

from lambdabox.console.triggers import End, sources_of
from lambdabox.domain.arn import Scope
from lambdabox.domain.function_sources import FunctionSource

SCOPE = Scope("000000000000", "us-east-1")

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:q"
BUCKET = "arn:aws:s3:::photos"


def mapping(**members: Any) -> dict[str, Any]:
    return {"FunctionArn": ARN, "EventSourceArn": QUEUE, "State": "Enabled", **members}


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def test_nothing_leads_to_a_function_that_is_alone() -> None:
    sources = sources_of([], None, None, None)
    assert (list(sources.before), list(sources.after)) == ([], [])


def test_mappings_name_their_source_and_whom_they_lead_to() -> None:
    found = sources_of([mapping(), mapping(FunctionArn=f"{ARN}:live")], None, None, None)
    assert found.before == [
        End("SQS", QUEUE, "Enabled", is_enabled=True),
        End("SQS", QUEUE, "Enabled", qualifier="live", is_enabled=True),
    ]


def test_a_cluster_of_ones_own_is_named_by_its_topics() -> None:
    own = {"FunctionArn": ARN, "Topics": ["orders", "refunds"], "State": "Creating"}
    assert sources_of([own], None, None, None).before == [
        End("Kafka", "orders, refunds", "Creating", is_enabled=True)
    ]


def test_services_that_the_policy_lets_in_are_drawn() -> None:
    document = policy(
        {
            "Principal": {"Service": "s3.amazonaws.com"},
            "Condition": {"ArnLike": {"AWS:SourceArn": BUCKET}},
        },
        {"Principal": {"Service": "iot.amazonaws.com"}},
        {"Principal": {"AWS": "arn:aws:iam::111122223333:root"}},
        {"Principal": "*"},
    )
    assert sources_of([], document, None, None).before == [
        End("S3", BUCKET, "may invoke"),
        End("iot.amazonaws.com", "any", "may invoke"),
    ]


def test_a_statement_of_a_source_that_is_known_is_not_drawn_again() -> None:
    bucket = FunctionSource("s3", SCOPE, BUCKET, "n", f"{ARN}:live", "s3:ObjectCreated:*")
    document = policy(
        {
            "Principal": {"Service": "s3.amazonaws.com"},
            "Condition": {"ArnLike": {"AWS:SourceArn": BUCKET}},
        },
    )
    found = sources_of([], None, None, None, others=[bucket], alias_policies={"live": document})
    assert found.before == [
        End("S3", "photos", what="s3:ObjectCreated:*", qualifier="live", source=bucket)
    ]


def test_rules_and_schedules_have_a_switch_and_apis_an_id() -> None:
    rule = "arn:aws:events:us-east-1:000000000000:rule/shop/paid"
    off = FunctionSource("events", SCOPE, rule, "1", ARN, "{}", is_enabled=False)
    assert (off.name, off.group) == ("paid", "shop")
    api = "arn:aws:execute-api:us-east-1:000000000000:abc123/*/*"
    document = policy(
        {
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Condition": {"ArnLike": {"AWS:SourceArn": api}},
        }
    )
    first, second = sources_of([], document, None, None, others=[off]).before
    assert (first.kind, first.detail, first.is_enabled) == ("EventBridge", "Disabled", False)
    assert (second.kind, second.api) == ("API Gateway", "abc123")


def test_dead_letters_are_drawn_with_the_destinations() -> None:
    assert sources_of([], None, None, None, dead_letters=QUEUE).after == [
        End("Dead letters", QUEUE)
    ]


def test_the_url_comes_last_and_destinations_follow() -> None:
    url = {"FunctionUrl": "http://x.lambda-url.localhost:4566/", "AuthType": "NONE"}
    rules = {"DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}}
    sources = sources_of([mapping()], None, url, rules)
    assert sources.before[-1] == End("URL", "http://x.lambda-url.localhost:4566/", "NONE")
    assert sources.after == [End("On failure", QUEUE)]
    assert sources_of([], None, None, {"DestinationConfig": None}).after == []
