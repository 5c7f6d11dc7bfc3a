"""Who gets in by a function's policy: remembered, and never wrongly."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection
from support.records import KEY, creating, open_state

from lambdabox.backends.bus import LocalBus
from lambdabox.backends.database import SqliteDatabase
from lambdabox.control.permissions import POLICY_CHANGED, ResourcePolicies, Revision
from lambdabox.control.reconcile import FUNCTION_CHANGED
from lambdabox.domain.arn import LATEST, FunctionReference
from lambdabox.domain.errors import AccessDeniedException
from lambdabox.domain.policy_documents import Grant
from lambdabox.invoke.permissions import FORBIDDEN_URL, INVOKE, Permissions, UrlAuthType
from lambdabox.repositories.functions import FunctionRepository
from lambdabox.repositories.policies import policy_records

pytestmark = pytest.mark.anyio

T = TypeVar("T")
FUNCTION = FunctionReference(KEY, None)
S3 = "s3.amazonaws.com"
BUCKET = "arn:aws:s3:::bucket"
OWN = f"arn:aws:iam::{KEY.account}:user/me"
OTHER = "arn:aws:iam::999999999999:user/you"
URL = Grant("url", "lambda:InvokeFunctionUrl", "*", url_auth_type="NONE")
VIA_URL = Grant("via", INVOKE, "*", via_function_url=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class WatchedDatabase:
    """Passes on to a real database; counts reads, and can be overtaken by a change once."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self.reads = 0
        self.overtaken_by: Callable[[], Awaitable[None]] | None = None

    async def read(self, work: Callable[[Connection], T]) -> T:
        self.reads += 1
        found = await self._database.read(work)
        overtake, self.overtaken_by = self.overtaken_by, None
        if overtake is not None:
            await overtake()
        return found

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.write(work)


class Setting:
    """Permissions of one function, and what changes them."""

    def __init__(self, database: WatchedDatabase) -> None:
        self.database = database
        bus = LocalBus()
        records = policy_records(database)
        self.functions = FunctionRepository(database)
        self.policies = ResourcePolicies(self.functions, records, bus)
        self.bus = bus
        self.permissions = Permissions(records, bus, changes=(FUNCTION_CHANGED, POLICY_CHANGED))

    async def add(self, *grants: Grant, reference: FunctionReference = FUNCTION) -> None:
        for grant in grants:
            await self.policies.add(reference, grant, Revision(None))

    async def put(self, text: str) -> None:
        await self.policies.put(FUNCTION, text, Revision(None))

    async def lets_service_in(
        self,
        reference: FunctionReference = FUNCTION,
        *,
        service: str = S3,
        source_arn: str | None = BUCKET,
        source_account: str | None = None,
    ) -> bool:
        with suppress(AccessDeniedException):
            await self.permissions.check_service(
                service, INVOKE, reference, source_arn=source_arn, source_account=source_account
            )
            return True
        return False

    async def lets_url_caller_in(
        self, auth_type: UrlAuthType = "NONE", caller: str | None = None
    ) -> bool:
        with suppress(AccessDeniedException):
            await self.permissions.check_url(FUNCTION, auth_type, caller_arn=caller)
            return True
        return False


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    async with open_state(tmp_path) as database:
        setting = Setting(WatchedDatabase(database))
        await setting.functions.create(creating())
        yield setting


async def test_a_service_needs_a_statement(setting: Setting) -> None:
    assert not await setting.lets_service_in()
    await setting.add(Grant("s3", INVOKE, S3, source_arn=BUCKET, source_account="1" * 12))
    assert not await setting.lets_service_in()
    assert await setting.lets_service_in(source_account="1" * 12)
    assert not await setting.lets_service_in(source_account="2" * 12)
    assert not await setting.lets_service_in(source_arn=None, source_account="1" * 12)
    assert not await setting.lets_service_in(service="sns.amazonaws.com", source_account="1" * 12)


async def test_a_refused_service_is_told_what_it_lacks(setting: Setting) -> None:
    with pytest.raises(AccessDeniedException) as refused:
        await setting.permissions.check_service(S3, INVOKE, FUNCTION)
    assert refused.value.message == (
        f"User: {S3} is not authorized to perform: {INVOKE} on resource: {KEY.arn} because no "
        f"resource-based policy allows the {INVOKE} action"
    )


async def test_a_policy_of_the_function_is_not_one_of_its_versions(setting: Setting) -> None:
    await setting.add(Grant("s3", INVOKE, S3))
    assert await setting.lets_service_in()
    assert await setting.lets_service_in(FunctionReference(KEY, LATEST))
    assert not await setting.lets_service_in(FunctionReference(KEY, "1"))
    assert not await setting.lets_service_in(FunctionReference(KEY, "prod"))


async def test_what_is_remembered_needs_no_database(setting: Setting) -> None:
    await setting.add(Grant("s3", INVOKE, S3))
    assert await setting.lets_service_in()
    before = setting.database.reads
    assert await setting.lets_service_in()
    assert not await setting.lets_service_in(FunctionReference(KEY, "prod"))
    assert setting.database.reads == before


async def test_a_change_counts_at_once(setting: Setting) -> None:
    assert not await setting.lets_service_in()
    await setting.add(Grant("s3", INVOKE, S3))
    assert await setting.lets_service_in()
    await setting.policies.remove(FUNCTION, "s3", Revision(None))
    assert not await setting.lets_service_in()


async def test_a_policy_ends_with_its_function(setting: Setting) -> None:
    await setting.add(Grant("s3", INVOKE, S3))
    assert await setting.lets_service_in()
    await setting.functions.delete(KEY)
    setting.bus.publish(FUNCTION_CHANGED, KEY.arn)
    assert not await setting.lets_service_in()
    await setting.functions.create(creating())
    assert not await setting.lets_service_in()


async def test_what_changes_while_it_is_read_is_not_remembered(setting: Setting) -> None:
    await setting.add(Grant("s3", INVOKE, S3))

    async def remove() -> None:
        await setting.policies.remove(FUNCTION, "s3", Revision(None))

    setting.database.overtaken_by = remove
    assert await setting.lets_service_in(), "it was asked before the change"
    assert not await setting.lets_service_in()


async def test_a_public_url_needs_both_statements(setting: Setting) -> None:
    assert not await setting.lets_url_caller_in()
    await setting.add(URL)
    assert not await setting.lets_url_caller_in()
    await setting.add(VIA_URL)
    assert await setting.lets_url_caller_in()
    assert not await setting.lets_url_caller_in("AWS_IAM", OTHER)


async def test_a_permission_for_urls_is_none_for_services(setting: Setting) -> None:
    await setting.add(URL, VIA_URL)
    assert not await setting.lets_service_in()


async def test_a_signed_url_is_open_to_its_own_account(setting: Setting) -> None:
    assert await setting.lets_url_caller_in("AWS_IAM", OWN)
    assert not await setting.lets_url_caller_in("AWS_IAM", OTHER)
    assert not await setting.lets_url_caller_in("AWS_IAM", None)


async def test_another_account_needs_both_statements(setting: Setting) -> None:
    await setting.add(Grant("a", "lambda:InvokeFunctionUrl", "9" * 12, url_auth_type="AWS_IAM"))
    assert not await setting.lets_url_caller_in("AWS_IAM", OTHER)
    await setting.add(Grant("b", INVOKE, "9" * 12, via_function_url=True))
    assert await setting.lets_url_caller_in("AWS_IAM", OTHER)
    assert not await setting.lets_url_caller_in("NONE")


async def test_a_deny_counts_for_the_own_account_too(setting: Setting) -> None:
    await setting.put(
        '{"Statement":{"Effect":"Deny","Principal":"*","Action":"lambda:InvokeFunctionUrl"}}'
    )
    with pytest.raises(AccessDeniedException, match="Forbidden") as refused:
        await setting.permissions.check_url(FUNCTION, "AWS_IAM", caller_arn=OWN)
    assert refused.value.message == FORBIDDEN_URL


async def test_addresses_can_be_kept_out(setting: Setting) -> None:
    await setting.add(URL, VIA_URL)
    allowed = '{"Effect":"Allow","Principal":"*","Action":"lambda:*"}'
    denied = (
        '{"Effect":"Deny","Principal":"*","Action":"*",'
        '"Condition":{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}'
    )
    await setting.put(f'{{"Statement":[{allowed},{denied}]}}')
    await setting.permissions.check_url(FUNCTION, "NONE", source_ip="10.1.1.1")
    with pytest.raises(AccessDeniedException):
        await setting.permissions.check_url(FUNCTION, "NONE", source_ip="11.1.1.1")
