"""Look at an event source before a mapping to it is stored.

AWS refuses a queue or a stream that is not there, and a queue whose messages would come back
while the function still works on them. Brokers are looked at only when they are polled.
"""

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import InvalidParameterValueException
from lambdabox.domain.mappings import EventSourceMapping, SourceKind

_NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
_NO_QUEUE_CODES = (_NO_QUEUE, "QueueDoesNotExist", "NonExistentQueue")
_GONE = ("ResourceNotFoundException", "ResourceNotFound")


class MappingSources:
    def __init__(self, services: AwsServices) -> None:
        self._services = services

    async def check(self, mapping: EventSourceMapping, *, timeout_seconds: int) -> None:
        """Raise InvalidParameterValueException if `mapping` could not be polled.

        `timeout_seconds` is the function's.
        """
        arn, scope = mapping.source_arn, mapping.source_scope
        if arn is None:
            return
        match mapping.kind:
            case SourceKind.SQS:
                await self._check_queue(arn, scope, timeout_seconds)
            case SourceKind.KINESIS:
                stream = arn.partition("/consumer/")[0]
                await self._check_stream("kinesis", "DescribeStreamSummary", "StreamARN", stream)
            case SourceKind.DYNAMODB:
                await self._check_stream("dynamodbstreams", "DescribeStream", "StreamArn", arn)
            case _:
                pass

    async def _check_queue(self, arn: str, scope: Scope, timeout_seconds: int) -> None:
        try:
            found = await self._services.call(
                "sqs", "GetQueueUrl", {"QueueName": arn.rpartition(":")[2]}, scope
            )
            answer = await self._services.call(
                "sqs",
                "GetQueueAttributes",
                {"QueueUrl": found["QueueUrl"], "AttributeNames": ["VisibilityTimeout"]},
                scope,
            )
        except AwsCallError as exc:
            code, message = exc.code, exc.message
            if code in _NO_QUEUE_CODES:
                code, message = _NO_QUEUE, "The specified queue does not exist."
            raise InvalidParameterValueException(
                f"Error occurred while ReceiveMessage. SQS Error Code: {code}. SQS Error Message: "
                f"{message}"
            ) from exc
        visibility = int(answer.get("Attributes", {}).get("VisibilityTimeout", timeout_seconds))
        if visibility < timeout_seconds:
            raise InvalidParameterValueException(
                f"Queue visibility timeout: {visibility} seconds is less than Function timeout: "
                f"{timeout_seconds} seconds"
            )

    async def _check_stream(self, service: str, operation: str, member: str, arn: str) -> None:
        parts = arn.split(":")
        try:
            await self._services.call(service, operation, {member: arn}, Scope(parts[4], parts[3]))
        except AwsCallError as exc:
            if exc.code in _GONE:
                raise InvalidParameterValueException(f"Stream not found: {arn}") from exc
            raise InvalidParameterValueException(
                f"Error occurred while {operation} of {arn}. Error Code: {exc.code}. Error "
                f"Message: {exc.message}"
            ) from exc
