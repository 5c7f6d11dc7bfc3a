"""Send four orders: one is paid, one at the second attempt, one never, one cannot be read."""

import json
import sys
import uuid
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploy import ORDERS, SHIPPED, UNPAID, UNREADABLE
from deploying import eventually, queue, require

SQS = boto3.client("sqs")


def main():
    run = uuid.uuid4().hex[:8]
    for body in (
        json.dumps({"order": f"{run}-paid", "cents": 1250}),
        json.dumps({"order": f"{run}-unlucky", "cents": 900}),
        json.dumps({"order": f"{run}-free", "cents": 0}),
        f"{run}, which is not JSON",
    ):
        SQS.send_message(QueueUrl=queue(ORDERS)[0], MessageBody=body)

    # Deliveries may be repeated, so there may have been more attempts, and never fewer.
    eventually(lambda: shipped(f"{run}-paid"))
    require(eventually(lambda: shipped(f"{run}-unlucky")) >= 2, "no retry was needed")

    unpaid = json.loads(eventually(lambda: body_in(UNPAID)))
    require(unpaid["requestContext"]["condition"] == "RetriesExhausted", unpaid)
    require(unpaid["requestContext"]["approximateInvokeCount"] == 3, unpaid)
    require(unpaid["requestPayload"] == {"order": f"{run}-free", "cents": 0}, unpaid)
    require(unpaid["responsePayload"]["errorType"] == "ValueError", unpaid)
    require(not shipped(f"{run}-free"), "what was not paid was shipped")

    unreadable = eventually(lambda: body_in(UNREADABLE))
    require(unreadable == f"{run}, which is not JSON", unreadable)
    print("2 orders were shipped, one of them after a retry; 2 are in dead-letter queues")


def shipped(order):
    """At which attempt an order was charged that has been shipped."""
    table = boto3.resource("dynamodb").Table(SHIPPED)
    item = table.get_item(Key={"order": order}, ConsistentRead=True).get("Item")
    return item and int(item["attempt"])


def body_in(name):
    url, _ = queue(name)
    for message in SQS.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
        SQS.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return message["Body"]
    return None


if __name__ == "__main__":
    main()
