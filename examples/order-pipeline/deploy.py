"""Queue → take → charge → topic → ship, with a queue for what fails at either step."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploying import allow, deploy, folder_of, poll, queue

ORDERS, UNREADABLE, UNPAID = "example-orders", "example-orders-unreadable", "example-orders-unpaid"
ATTEMPTS, SHIPPED = "example-attempts", "example-shipped"


def main():
    folder = folder_of(__file__)
    for name in (ATTEMPTS, SHIPPED):
        table(name)
    ship = deploy(folder / "ship", "example-ship", variables={"SHIPPED_TABLE": SHIPPED})
    charge = deploy(folder / "charge", "example-charge", variables={"ATTEMPTS_TABLE": ATTEMPTS})
    take = deploy(folder / "take", "example-take", timeout=6, variables={"CHARGE": charge})

    sns = boto3.client("sns")
    topic = sns.create_topic(Name="example-charged")["TopicArn"]
    allow(ship, "sns", topic)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=ship)

    _, unpaid = queue(UNPAID)
    boto3.client("lambda").put_function_event_invoke_config(
        FunctionName=charge,
        MaximumRetryAttempts=2,
        DestinationConfig={
            "OnSuccess": {"Destination": topic},
            "OnFailure": {"Destination": unpaid},
        },
    )

    _, unreadable = queue(UNREADABLE)
    redrive = json.dumps({"deadLetterTargetArn": unreadable, "maxReceiveCount": 2})
    # No shorter than the function's timeout, or a message would come twice while it is at work.
    _, orders = queue(ORDERS, VisibilityTimeout="6", RedrivePolicy=redrive)
    poll(take, orders, FunctionResponseTypes=["ReportBatchItemFailures"])


def table(name):
    dynamodb = boto3.client("dynamodb")
    with suppress(dynamodb.exceptions.ResourceInUseException):  # it is there already
        dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


if __name__ == "__main__":
    main()
