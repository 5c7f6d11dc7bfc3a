"""What each trigger sends: an example event of each, to test functions with.

Keys, types and nesting are AWS's own; values are invented. The files name one account and
region, in whose place those of whoever asks are put.
"""

from dataclasses import dataclass
from pathlib import Path

from lambdabox.domain.arn import Scope

FILES = Path(__file__).with_name("templates")

_ACCOUNT = "000000000000"
_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class EventTemplate:
    id: str
    title: str


TEMPLATES = (
    EventTemplate("hello", "Hello"),
    EventTemplate("empty", "Empty"),
    EventTemplate("function-url", "Function URL"),
    EventTemplate("s3-put", "S3: object created"),
    EventTemplate("s3-delete", "S3: object removed"),
    EventTemplate("sqs", "SQS"),
    EventTemplate("sqs-fifo", "SQS: FIFO queue"),
    EventTemplate("sns", "SNS"),
    EventTemplate("dynamodb-update", "DynamoDB Streams"),
    EventTemplate("kinesis", "Kinesis"),
    EventTemplate("eventbridge", "EventBridge"),
    EventTemplate("schedule", "EventBridge: scheduled rule"),
    EventTemplate("scheduler", "EventBridge Scheduler"),
    EventTemplate("cloudwatch-logs", "CloudWatch Logs: subscription"),
    EventTemplate("api-gateway-http", "API Gateway: HTTP API"),
    EventTemplate("api-gateway-rest", "API Gateway: REST API"),
    EventTemplate("api-gateway-websocket", "API Gateway: WebSocket"),
    EventTemplate("api-gateway-authorizer", "API Gateway: token authorizer"),
    EventTemplate("alb", "Application Load Balancer"),
    EventTemplate("kafka-msk", "Kafka: MSK"),
    EventTemplate("kafka-self-managed", "Kafka: self-managed"),
    EventTemplate("mq-activemq", "Amazon MQ: ActiveMQ"),
    EventTemplate("mq-rabbitmq", "Amazon MQ: RabbitMQ"),
    EventTemplate("documentdb", "DocumentDB"),
    EventTemplate("cognito-pre-sign-up", "Cognito: before sign-up"),
)


def read_template(id: str, scope: Scope) -> str:
    """Return the event, as JSON, for an account and region. Raises KeyError for no such one."""
    if id not in {template.id for template in TEMPLATES}:
        raise KeyError(id)
    text = (FILES / f"{id}.json").read_text()
    return text.replace(_ACCOUNT, scope.account).replace(_REGION, scope.region)
