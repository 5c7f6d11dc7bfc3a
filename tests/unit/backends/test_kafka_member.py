"""Where a member of a group begins, and what it makes of certificates."""

from collections import namedtuple
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError
from aiokafka.structs import OffsetAndTimestamp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lambdabox.backends.kafka import KafkaMember, _options
from lambdabox.broker_ports import BrokerAccess, BrokerError, Partition, TopicsAddress

pytestmark = pytest.mark.anyio

PARTITION = TopicPartition("t", 0)
Record = namedtuple("Record", "topic partition offset timestamp timestamp_type key value headers")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeClient:
    """Behaves as aiokafka's consumer, of a partition with offsets 10 to 20 at those seconds."""

    def __init__(self, committed: int | None = None) -> None:
        self.places: dict[TopicPartition, int] = {}
        self.offsets = {PARTITION: committed}
        self.assigned = {PARTITION}
        self.is_rebalancing = False

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    async def committed(self, partition: TopicPartition) -> int | None:
        return self.offsets[partition]

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> Mapping[Any, int]:
        return dict.fromkeys(partitions, 10)

    async def end_offsets(self, partitions: list[TopicPartition]) -> Mapping[Any, int]:
        return dict.fromkeys(partitions, 20)

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> Mapping[Any, Any]:
        [(partition, milliseconds)] = times.items()
        at = max(milliseconds // 1000, 10)
        return {partition: OffsetAndTimestamp(at, at * 1000) if at < 20 else None}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.places[partition] = offset

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self.is_rebalancing:
            raise CommitFailedError
        self.offsets.update(offsets)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Any, Any]:
        at = self.places.get(PARTITION, 10)
        self.places[PARTITION] = at + max_records
        return {
            PARTITION: [
                Record("t", 0, offset, offset * 1000, 0, None, b"v", ())
                for offset in range(at, min(at + max_records, 20))
            ]
        }


def member(client: FakeClient, begins_at: float | None = None) -> KafkaMember:
    address = TopicsAddress(("b:9092",), False, ("t",), "g", begins_at, BrokerAccess())
    return KafkaMember(client, address, {})


async def offsets(reader: KafkaMember, limit: int = 3) -> list[int]:
    return [record.offset for record in await reader.read(limit, 1.0)]


@pytest.mark.parametrize(
    ("begins_at", "expected"),
    [
        pytest.param(None, 10, id="the oldest"),
        pytest.param(15.0, 15, id="a time"),
        pytest.param(3.0, 10, id="a time before the oldest"),
        pytest.param(99.0, 20, id="a time after the newest"),
    ],
)
async def test_a_new_group_begins_where_it_is_told_and_remembers_that_at_once(
    begins_at: float | None, expected: int
) -> None:
    client = FakeClient()
    found = await offsets(member(client, begins_at))
    assert client.offsets[PARTITION] == expected
    assert found == list(range(expected, min(expected + 3, 20)))


async def test_a_group_goes_on_where_it_was_whatever_was_fetched_ahead() -> None:
    client = FakeClient(committed=12)
    client.places[PARTITION] = 17
    assert await offsets(member(client, 99.0)) == [12, 13, 14]
    assert client.offsets[PARTITION] == 12


async def test_records_of_a_partition_that_has_no_place_yet_are_left() -> None:
    client = FakeClient(committed=12)
    client.assigned = set()
    reader = member(client)
    assert await offsets(reader) == []
    client.assigned = {PARTITION}
    assert await offsets(reader) == [12, 13, 14]


async def test_a_commit_in_a_rebalance_changes_the_generation_and_repeats_the_records() -> None:
    client = FakeClient(committed=12)
    reader = member(client)
    await offsets(reader)
    generation, client.is_rebalancing = reader.generation, True
    await reader.commit({Partition("t", 0): 15})
    assert reader.generation != generation
    client.is_rebalancing = False
    assert await offsets(reader) == [12, 13, 14]


def certificate(password: bytes | None) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()


@pytest.mark.parametrize("password", ["", "secret"])
async def test_a_client_shows_its_certificate(password: str) -> None:
    own, key = certificate(password.encode() or None)
    access = BrokerAccess("u", "p", "SCRAM-SHA-256", own, key, password, authority=own)
    options = await _options(TopicsAddress(("b:1",), True, ("t",), "g", None, access))
    assert options["security_protocol"] == "SASL_SSL"
    assert options["sasl_mechanism"] == "SCRAM-SHA-256"
    [authority] = options["ssl_context"].get_ca_certs()
    assert authority["subject"] == ((("commonName", "client"),),)


@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_key_that_cannot_be_used_is_told_of(password: str) -> None:
    own, key = certificate(b"secret")
    access = BrokerAccess("", "", "PLAIN", own, key, password)
    with pytest.raises(BrokerError, match="cannot be used"):
        await _options(TopicsAddress(("b:1",), True, ("t",), "g", None, access))
