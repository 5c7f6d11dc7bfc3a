"""Where a mapping's broker is, and how to get in: settings of the node, secrets of the account.

AWS knows the address of a broker by its ARN, and we by the setting `brokers`. A secret is read
whenever a connection is opened, so that a new password needs no restart.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.broker_ports import BrokerAccess, BrokerError, QueueAddress, TopicsAddress
from lambdabox.domain.arn import Scope
from lambdabox.domain.mappings import EventSourceMapping, SourceKind

_MECHANISMS = {
    "BASIC_AUTH": "PLAIN",
    "SASL_SCRAM_256_AUTH": "SCRAM-SHA-256",
    "SASL_SCRAM_512_AUTH": "SCRAM-SHA-512",
}
_NETWORK = ("VPC_SUBNET", "VPC_SECURITY_GROUP", "VIRTUAL_HOST")
"""What says nothing about credentials: there are no networks of a cloud here."""


class BrokerPlaces:
    """Finds brokers. `brokers` maps ARNs, names and server addresses to where they are."""

    def __init__(self, brokers: Mapping[str, str], services: AwsServices) -> None:
        self._brokers = brokers
        self._services = services

    async def queue(self, mapping: EventSourceMapping) -> QueueAddress:
        """Raises BrokerError."""
        url = self._place(mapping)
        if not url.startswith(("amqp://", "amqps://")):
            raise BrokerError(
                f"The address of {mapping.source_arn} in the setting brokers begins with neither "
                "amqp:// nor amqps://: brokers other than RabbitMQ are not polled."
            )
        hosts = [each.uri for each in mapping.settings.source_access if each.type == "VIRTUAL_HOST"]
        return QueueAddress(
            url,
            hosts[0] if hosts else "/",
            mapping.settings.queues[0],
            await self._access(mapping),
        )

    async def topics(self, mapping: EventSourceMapping) -> TopicsAddress:
        """Raises BrokerError."""
        settings = mapping.settings
        if mapping.kind is SourceKind.MSK:
            named = [self._place(mapping)]
        else:
            named = [self._brokers.get(server, server) for server in settings.bootstrap_servers]
        scheme, _, _ = named[0].rpartition("://")
        servers = [each.rpartition("://")[2] for each in named]
        access = await self._access(mapping)
        # A password goes nowhere in clear unless the operator says so.
        is_encrypted = scheme == "tls" if scheme else access != BrokerAccess()
        begins_at: float | None = mapping.last_modified
        if settings.starting_position == "TRIM_HORIZON":
            begins_at = None
        elif settings.starting_position == "AT_TIMESTAMP":
            begins_at = settings.starting_timestamp or 0.0
        return TopicsAddress(
            tuple(server for each in servers for server in each.split(";")),
            is_encrypted,
            settings.topics,
            settings.consumer_group or mapping.id,
            begins_at,
            access,
        )

    def _place(self, mapping: EventSourceMapping) -> str:
        arn = mapping.source_arn or ""
        place = self._brokers.get(arn) or self._brokers.get(broker_name(arn))
        if place is None:
            raise BrokerError(
                f"The setting brokers does not say where {arn} is: give an address for that ARN, "
                f"or for {broker_name(arn)!r}."
            )
        return place

    async def _access(self, mapping: EventSourceMapping) -> BrokerAccess:
        access = BrokerAccess()
        for each in mapping.settings.source_access:
            if each.type in _NETWORK:
                continue
            if each.type in _MECHANISMS:
                secret = await self._secret(each.uri, mapping)
                access = replace(
                    access,
                    username=_text(secret, "username", each.uri),
                    password=_text(secret, "password", each.uri),
                    mechanism=_MECHANISMS[each.type],
                )
            elif each.type == "CLIENT_CERTIFICATE_TLS_AUTH":
                secret = await self._secret(each.uri, mapping)
                access = replace(
                    access,
                    certificate=_text(secret, "certificate", each.uri),
                    private_key=_text(secret, "privateKey", each.uri),
                    private_key_password=str(secret.get("privateKeyPassword") or ""),
                )
            elif each.type == "SERVER_ROOT_CA_CERTIFICATE":
                secret = await self._secret(each.uri, mapping)
                access = replace(access, authority=_text(secret, "certificate", each.uri))
            else:
                raise BrokerError(f"Authentication by {each.type} is not supported.")
        return access

    async def _secret(self, arn: str, mapping: EventSourceMapping) -> Mapping[str, Any]:
        parts = arn.split(":")
        scope = Scope(parts[4], parts[3]) if len(parts) > 5 else mapping.scope
        try:
            answer = await self._services.call(
                "secretsmanager", "GetSecretValue", {"SecretId": arn}, scope
            )
        except AwsCallError as exc:
            raise BrokerError(f"The secret {arn} cannot be read: {exc.message}") from exc
        try:
            secret = orjson.loads(answer.get("SecretString") or answer.get("SecretBinary") or b"")
        except orjson.JSONDecodeError:
            secret = None
        if not isinstance(secret, dict):
            raise BrokerError(f"The secret {arn} is not a JSON object.")
        return secret


def broker_name(arn: str) -> str:
    """Return the name that the ARN of a broker or a cluster has in it."""
    resource = arn.split(":", 5)[-1].replace("/", ":")
    return resource.split(":")[1] if ":" in resource else ""


def _text(secret: Mapping[str, Any], member: str, arn: str) -> str:
    value = secret.get(member)
    if not isinstance(value, str) or not value:
        raise BrokerError(f"The secret {arn} has no {member!r}.")
    return value
