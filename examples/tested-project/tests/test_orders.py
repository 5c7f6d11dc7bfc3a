"""The function against a Lambda, an S3 and a DynamoDB on this machine."""

import json

import pytest
from lambdabox.testing.invocations import FunctionFailed


def put(lambdabox, bucket, order):
    body = json.dumps(order).encode()
    lambdabox.client("s3").put_object(Bucket=bucket, Key=f"{order['id']}.json", Body=body)


def event_of(bucket, key):
    return {"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}


def test_an_order_is_kept(lambdabox, orders, bucket, table):
    put(lambdabox, bucket, {"id": "A-1", "total": 42.5})
    answer = orders.invoke(event_of(bucket, "A-1.json"))
    assert answer.payload == {"kept": ["A-1"]}
    assert float(table.get_item(Key={"id": "A-1"})["Item"]["total"]) == 42.5


def test_each_test_begins_with_nothing(lambdabox, table):
    assert lambdabox.client("lambda").list_functions()["Functions"] == []
    assert table.scan()["Items"] == []


def test_a_negative_total_is_refused(lambdabox, orders, bucket):
    put(lambdabox, bucket, {"id": "A-2", "total": -1})
    with pytest.raises(FunctionFailed, match="ValueError: order A-2 has a total of -1"):
        orders.invoke(event_of(bucket, "A-2.json"))


def test_an_upload_triggers_the_function(lambdabox, orders, bucket, table):
    lambdabox.client("lambda").add_permission(
        FunctionName=orders.name, StatementId="s3", Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{bucket}",
    )
    lambdabox.client("s3").put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"LambdaFunctionConfigurations": [
            {"LambdaFunctionArn": orders.arn, "Events": ["s3:ObjectCreated:*"]},
        ]},
    )
    put(lambdabox, bucket, {"id": "A-3", "total": 7})
    orders.wait_for_log("kept A-3")
    assert "Item" in table.get_item(Key={"id": "A-3"})


def test_code_under_test_can_call_the_function_itself(lambdabox_environment, orders):
    import boto3

    answer = boto3.client("lambda").invoke(FunctionName=orders.name, Payload=b'{"Records": []}')
    assert json.loads(answer["Payload"].read()) == {"kept": []}
