"""Names and ARNs of functions, in each form a client may send.

Wherever the API takes `FunctionName` it accepts a plain name, a partial ARN
(`{account}:function:{name}`) or a full ARN, each with or without a qualifier. The
model's pattern has already been checked when this parser runs.
"""

import re

from lambdabox.domain.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lambdabox.domain.values import dataclass

LATEST = "$LATEST"

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Scope:
    """The account and region a request speaks for."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class FunctionKey:
    """What names a function: one node keeps accounts and regions apart."""

    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"

    @classmethod
    def of_arn(cls, arn: str) -> "FunctionKey":
        """Return what has this unqualified ARN."""
        _, _, _, region, account, _, name = arn.split(":")
        return cls(account, region, name)

    def qualified_arn(self, qualifier: str) -> str:
        return f"{self.arn}:{qualifier}"


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """A function and the qualifier, if any, a request asks for."""

    key: FunctionKey
    qualifier: str | None

    @property
    def arn(self) -> str:
        return self.key.qualified_arn(self.qualifier) if self.qualifier else self.key.arn


def is_number(qualifier: str) -> bool:
    """Whether a published version can have this number: "0" and "01" name none."""
    return _NUMBER.fullmatch(qualifier) is not None


def parse_function(text: str, scope: Scope, qualifier: str | None = None) -> FunctionReference:
    """Return the function that `text` names for a caller in `scope`.

    Raises InvalidParameterValueException when a qualifier inside the name contradicts
    `qualifier`, ResourceNotFoundException for another region, and AccessDeniedException
    for another account.
    """
    parts = text.split(":")
    if parts[0] == "arn" and len(parts) > 5:
        region, parts = parts[3], parts[4:]
        if region != scope.region:
            raise ResourceNotFoundException(
                f"Functions from '{region}' are not reachable in this region ('{scope.region}')"
            )
    account = scope.account
    if len(parts) > 1 and parts[1] == "function":
        account, parts = parts[0], parts[2:]
    elif len(parts) > 1 and parts[0] == "function":
        parts = parts[1:]
    name, inner = parts[0], parts[1] if len(parts) > 1 else None
    if account != scope.account:
        raise AccessDeniedException(
            f"User: arn:aws:iam::{scope.account}:root is not authorized to perform this action on "
            f"resource: {text} because no resource-based policy allows it"
        )
    if inner and qualifier and inner != qualifier:
        raise InvalidParameterValueException(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    return FunctionReference(FunctionKey(account, scope.region, name), inner or qualifier)


def parse_unqualified(text: str, scope: Scope, *, takes_latest: bool = True) -> FunctionKey:
    """Return the function that `text` names, for operations that are about it as a whole.

    As `parse_function`, and raises InvalidParameterValueException for a version or an alias.
    """
    reference = parse_function(text, scope)
    if reference.qualifier not in (None, LATEST if takes_latest else None):
        raise InvalidParameterValueException(
            "This operation is permitted on Lambda functions only. Aliases and versions do not "
            "support this operation. Please specify either a function name or an unqualified "
            "function ARN."
        )
    return reference.key
