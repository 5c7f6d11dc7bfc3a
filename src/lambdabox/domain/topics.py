"""What a subscription of an SNS topic lets through, and how its function has the message."""

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from lambdabox.domain.event_filters import compile_pattern
from lambdabox.domain.values import dataclass

ATTRIBUTES = "MessageAttributes"
BODY = "MessageBody"


@dataclass(frozen=True, slots=True)
class Subscription:
    """A function that hears of a topic."""

    arn: str
    topic_arn: str
    function_arn: str
    filter_policy: str = ""
    """JSON, or empty: then it hears everything."""
    filter_scope: str = ATTRIBUTES


@dataclass(frozen=True, slots=True)
class Attribute:
    type: str
    value: str


@dataclass(frozen=True, slots=True)
class TopicMessage:
    id: str
    message: str
    subject: str | None = None
    structure: str | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What functions are told: a part of the message if it has parts for protocols."""
        if self.structure != "json":
            return self.message
        parts = _json(self.message)
        if not isinstance(parts, dict):
            return self.message
        return str(parts.get("lambda", parts.get("default", "")))


def lets_through(subscription: Subscription, message: TopicMessage) -> bool:
    """Whether the subscription's filter policy is for this message."""
    policy = subscription.filter_policy
    if not policy or policy.strip() == "{}":
        return True
    if subscription.filter_scope == BODY:
        facts = _json(message.text)
    else:
        facts = {name: _fact(each) for name, each in message.attributes.items()}
    return isinstance(facts, dict) and compile_pattern(policy).matches(facts)


def record_of(
    subscription: Subscription, message: TopicMessage, *, time: str, node_url: str, signature: str
) -> dict[str, Any]:
    """Return the event that the function has."""
    unsubscribe = f"{node_url}/?Action=Unsubscribe&SubscriptionArn={subscription.arn}"
    return {
        "Records": [
            {
                "EventSource": "aws:sns",
                "EventVersion": "1.0",
                "EventSubscriptionArn": subscription.arn,
                "Sns": {
                    "Type": "Notification",
                    "MessageId": message.id,
                    "TopicArn": subscription.topic_arn,
                    "Subject": message.subject,
                    "Message": message.text,
                    "Timestamp": time,
                    "SignatureVersion": "1",
                    "Signature": signature,
                    "SigningCertUrl": f"{node_url}/SimpleNotificationService.pem",
                    "UnsubscribeUrl": unsubscribe,
                    "MessageAttributes": {
                        name: {"Type": each.type, "Value": each.value}
                        for name, each in message.attributes.items()
                    },
                },
            }
        ]
    }


def _fact(attribute: Attribute) -> Any:
    """Return an attribute as filter policies see it."""
    kind = attribute.type.partition(".")[0]
    if kind == "Number" or attribute.type == "String.Array":
        return _json(attribute.value)
    return attribute.value if kind == "String" else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
