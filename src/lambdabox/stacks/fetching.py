"""Templates, and parts of them, that a caller names by where they lie in a bucket."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from lambdabox.aws_ports import AwsCallError, AwsServices
from lambdabox.domain.arn import Scope
from lambdabox.domain.stacks import StackError

MAX_OBJECT = 1_000_000

_VIRTUAL_HOST = re.compile(r"(?P<bucket>.+?)\.s3[.-].*")


async def fetched(services: AwsServices, scope: Scope, where: Mapping[str, str], name: str) -> str:
    """Return an object's text; `name` is what its caller called it. Raises StackError."""
    # A byte more than there may be shows that there are too many.
    asked = {**where, "Range": f"bytes=0-{MAX_OBJECT}"}
    try:
        found = await services.call("s3", "GetObject", asked, scope)
    except AwsCallError as exc:
        raise StackError(f"S3 error: {exc.message}\n{name[:200]}") from exc
    content: bytes = found["Body"]
    if len(content) > MAX_OBJECT:
        raise StackError(f"Template may not exceed {MAX_OBJECT} bytes in size.")
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise StackError("Template format error: the template is not UTF-8.") from exc


def object_of(url: str) -> dict[str, str]:
    """Return the bucket and key that a URL means. Raises StackError."""
    bad = StackError("TemplateURL must be a supported URL.")
    try:
        parts = urlsplit(url)
        host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
    except ValueError:
        raise bad from None
    if parts.scheme == "s3":
        bucket, key = parts.netloc, path
    else:
        virtual = _VIRTUAL_HOST.fullmatch(host)
        bucket, key = (virtual["bucket"], path) if virtual else path.partition("/")[::2]
    if parts.scheme not in ("http", "https", "s3") or not bucket or not key:
        raise bad
    version = parse_qs(parts.query).get("versionId", [])
    return {"Bucket": bucket, "Key": key, **({"VersionId": version[0]} if version else {})}
