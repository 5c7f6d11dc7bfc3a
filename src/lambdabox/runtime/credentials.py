"""Credentials that a SnapStart environment fetches, instead of finding them in variables.

What is in memory when a snapshot is taken would be the same in every environment, so AWS
gives these functions an address and a token, and SDKs know what to do with the two.
"""

import hmac
import secrets
from datetime import UTC, datetime, timedelta

import orjson

from lambdabox.domain.values import dataclass
from lambdabox.ports import CREDENTIALS_TOKEN_VARIABLE, SandboxSpec

SECRET = "lambdabox"  # noqa: S105  # the node does not verify signatures
LIFETIME = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class ContainerCredentials:
    """What one environment's code may fetch. Its `authorization` is in its variables."""

    account: str
    authorization: str

    def admits(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode(), self.authorization.encode())

    def document(self, now: datetime | None = None) -> bytes:
        """Return the answer in the shape that the AWS SDKs read."""
        expiration = (now or datetime.now(UTC)) + LIFETIME
        return orjson.dumps(
            {
                # The node takes the account from a 12-digit access key.
                "AccessKeyId": self.account,
                "SecretAccessKey": SECRET,
                "Token": SECRET,
                "Expiration": f"{expiration:%Y-%m-%dT%H:%M:%SZ}",
            }
        )


def new_token() -> str:
    return secrets.token_urlsafe(32)


def credentials_of(spec: SandboxSpec, account: str) -> ContainerCredentials | None:
    """Return what the code in a sandbox may fetch; None where it has static credentials."""
    if not spec.is_snap_start:
        return None
    return ContainerCredentials(account, spec.environment[CREDENTIALS_TOKEN_VARIABLE])
