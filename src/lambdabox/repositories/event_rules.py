"""Read what decides about the events for one function, version or alias, in one snapshot."""

from typing import TypeVar

from sqlalchemy import Connection, select

from lambdabox.domain.arn import LATEST, FunctionKey, FunctionReference
from lambdabox.domain.event_invoke import TERMINATE, EventInvokeConfig, EventRules, RecursionConfig
from lambdabox.ports import Database
from lambdabox.repositories.codec import decode
from lambdabox.repositories.function_records import is_owned_by
from lambdabox.repositories.rows import is_function
from lambdabox.repositories.tables import function_records, functions

EVENT_INVOKE = "event-invoke"
RECURSION = "recursion"

T = TypeVar("T")


class EventRulesRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, reference: FunctionReference) -> EventRules:
        """Return what applies, which for a function that is gone are the defaults."""
        return await self._database.read(lambda connection: _read(connection, reference))


def _read(connection: Connection, reference: FunctionReference) -> EventRules:
    key, qualifier = reference.key, reference.qualifier or LATEST
    config = _record(connection, key, EVENT_INVOKE, qualifier, EventInvokeConfig)
    recursion = _record(connection, key, RECURSION, "", RecursionConfig)
    reserved = connection.scalar(select(functions.c.reserved_concurrency).where(is_function(key)))
    default = EventRules()
    if config is None:
        config = EventInvokeConfig(0.0)
    return EventRules(
        max_retries=default.max_retries if config.max_retries is None else config.max_retries,
        max_age_seconds=config.max_age_seconds or default.max_age_seconds,
        on_success=config.on_success,
        on_failure=config.on_failure,
        is_switched_off=reserved == 0,
        ends_loops=recursion is None or recursion.recursive_loop == TERMINATE,
    )


def _record(
    connection: Connection, key: FunctionKey, kind: str, qualifier: str, record_type: type[T]
) -> T | None:
    document = connection.scalar(
        select(function_records.c.document).where(
            is_owned_by(key),
            function_records.c.kind == kind,
            function_records.c.qualifier == qualifier,
        )
    )
    return None if document is None else decode(record_type, document)
