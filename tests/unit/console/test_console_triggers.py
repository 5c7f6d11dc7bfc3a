"""What leads to a function and what follows it, as it is drawn."""

import json
from typing import Any

from lambdabox.console.triggers import End, sources_of

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
    assert found.before == [End("SQS", QUEUE, "Enabled"), End("SQS", QUEUE, "Enabled, for live")]


def test_a_cluster_of_ones_own_is_named_by_its_topics() -> None:
    own = {"FunctionArn": ARN, "Topics": ["orders", "refunds"], "State": "Creating"}
    assert sources_of([own], None, None, None).before == [
        End("Kafka", "orders, refunds", "Creating")
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


def test_the_url_comes_last_and_destinations_follow() -> None:
    url = {"FunctionUrl": "http://x.lambda-url.localhost:4566/", "AuthType": "NONE"}
    rules = {"DestinationConfig": {"OnSuccess": {}, "OnFailure": {"Destination": QUEUE}}}
    sources = sources_of([mapping()], None, url, rules)
    assert sources.before[-1] == End("URL", "http://x.lambda-url.localhost:4566/", "NONE")
    assert sources.after == [End("On failure", QUEUE)]
    assert sources_of([], None, None, {"DestinationConfig": None}).after == []
