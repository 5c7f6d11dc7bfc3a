import json
from dataclasses import replace
from typing import Any

import pytest
from broker_fakes import FakeSecrets
from source_fakes import mapping_of

from lambdabox.broker_ports import BrokerAccess, BrokerError
from lambdabox.domain.mappings import EventSourceMapping, SourceAccess, SourceKind
from lambdabox.events.broker_access import BrokerPlaces, broker_name

pytestmark = pytest.mark.anyio

BROKER = "arn:aws:mq:us-east-1:000000000000:broker:orders:b-1"
CLUSTER = "arn:aws:kafka:us-east-1:000000000000:cluster/shop/751d2973-a626"
SECRET = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def places(brokers: dict[str, str], **secrets: Any) -> BrokerPlaces:
    texts = {name: value if isinstance(value, str) else json.dumps(value)
             for name, value in secrets.items()}  # fmt: skip
    return BrokerPlaces(brokers, FakeSecrets(**texts))


def queue(*access: SourceAccess) -> EventSourceMapping:
    return mapping_of(BROKER, queues=("q",), source_access=access)


def topics(*access: SourceAccess, **settings: Any) -> EventSourceMapping:
    mapping = mapping_of(
        CLUSTER,
        topics=("t",),
        source_access=access,
        **{"starting_position": "TRIM_HORIZON", "consumer_group": "g", **settings},
    )
    if "bootstrap_servers" in settings:
        mapping = replace(mapping, source_arn=None, kind=SourceKind.KAFKA)
    return mapping


@pytest.mark.parametrize("name", [BROKER, "orders"])
async def test_a_broker_is_found_by_its_arn_or_its_name(name: str) -> None:
    access = [
        SourceAccess("BASIC_AUTH", f"{SECRET}login"),
        SourceAccess("VIRTUAL_HOST", "shop"),
        SourceAccess("VPC_SUBNET", "subnet:1"),
    ]
    found = await places(
        {name: "amqp://rabbit:5672"}, login={"username": "u", "password": "p"}
    ).queue(queue(*access))
    assert (found.url, found.virtual_host, found.queue) == ("amqp://rabbit:5672", "shop", "q")
    assert found.access == BrokerAccess("u", "p")


async def test_a_broker_that_no_setting_names_is_not_guessed() -> None:
    with pytest.raises(BrokerError, match="does not say where"):
        await places({}).queue(queue())


async def test_what_is_no_rabbitmq_is_not_polled() -> None:
    with pytest.raises(BrokerError, match="not polled"):
        await places({"orders": "activemq:61616"}).queue(queue())


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("no json", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        ({"username": "u"}, "has no 'password'"),
        ({"username": 1, "password": "p"}, "has no 'username'"),
    ],
)
async def test_a_secret_that_cannot_serve_is_named(secret: object, expected: str) -> None:
    mapping = queue(SourceAccess("BASIC_AUTH", f"{SECRET}login"))
    with pytest.raises(BrokerError, match=expected) as caught:
        await places({"orders": "amqp://rabbit:5672"}, login=secret).queue(mapping)
    assert f"{SECRET}login" in str(caught.value)


@pytest.mark.parametrize(
    ("servers", "access", "encrypted"),
    [
        ("b1:9092;b2:9092", (), False),
        ("b1:9092", (SourceAccess("SASL_SCRAM_512_AUTH", f"{SECRET}login"),), True),
        ("plaintext://b1:9092", (SourceAccess("SASL_SCRAM_512_AUTH", f"{SECRET}login"),), False),
        ("b1:9094", (SourceAccess("SERVER_ROOT_CA_CERTIFICATE", f"{SECRET}ca"),), True),
        ("tls://b1:9094", (), True),
    ],
)
async def test_a_password_goes_nowhere_in_clear_unless_the_operator_says_so(
    servers: str, access: tuple[SourceAccess, ...], encrypted: bool
) -> None:
    known = places(
        {"shop": servers}, login={"username": "u", "password": "p"}, ca={"certificate": "PEM"}
    )
    found = await known.topics(topics(*access))
    assert found.is_encrypted is encrypted
    assert found.servers[0].startswith("b1:")


async def test_servers_of_ones_own_may_be_elsewhere_than_they_are_named() -> None:
    mapping = topics(bootstrap_servers=("kafka:9092", "other:9092"))
    found = await places({"kafka:9092": "plaintext://127.0.0.1:9092"}).topics(mapping)
    assert found.servers == ("127.0.0.1:9092", "other:9092")


@pytest.mark.parametrize(
    ("settings", "begins_at"),
    [
        ({"starting_position": "TRIM_HORIZON"}, None),
        ({"starting_position": "AT_TIMESTAMP", "starting_timestamp": 5.0}, 5.0),
    ],
)
async def test_where_a_group_begins(settings: dict[str, Any], begins_at: float | None) -> None:
    found = await places({"shop": "b1:9092"}).topics(topics(**settings))
    assert found.begins_at == begins_at


async def test_the_latest_is_what_comes_after_the_mapping() -> None:
    mapping = topics(starting_position="LATEST")
    found = await places({"shop": "b1:9092"}).topics(mapping)
    assert found.begins_at == mapping.last_modified


async def test_authentication_that_is_not_there_is_refused() -> None:
    with pytest.raises(BrokerError, match="OAUTHBEARER_AUTH is not supported"):
        await places({"shop": "b1:9092"}).topics(topics(SourceAccess("OAUTHBEARER_AUTH", SECRET)))


def test_the_name_in_an_arn() -> None:
    assert (broker_name(BROKER), broker_name(CLUSTER), broker_name("")) == ("orders", "shop", "")
