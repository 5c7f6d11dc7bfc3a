"""A cluster that wants TLS, a password or a certificate is read with what secrets hold.

The broker behind the gate is librdkafka's own; TLS and SASL are the gate's, which follows the
protocol and RFC 5802 but is no Kafka.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.brokers import KafkaCluster, kafka
from support.certificates import Authority
from support.deploying import create as create_active
from support.functions import eventually
from support.kafka_gate import Gate, opened
from support.node import Node, running
from support.sources import await_gone, await_state
from test_kafka_source import SAY, result_of, send, values

pytestmark = pytest.mark.slow

Enter = Callable[..., str]
AUTHORITY = Authority()


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    with kafka() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(tmp_path_factory.mktemp("node") / "data") as node:
        create_active(node.client(), "say", SAY)
        yield node


@pytest.fixture
def secret(node: Node) -> Iterator[Callable[..., str]]:
    client = node.client("secretsmanager")
    made: list[str] = []

    def make(**members: str) -> str:
        name = f"kafka-{len(made)}"
        arn: str = client.create_secret(Name=name, SecretString=json.dumps(members))["ARN"]
        made.append(arn)
        return arn

    yield make
    for arn in made:
        client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


@pytest.fixture
def gate(cluster: KafkaCluster) -> Iterator[Callable[..., Gate]]:
    with ExitStack() as stack:

        def make(**settings: Any) -> Gate:
            return stack.enter_context(opened(Gate(cluster.address, AUTHORITY, **settings)))

        yield make


@pytest.fixture
def enter(node: Node, secret: Callable[..., str], gate: object) -> Iterator[Enter]:
    """Map a topic behind a gate to the function, with secrets by their kinds."""
    client, ids = node.client(), []

    def make(guarded: Gate, topic: str, authority: str = AUTHORITY.pem, **secrets: str) -> str:
        wanted = {"SERVER_ROOT_CA_CERTIFICATE": secret(certificate=authority), **secrets}
        id: str = client.create_event_source_mapping(
            FunctionName="say",
            Topics=[topic],
            StartingPosition="TRIM_HORIZON",
            SelfManagedEventSource={"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": [guarded.address]}},
            SourceAccessConfigurations=[{"Type": kind, "URI": arn} for kind, arn in wanted.items()],
        )["UUID"]
        ids.append(id)
        await_state(client, id, "Enabled")
        return id

    yield make
    for id in ids:
        client.delete_event_source_mapping(UUID=id)
    for id in ids:
        await_gone(client, id)


@pytest.mark.parametrize(
    ("kind", "mechanism"),
    [
        ("BASIC_AUTH", "PLAIN"),
        ("SASL_SCRAM_256_AUTH", "SCRAM-SHA-256"),
        ("SASL_SCRAM_512_AUTH", "SCRAM-SHA-512"),
    ],
)
def test_a_password_opens_the_cluster_and_is_told_to_nobody_else(
    node: Node,
    cluster: KafkaCluster,
    gate: Any,
    enter: Enter,
    secret: Any,
    kind: str,
    mechanism: str,
) -> None:
    topic = mechanism.lower()
    cluster.make_topic(topic)
    send(cluster, topic, b"x")
    guarded = gate(mechanism=mechanism, username="me", password="pass,=")
    id = enter(guarded, topic, **{kind: secret(username="me", password="pass,=")})
    assert eventually(lambda: values(node, topic) == ["eA=="]), result_of(node, id)
    assert set(guarded.admitted) == {"me"}


def test_a_wrong_password_is_told_of_and_a_new_one_needs_no_restart(
    node: Node, cluster: KafkaCluster, gate: Any, enter: Enter, secret: Any
) -> None:
    cluster.make_topic("wrong")
    send(cluster, "wrong", b"x")
    guarded = gate(mechanism="PLAIN", username="me", password="right")
    arn = secret(username="me", password="wrong")
    id = enter(guarded, "wrong", BASIC_AUTH=arn)
    problem = "PROBLEM: Connection error. [Error 58] SaslAuthenticationFailed"
    assert eventually(lambda: result_of(node, id).startswith(problem)), result_of(node, id)
    assert not guarded.admitted
    node.client("secretsmanager").update_secret(
        SecretId=arn, SecretString=json.dumps({"username": "me", "password": "right"})
    )
    assert eventually(lambda: values(node, "wrong") == ["eA=="]), result_of(node, id)


@pytest.mark.parametrize("password", ["", "locked"])
def test_a_certificate_opens_the_cluster(
    node: Node, cluster: KafkaCluster, gate: Any, enter: Enter, secret: Any, password: str
) -> None:
    topic = f"mutual{password}"
    cluster.make_topic(topic)
    send(cluster, topic, b"x")
    own = AUTHORITY.issue("reader", password=password)
    shown = {"certificate": own.pem, "privateKey": own.key}
    if password:
        shown["privateKeyPassword"] = password
    guarded = gate(asks_for_certificate=True)
    id = enter(guarded, topic, CLIENT_CERTIFICATE_TLS_AUTH=secret(**shown))
    assert eventually(lambda: values(node, topic) == ["eA=="]), result_of(node, id)
    assert set(guarded.admitted) == {"reader"}


def test_a_broker_of_another_authority_is_not_spoken_to(
    node: Node, cluster: KafkaCluster, gate: Any, enter: Enter, secret: Any
) -> None:
    cluster.make_topic("strange")
    send(cluster, "strange", b"x")
    guarded = gate(mechanism="PLAIN", username="me", password="p")
    access = secret(username="me", password="p")
    id = enter(guarded, "strange", authority=Authority("other").pem, BASIC_AUTH=access)
    assert eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in result_of(node, id))
    assert not guarded.admitted
    assert values(node, "strange") == []
