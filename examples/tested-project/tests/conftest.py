"""The function as it is deployed, with the table and the bucket that it uses."""

from pathlib import Path

import pytest

ORDERS = Path(__file__).parents[1] / "orders"


@pytest.fixture
def table(lambdabox):
    return lambdabox.resource("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def bucket(lambdabox):
    lambdabox.client("s3").create_bucket(Bucket="incoming")
    return "incoming"


@pytest.fixture
def orders(lambdabox, table):
    return lambdabox.deploy(ORDERS, environment={"TABLE": table.name}, timeout=20)
