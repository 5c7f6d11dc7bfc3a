"""What is repaired of moto, in moto itself."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.exceptions import JsonRESTError
from moto.dynamodbstreams import models

from lambdabox.backends import moto_repairs

LIMIT = 20


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The ARN of the stream of a table in moto, with a limit that is soon reached."""
    monkeypatch.setattr(moto_repairs, "ITERATORS", LIMIT)
    # Set to what it is, so that it is so again when the test is over.
    made = models.DynamoDBStreamsBackend.__init__
    monkeypatch.setattr(models.DynamoDBStreamsBackend, "__init__", made)
    moto_repairs.repair("dynamodbstreams")
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1", **keys)
        made = client.create_table(
            TableName="t",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
        )
        yield made["TableDescription"]["LatestStreamArn"]
        client.close()


def test_iterators_of_streams_expire_instead_of_piling_up(table: str) -> None:
    backend: Any = models.dynamodbstreams_backends["123456789012"]["us-east-1"]
    [shard] = backend.describe_stream(table)["Shards"]
    first = backend.get_shard_iterator(table, shard["ShardId"], "TRIM_HORIZON").arn
    latest = first
    for _ in range(3 * LIMIT):
        latest = backend.get_records(latest, 10)["NextShardIterator"]
    assert len(backend.shard_iterators) == LIMIT
    assert backend.get_records(latest, 10)["Records"] == []
    with pytest.raises(JsonRESTError, match="too old"):
        backend.get_records(first, 10)
