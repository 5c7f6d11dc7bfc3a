"""Queues and topics that rules and schedules send to when they are due.

moto shows schedules and fires none, so what is due is sent here: one call, whose failure is
the caller's business.
"""

from lambdabox.aws_ports import AwsServices
from lambdabox.domain.arn import Scope

CALL_SECONDS = 10.0

_SERVICES = ("sqs", "sns")
_PARTS = 6


def is_service_target(arn: object) -> bool:
    parts = arn.split(":", _PARTS - 1) if isinstance(arn, str) else []
    return len(parts) == _PARTS and parts[2] in _SERVICES and all(parts[3:])


async def send_to_service(services: AwsServices, arn: str, message_group: str, body: str) -> None:
    """Send to a queue or a topic; `message_group` is for FIFO ones. Raises AwsCallError."""
    service, region, account, name = arn.split(":", _PARTS - 1)[2:]
    scope = Scope(account, region)
    group = {"MessageGroupId": message_group} if message_group else {}
    if service == "sns":
        message = {"TopicArn": arn, "Message": body, **group}
        await services.call("sns", "Publish", message, scope, seconds=CALL_SECONDS)
        return
    named = {"QueueName": name}
    queue = await services.call("sqs", "GetQueueUrl", named, scope, seconds=CALL_SECONDS)
    message = {"QueueUrl": queue["QueueUrl"], "MessageBody": body, **group}
    await services.call("sqs", "SendMessage", message, scope, seconds=CALL_SECONDS)
