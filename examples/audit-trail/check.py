"""Write good records around a bad one: the good are audited, the bad one is told of."""

import sys
import uuid
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from deploy import AUDIT, CUSTOMERS, REFUSED
from deploying import eventually, queue, received, require

DYNAMODB = boto3.resource("dynamodb")


def main():
    run = uuid.uuid4().hex[:8]
    customers = DYNAMODB.Table(CUSTOMERS)
    customers.put_item(Item={"id": f"{run}-ada", "name": "Ada"})
    customers.put_item(Item={"id": f"{run}-poison"})
    customers.put_item(Item={"id": f"{run}-grace", "name": "Grace"})
    customers.delete_item(Key={"id": f"{run}-ada"})

    expected = {
        ("INSERT", f"{run}-ada"),
        ("INSERT", f"{run}-grace"),
        ("REMOVE", f"{run}-ada"),
    }
    eventually(lambda: audited(run) >= expected)
    require(audited(run) == expected, f"this was audited: {audited(run)}")

    told = eventually(lambda: received(queue(REFUSED)[0]))
    require(told["requestContext"]["condition"] == "RetryAttemptsExhausted", told)
    require(told["DDBStreamBatchInfo"]["batchSize"] == 1, told)
    print("3 changes were audited; the record without a name is in the queue, and blocked nobody")


def audited(run):
    items = DYNAMODB.Table(AUDIT).scan(ConsistentRead=True)["Items"]
    return {
        (item["happened"], item["customer"]) for item in items if item["customer"].startswith(run)
    }


if __name__ == "__main__":
    main()
