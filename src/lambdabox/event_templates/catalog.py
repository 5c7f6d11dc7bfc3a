"""The events that triggers send, one JSON file each, for trying functions out.

They ship with the program because the shapes are hard to remember and easy to get wrong.
Values are invented; keys, types and nesting are those that a function sees on AWS.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

TITLES: Mapping[str, str] = {
    "activemq": "Amazon MQ for ActiveMQ: a batch of messages",
    "alb": "Application Load Balancer: a request",
    "alb-multi-value": "Application Load Balancer with multi-value headers",
    "api-gateway-http": "API Gateway HTTP API: a request, payload 2.0",
    "api-gateway-http-v1": "API Gateway HTTP API: a request, payload 1.0",
    "api-gateway-rest": "API Gateway REST API: a request",
    "authorizer-token": "API Gateway: a token for a Lambda authorizer",
    "cloudwatch-logs": "CloudWatch Logs subscription: compressed log events",
    "documentdb": "DocumentDB change stream: a document inserted",
    "dynamodb": "DynamoDB stream: an item inserted, changed and removed",
    "eventbridge": "EventBridge rule: an event of an application",
    "function-url": "Function URL: a request",
    "kafka": "Self-managed Kafka: a record",
    "kinesis": "Kinesis stream: a record",
    "msk": "Amazon MSK: a record",
    "rabbitmq": "Amazon MQ for RabbitMQ: a batch of messages",
    "s3-delete": "S3: an object deleted",
    "s3-put": "S3: an object created",
    "scheduled-rule": "EventBridge rule on a schedule",
    "scheduler": "EventBridge Scheduler",
    "sns": "SNS topic: a notification",
    "sqs": "SQS queue: a message",
    "sqs-fifo": "SQS FIFO queue: a message",
    "websocket": "API Gateway WebSocket API: a message",
}
"""What each template is, by name, in the order of the names."""


def text(name: str) -> str:
    """Return a template as it is kept, for people to edit. Raises KeyError."""
    if name not in TITLES:
        raise KeyError(name)
    return files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")


def event(name: str) -> Any:
    """Return the event of a template. Raises KeyError."""
    return json.loads(text(name))
