"""GetAccountSettings."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.account import Account
from lambdabox.domain import limits


class AccountOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "GetAccountSettings": "The limits are the node's settings.",
    }

    def __init__(self, account: Account) -> None:
        self._account = account

    def handlers(self) -> Mapping[str, Handler]:
        return {"GetAccountSettings": self.get}

    async def get(self, request: Request, _parameters: Parameters) -> dict[str, Any]:
        settings = await self._account.settings(request.scope)
        return {
            "AccountLimit": {
                "TotalCodeSize": limits.CODE_STORAGE_BYTES,
                "CodeSizeUnzipped": limits.UNZIPPED_CODE_BYTES,
                "CodeSizeZipped": limits.ZIPPED_CODE_BYTES,
                "ConcurrentExecutions": settings.concurrency,
                "UnreservedConcurrentExecutions": settings.unreserved_concurrency,
            },
            "AccountUsage": {
                "TotalCodeSize": settings.totals.code_bytes,
                "FunctionCount": settings.totals.function_count,
            },
        }
