"""A table with a stream, a function that hears of each change, a queue for what it refuses."""

import sys
from contextlib import suppress
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploying import deploy, folder_of, poll, queue

CUSTOMERS, AUDIT, REFUSED = "example-customers", "example-audit", "example-audit-refused"


def main():
    stream = table(CUSTOMERS, "id", {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    table(AUDIT, "event", {"StreamEnabled": False})
    _, refused = queue(REFUSED)
    function = deploy(
        folder_of(__file__) / "audit", "example-audit", variables={"AUDIT_TABLE": AUDIT}
    )
    poll(
        function,
        stream,
        StartingPosition="TRIM_HORIZON",
        BatchSize=100,
        # A batch with a bad record is halved until that record is alone, tried once more,
        # and then given up, so that those behind it in the shard go on.
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": refused}},
    )


def table(name, key, stream):
    """Make a table and return the ARN of its stream, if it has one."""
    dynamodb = boto3.client("dynamodb")
    with suppress(dynamodb.exceptions.ResourceInUseException):  # it is there already
        dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification=stream,
        )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return dynamodb.describe_table(TableName=name)["Table"].get("LatestStreamArn")


if __name__ == "__main__":
    main()
