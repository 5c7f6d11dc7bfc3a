"""Objects come and go in a bucket, and functions hear of it.

Functions in a bucket's notification configuration are the node's: it keeps them, whatever
store the bucket is in, and invokes them when a write passes through. Queues and topics in it
are the store's. The event is accepted before the client learns that its write is done.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote_plus

import anyio
import orjson
from anyio.abc import TaskStatus

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.bucket_notifications import BucketNotifications
from lambdabox.events import s3_operations
from lambdabox.events.delivery import FunctionDelivery, Sender
from lambdabox.events.relayed import Forward, Reads, ServiceAnswer, ServiceRequest
from lambdabox.events.s3_configuration import BadConfiguration, joined, split
from lambdabox.events.s3_operations import Change, Target, changes_of, event_of, target_of
from lambdabox.events.s3_records import Sequencer, event_bytes, record_of, told_to
from lambdabox.ports import Clock, Database
from lambdabox.repositories.account_records import AccountRecords

log = logging.getLogger(__name__)

PRINCIPAL = "s3.amazonaws.com"
_SIZED = (s3_operations.COPY, s3_operations.COMPLETE, s3_operations.POST)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the node keeps of a bucket, and whose the bucket is."""

    owner: Scope
    notifications: BucketNotifications


class BucketEvents:
    """An Interceptor for S3."""

    def __init__(
        self, state: Database, delivery: FunctionDelivery, services: AwsServices, clock: Clock
    ) -> None:
        self._records = AccountRecords(state, "s3-notifications", BucketNotifications)
        self._delivery = delivery
        self._services = services
        self._clock = clock
        self._sequencer = Sequencer()
        self._buckets: dict[str, _Kept] = {}

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Ready once what was configured before is known. Nothing runs after that."""
        self._buckets = {
            held.id: _Kept(held.scope, held.record) for held in await self._records.all()
        }
        task_status.started()

    def reads(self, request: ServiceRequest) -> Reads:
        target = target_of(request)
        if target.is_configuration:
            return Reads.BODY if request.method == "PUT" else Reads.ANSWER
        if target.bucket not in self._buckets:
            return Reads.NOTHING
        if request.method == "DELETE" and not target.key and not target.query:
            return Reads.ANSWER
        event = event_of(request, target)
        if event is None:
            return Reads.NOTHING
        # Of the bucket itself: a list of objects to delete, or a browser's form.
        return Reads.ANSWER if target.key else Reads.BODY

    async def handle(self, request: ServiceRequest, forward: Forward) -> ServiceAnswer:
        target = target_of(request)
        if target.is_configuration and request.method == "PUT":
            return await self._configure(request, target, forward)
        answer = await forward(request)
        if not answer.is_success:
            return answer
        if target.is_configuration:
            return self._shown(target, answer)
        if request.method == "DELETE" and not target.key:
            await self._keep(target.bucket, request.scope, BucketNotifications(()))
        elif event := event_of(request, target):
            for change in changes_of(event, request, target, answer):
                await self._tell(request, target, answer, change)
        return answer

    def kept(self) -> Iterator[tuple[str, Scope, BucketNotifications]]:
        """Return which functions hear of which bucket, and whose that is."""
        for bucket, kept in self._buckets.items():
            yield bucket, kept.owner, kept.notifications

    async def forget(self, bucket: str, id: str) -> None:
        """Tell a function no more, when the bucket is gone without having been deleted."""
        kept = self._buckets.get(bucket)
        if kept is not None:
            others = tuple(each for each in kept.notifications.functions if each.id != id)
            await self._keep(bucket, kept.owner, BucketNotifications(others))

    async def hear(self, body: bytes) -> int:
        """Take the notification of a store that sends its own; return how many were told.

        Raises ValueError for what is no such notification.
        """
        told = 0
        try:
            records = orjson.loads(body)["Records"]
            for record in records:
                bucket = str(record["s3"]["bucket"]["name"])
                key = unquote_plus(str(record["s3"]["object"]["key"]))
                event = str(record["eventName"]).removeprefix("s3:")
                told += await self._send(bucket, event, key, {**record, "eventName": event}, None)
        except (KeyError, TypeError) as exc:
            raise ValueError(f"a notification has Records as S3 sends them; {exc} is not") from exc
        return told

    async def _configure(
        self, request: ServiceRequest, target: Target, forward: Forward
    ) -> ServiceAnswer:
        try:
            notifications, rest = split(request.body or b"")
            if request.headers.get("x-amz-skip-destination-validation", "").lower() != "true":
                await self._check(notifications, target, request.scope)
        except BadConfiguration as exc:
            return _refusal(exc, request)
        if notifications.functions or target.bucket in self._buckets:
            request = replace(request, body=rest)
        answer = await forward(request)
        if answer.is_success:
            await self._keep(target.bucket, request.scope, notifications)
        return answer

    async def _check(
        self, notifications: BucketNotifications, target: Target, owner: Scope
    ) -> None:
        sender = _sender(target.bucket, owner)
        for function in notifications.functions:
            if not await self._delivery.may_send(function.function_arn, sender):
                raise BadConfiguration(
                    "Unable to validate the following destination configurations"
                )

    async def _keep(self, bucket: str, owner: Scope, notifications: BucketNotifications) -> None:
        kept = self._buckets.get(bucket)
        if kept is not None and kept.owner != owner:
            await self._records.change(kept.owner, bucket, lambda _before: None)
        if notifications.functions:
            await self._records.change(owner, bucket, lambda _before: notifications)
            self._buckets[bucket] = _Kept(owner, notifications)
        else:
            await self._records.change(owner, bucket, lambda _before: None)
            self._buckets.pop(bucket, None)

    def _shown(self, target: Target, answer: ServiceAnswer) -> ServiceAnswer:
        kept = self._buckets.get(target.bucket)
        if kept is None:
            return answer
        body = joined(answer.body, kept.notifications)
        headers = [(name, value) for name, value in answer.headers if name != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        return ServiceAnswer(answer.status, headers, body)

    async def _tell(
        self, request: ServiceRequest, target: Target, answer: ServiceAnswer, change: Change
    ) -> None:
        kept = self._buckets.get(target.bucket)
        if kept is None or not kept.notifications.about(change.event, change.key):
            return
        if change.event in _SIZED:
            change = await self._measured(change, target.bucket, kept.owner)
        now = self._clock.now()
        record = record_of(
            change,
            bucket=target.bucket,
            owner=kept.owner,
            caller=request.scope.account,
            source_ip=request.source_ip,
            request_id=answer.header("x-amz-request-id") or request.request_id,
            now=now,
            sequencer=self._sequencer.next(now),
        )
        trace = request.headers.get("x-amzn-trace-id")
        await self._send(target.bucket, change.event, change.key, record, trace)

    async def _measured(self, change: Change, bucket: str, owner: Scope) -> Change:
        """Return the change with the object's size, which its answer has not told."""
        what = {"Bucket": bucket, "Key": change.key}
        if change.version_id is not None:
            what["VersionId"] = change.version_id
        try:
            found = await self._services.call("s3", "HeadObject", what, owner)
        except AwsCallError:
            return change  # it is gone again
        etag = str(found.get("ETag", "")).strip('"') or change.etag
        return replace(change, size=found.get("ContentLength"), etag=etag)

    async def _send(
        self, bucket: str, event: str, key: str, record: Mapping[str, Any], trace: str | None
    ) -> int:
        kept = self._buckets.get(bucket)
        if kept is None:
            return 0
        told = 0
        for function in kept.notifications.about(event, key):
            payload = event_bytes(told_to(dict(record), function.id))
            sender = _sender(bucket, kept.owner)
            told += await self._delivery.send(function.function_arn, sender, payload, trace=trace)
        return told


def _sender(bucket: str, owner: Scope) -> Sender:
    return Sender(PRINCIPAL, f"arn:aws:s3:::{bucket}", owner.account)


def _refusal(error: BadConfiguration, request: ServiceRequest) -> ServiceAnswer:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{error.message}</Message>"
        f"<RequestId>{request.request_id}</RequestId></Error>"
    ).encode()
    headers = [
        (b"content-type", b"application/xml"),
        (b"content-length", str(len(body)).encode()),
    ]
    return ServiceAnswer(400, headers, body)
