"""Layers: what names a version of one, what it holds, and who beside its owner may use it.

Wherever the API takes `LayerName` it accepts a plain name or the layer's ARN, whose account
need not be the caller's: a layer is shared by its policy alone.
"""

import json
import re
from typing import Any

from lambdabox.domain.arn import Scope, is_number
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.domain.functions import Code
from lambdabox.domain.values import dataclass

ACTION = "lambda:GetLayerVersion"
ANYONE = "*"

_ACCOUNT_ROOT = re.compile(r"arn:[^:]+:iam::(\d{12}):root")


@dataclass(frozen=True, slots=True)
class LayerKey:
    """What names a layer."""

    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:layer:{self.name}"

    def version_arn(self, number: int) -> str:
        return f"{self.arn}:{number}"


@dataclass(frozen=True, slots=True)
class LayerGrant:
    """One statement of a layer version's policy."""

    statement_id: str
    principal: str
    """An account, as its 12 digits or its root user's ARN, or `*`."""
    organization: str | None = None
    """The principal must belong to it, if there is one."""

    def allows(self, account: str, organization: str | None) -> bool:
        if self.organization is not None and self.organization != organization:
            return False
        root = _ACCOUNT_ROOT.fullmatch(self.principal)
        return (root.group(1) if root else self.principal) in (ANYONE, account)

    def statement(self, version_arn: str) -> dict[str, Any]:
        """Return it as a statement of IAM's language."""
        principal: str | dict[str, str] = self.principal
        if self.principal.isdigit():
            principal = {"AWS": f"arn:aws:iam::{self.principal}:root"}
        elif self.principal != ANYONE:
            principal = {"AWS": self.principal}
        statement: dict[str, Any] = {
            "Sid": self.statement_id,
            "Effect": "Allow",
            "Principal": principal,
            "Action": ACTION,
            "Resource": version_arn,
        }
        if self.organization is not None:
            statement["Condition"] = {"StringEquals": {"aws:PrincipalOrgID": self.organization}}
        return statement


@dataclass(frozen=True, slots=True)
class LayerPolicy:
    """Who may use a layer version beside its owner."""

    revision_id: str
    grants: tuple[LayerGrant, ...]

    def document(self, version_arn: str) -> str:
        statements = [grant.statement(version_arn) for grant in self.grants]
        policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
        return json.dumps(policy, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """A published version of a layer. Its policy alone ever changes."""

    key: LayerKey
    number: int
    code: Code
    unzipped_bytes: int
    created: float
    """Seconds since the epoch."""
    description: str = ""
    runtimes: tuple[str, ...] | None = None
    architectures: tuple[str, ...] | None = None
    license: str | None = None
    policy: LayerPolicy | None = None

    @property
    def arn(self) -> str:
        return self.key.version_arn(self.number)

    def is_open_to(self, account: str, organization: str | None) -> bool:
        """Whether an account, of an organization if it is of any, may use it."""
        grants = self.policy.grants if self.policy is not None else ()
        return account == self.key.account or any(
            grant.allows(account, organization) for grant in grants
        )

    def fits(self, runtime: str | None, architecture: str | None) -> bool:
        """Whether it says that it is for these; None stands for any."""
        return (runtime is None or runtime in (self.runtimes or ())) and (
            architecture is None or architecture in (self.architectures or ())
        )


def parse_layer(text: str, scope: Scope) -> LayerKey:
    """Return the layer that a name or an ARN names for a caller in `scope`.

    Raises ResourceNotFoundException for another region.
    """
    if not text.startswith("arn:"):
        return LayerKey(scope.account, scope.region, text)
    _, _, _, region, account, _, name = text.split(":")
    if region != scope.region:
        raise ResourceNotFoundException(
            f"Layers from '{region}' are not reachable in this region ('{scope.region}')"
        )
    return LayerKey(account, region, name)


def parse_version_arn(arn: str) -> tuple[LayerKey, int] | None:
    """Return the layer and the number that a version's ARN names, of whatever region.

    None for those that no version can have: a number like 01, or the layers that Lambda itself
    once offered (`arn:aws:lambda:::awslayer:…`).
    """
    parts = arn.split(":")
    if len(parts) != 8 or not is_number(parts[7]):
        return None
    return LayerKey(parts[4], parts[3], parts[6]), int(parts[7])
