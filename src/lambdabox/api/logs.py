"""The CloudWatch Logs subset: groups, streams, retention and tags.

Functions' logs are read with AWS's own tools, so keys, defaults and refusals are
CloudWatch's. Lines still in the buffer are written before anything is read: a log is
there as soon as its invocation has answered.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lambdabox.api.logs_events import LogEventOperations
from lambdabox.api.logs_naming import (
    BAD_TOKEN,
    NO_GROUP,
    NO_STREAM,
    asked_group,
    group_arn,
    identified,
    page_token,
    read_token,
    stream_arn,
)
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import (
    InvalidParameterException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
)
from lambdabox.domain.limits import TAGS
from lambdabox.ports import Clock, Database
from lambdabox.repositories.journal_reads import Group, GroupQuery, JournalReader, Stream
from lambdabox.repositories.log_events import event_key
from lambdabox.repositories.log_groups import STANDARD, GroupKey, LogGroups

Handler = Callable[[Scope, dict[str, Any]], Awaitable[dict[str, Any]]]
Flush = Callable[[], Awaitable[None]]
GroupDeleted = Callable[[GroupKey], Awaitable[None]]

PAGE = 50
RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
_INFREQUENT = ("INFREQUENT_ACCESS", "ESSENTIALS")


class LogsOperations:
    """Handlers by operation. `flush` writes the lines that are still buffered, and
    `group_deleted` is told of groups that are no more."""

    def __init__(
        self,
        database: Database,
        flush: Flush,
        clock: Clock,
        *,
        group_deleted: GroupDeleted | None = None,
    ) -> None:
        self._groups = LogGroups(database)
        self._reader = JournalReader(database)
        self._events = LogEventOperations(database, clock)
        self._flush = flush
        self._clock = clock
        self._group_deleted = group_deleted

    def handlers(self) -> Mapping[str, Handler]:
        handlers: dict[str, Handler] = {
            "CreateLogGroup": self._create_group,
            "CreateLogStream": self._create_stream,
            "DeleteLogGroup": self._delete_group,
            "DeleteLogStream": self._delete_stream,
            "DeleteRetentionPolicy": self._delete_retention,
            "DescribeLogGroups": self._describe_groups,
            "DescribeLogStreams": self._describe_streams,
            "ListTagsForResource": self._list_tags,
            "ListTagsLogGroup": self._list_tags,
            "PutRetentionPolicy": self._put_retention,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            **self._events.handlers(),
        }
        return {name: self._flushed(handler) for name, handler in handlers.items()}

    def _flushed(self, handler: Handler) -> Handler:
        """A line that is still in the buffer must be there for every operation."""

        async def handle(scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
            await self._flush()
            return await handler(scope, params)

        return handle

    async def _create_group(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        for name in ("kmsKeyId", "deletionProtectionEnabled"):
            if params.get(name):
                raise InvalidParameterException(f"{name} is not supported by lambdabox.")
        made = await self._groups.create(
            asked_group(scope, params),
            log_class=params.get("logGroupClass", STANDARD),
            tags=params.get("tags", {}),
            now_ms=self._now_ms(),
        )
        if not made:
            raise ResourceAlreadyExistsException("The specified log group already exists")
        return {}

    async def _create_stream(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        name = params["logStreamName"]
        made = await self._groups.create_stream(
            asked_group(scope, params), name, now_ms=self._now_ms()
        )
        _require(made is not None, NO_GROUP)
        if not made:
            raise ResourceAlreadyExistsException("The specified log stream already exists")
        return {}

    async def _delete_group(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        key = asked_group(scope, params)
        _require(await self._groups.delete(key), NO_GROUP)
        if self._group_deleted is not None:
            await self._group_deleted(key)
        return {}

    async def _delete_stream(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        key, name = asked_group(scope, params), params["logStreamName"]
        deleted = await self._groups.delete_stream(key, name)
        _require(deleted is not None, NO_GROUP)
        _require(bool(deleted), NO_STREAM)
        return {}

    async def _put_retention(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        days = params["retentionInDays"]
        if days not in RETENTION_DAYS:
            allowed = ", ".join(map(str, RETENTION_DAYS))
            raise InvalidParameterException(
                f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to "
                f"satisfy constraint: Member must satisfy enum value set: [{allowed}]"
            )
        return await self._retain(asked_group(scope, params), days)

    async def _delete_retention(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        return await self._retain(asked_group(scope, params), None)

    async def _retain(self, key: GroupKey, days: int | None) -> dict[str, Any]:
        _require(await self._groups.set_retention(key, days), NO_GROUP)
        return {}

    async def _list_tags(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        key = _tagged(scope, params)
        _require(await self._reader.group(key) is not None, NO_GROUP)
        return {"tags": dict(await self._reader.tags(key))}

    async def _tag(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        key, added = _tagged(scope, params), params["tags"]
        if len({*await self._reader.tags(key), *added}) > TAGS:
            raise InvalidParameterException(f"A log group can have {TAGS} tags at most.")
        _require(await self._groups.tag(key, added=added), NO_GROUP)
        return {}

    async def _untag(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        key = _tagged(scope, params)
        _require(await self._groups.tag(key, added={}, removed=params["tagKeys"]), NO_GROUP)
        return {}

    async def _describe_groups(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        query, limit = _group_query(scope, params), params.get("limit", PAGE)
        after = _read_name(params)
        found = await self._reader.groups(query, after=after, limit=limit + 1)
        shown = [_describe_group(scope, group) for group in found[:limit]]
        if query.containing:
            kept = ("arn", "creationTime", "logGroupName")
            shown = [{name: group[name] for name in kept} for group in shown]
        more = {"nextToken": page_token(found[limit - 1].name)} if len(found) > limit else {}
        return {"logGroups": shown, **more}

    async def _describe_streams(self, scope: Scope, params: dict[str, Any]) -> dict[str, Any]:
        key, limit = asked_group(scope, params), params.get("limit", PAGE)
        by_time = params.get("orderBy") == "LastEventTime"
        if by_time and params.get("logStreamNamePrefix"):
            raise InvalidParameterException(
                "Cannot order by LastEventTime with a logStreamNamePrefix."
            )
        group = await self._reader.group(key)
        if group is None:
            raise ResourceNotFoundException(NO_GROUP)
        page = self._streams_by_time if by_time else self._streams_by_name
        found = await page(group.id, params, limit + 1)
        shown = [_describe_stream(scope, group.name, stream) for stream in found[:limit]]
        more = _streams_token(found[limit - 1], by_time) if len(found) > limit else {}
        return {"logStreams": shown, **more}

    async def _streams_by_name(
        self, group_id: int, params: Mapping[str, Any], limit: int
    ) -> list[Stream]:
        return await self._reader.streams_by_name(
            group_id,
            prefix=params.get("logStreamNamePrefix", ""),
            after=_read_name(params),
            limit=limit,
            descending=params.get("descending", False),
        )

    async def _streams_by_time(
        self, group_id: int, params: Mapping[str, Any], limit: int
    ) -> list[Stream]:
        after = None
        if token := params.get("nextToken"):
            match read_token(token):
                case [int(last), int(stream_id)]:
                    after = last, stream_id
                case _:
                    raise InvalidParameterException(BAD_TOKEN)
        descending = params.get("descending", False)
        return await self._reader.streams_by_time(
            group_id, after=after, limit=limit, descending=descending
        )

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)


def _require(found: bool, otherwise: str) -> None:
    if not found:
        raise ResourceNotFoundException(otherwise)


def _tagged(scope: Scope, params: Mapping[str, Any]) -> GroupKey:
    arn = params.get("resourceArn")
    return asked_group(scope, params) if arn is None else identified(scope, arn)


def _read_name(params: Mapping[str, Any]) -> str:
    """The name after which the page begins."""
    name = read_token(params["nextToken"]) if params.get("nextToken") else ""
    if not isinstance(name, str):
        raise InvalidParameterException(BAD_TOKEN)
    return name


def _group_query(scope: Scope, params: Mapping[str, Any]) -> GroupQuery:
    prefix, containing = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
    identifiers = params.get("logGroupIdentifiers", [])
    if prefix and containing:
        raise InvalidParameterException(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    wanted = params.get("logGroupClass")
    if identifiers and (prefix or containing or wanted):
        raise InvalidParameterException("logGroupIdentifiers cannot be used with another filter.")
    return GroupQuery(
        scope.account,
        scope.region,
        prefix=prefix or "",
        containing=containing or "",
        classes=_INFREQUENT if wanted in _INFREQUENT else (wanted,) if wanted else (),
        names=[identified(scope, identifier).name for identifier in identifiers],
    )


def _describe_group(scope: Scope, group: Group) -> dict[str, Any]:
    arn = group_arn(scope, group.name)
    kept = {"retentionInDays": group.retention_days} if group.retention_days else {}
    return {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        **kept,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": group.stored_bytes,
        "logGroupClass": group.log_class,
        "logGroupArn": arn,
    }


def _describe_stream(scope: Scope, group: str, stream: Stream) -> dict[str, Any]:
    shown = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "arn": stream_arn(scope, group, stream.name),
        "storedBytes": 0,  # CloudWatch has shown 0 for every stream since 2019
    }
    if stream.last_event_ms is not None and stream.last_ingested_ms is not None:
        shown |= {
            "firstEventTimestamp": stream.first_event_ms or stream.last_event_ms,
            "lastEventTimestamp": stream.last_event_ms,
            "lastIngestionTime": stream.last_ingested_ms,
            "uploadSequenceToken": f"{event_key(stream.last_ingested_ms, stream.id):056d}",
        }
    return shown


def _streams_token(last: Stream, by_time: bool) -> dict[str, str]:
    position = [last.last_event_ms or 0, last.id] if by_time else last.name
    return {"nextToken": page_token(position)}
