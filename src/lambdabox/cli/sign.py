"""`lambdabox sign`: put a signature into a deployment package, on the machine that holds the key.

Talks to no node: the private key stays where it is, and the node knows the public one.
"""

import hashlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lambdabox.cli import options, output
from lambdabox.cli.output import CommandError
from lambdabox.domain.code_signatures import (
    TIME,
    Signed,
    comment,
    message,
    with_comment,
    without_comment,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

PASSPHRASE = "LAMBDABOX_SIGNING_PASSPHRASE"  # noqa: S105  # the name of a variable

_PROFILE = re.compile(r"arn:aws[a-zA-Z-]*:signer:[a-z0-9-]+:\d{12}:/signing-profiles/\w+/\w+")


def sign(
    package: Annotated[Path, typer.Argument(metavar="ZIP", help="The package to sign.")],
    *,
    key: Annotated[
        Path, typer.Option("--key", metavar="PEM", help="Private key: Ed25519 or ECDSA.")
    ],
    profile: Annotated[
        str, typer.Option("--profile", metavar="ARN", help="Signing profile version it belongs to.")
    ],
    into: Annotated[
        Path | None, typer.Option("--output", metavar="ZIP", help="Where to. [default: in place]")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Days until it expires. [default: never]")
    ] = None,
    passphrase: Annotated[
        str | None, typer.Option(envvar=PASSPHRASE, help="Of the key.", show_envvar=True)
    ] = None,
    json_: options.Json = False,
) -> None:
    """Sign a deployment package for functions that take signed code alone.

    \b
    Example:
      lambdabox sign hello.zip --key signing.pem \\
        --profile arn:aws:signer:us-east-1:000000000000:/signing-profiles/ours/v1
    """
    if not _PROFILE.fullmatch(profile):
        raise CommandError(
            f"{profile!r} is no ARN of a signing profile's version, such as arn:aws:signer:"
            "us-east-1:000000000000:/signing-profiles/ours/v1"
        )
    bare = without_comment(package.read_bytes())
    if bare is None:
        raise CommandError(f"{package} is not a zip")
    secret = _read_key(key, passphrase)
    now = datetime.now(UTC)
    signed_at = now.strftime(TIME)
    expires_at = None if days is None else _later(now, days).strftime(TIME)
    digest = hashlib.sha256(bare).hexdigest()
    signature = _sign(secret, message(profile, signed_at, expires_at, digest), key)
    text = comment(Signed(profile, signed_at, expires_at, signature))
    target = into or package
    _write(target, with_comment(bare, text))
    if json_:
        output.as_json({"Package": str(target), "Profile": profile, "Expires": expires_at})
    else:
        output.note(f"Signed {target} for {profile}.")


def _later(now: datetime, days: int) -> datetime:
    try:
        return now + timedelta(days=days)
    except OverflowError as exc:
        raise CommandError(f"--days {days} is too far away") from exc


def _read_key(path: Path, passphrase: str | None) -> "PrivateKeyTypes":
    # Deferred: takes longer than the rest of the command.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    password = passphrase.encode() if passphrase else None
    try:
        return load_pem_private_key(path.read_bytes(), password)
    except TypeError as exc:  # a passphrase too many, or too few
        raise CommandError(f"{path}: {exc}; the passphrase is {PASSPHRASE}") from exc
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise CommandError(f"{path} is no private key in PEM, or its passphrase is wrong") from exc


def _sign(key: "PrivateKeyTypes", text: bytes, path: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519  # deferred, as above
    from cryptography.hazmat.primitives.hashes import SHA256

    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(text)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(text, ec.ECDSA(SHA256()))
    raise CommandError(f"{path} is neither an Ed25519 nor an ECDSA key")


def _write(path: Path, content: bytes) -> None:
    """Replace the file as a whole: one that is half signed is of no use."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
