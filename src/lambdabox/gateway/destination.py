"""Which AWS service is a request for?

Clients sign with the service's name; what is not signed tells by its target header, by its host
or by its form. Whatever says nothing is Lambda's, whose front end refuses it in AWS's words.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from lambdabox.api.request import Request
from lambdabox.auth.sigv4 import Credential
from lambdabox.domain.values import dataclass

LAMBDA = "lambda"
LOGS = "logs"
CLOUDFORMATION = "cloudformation"
S3 = "s3"
CONSOLE = b"/console"

# Of requests that are not signed: the first part of the target header.
_TARGETS = {
    "Logs_20140328": LOGS,
    "AmazonSQS": "sqs",
    "AWSEvents": "events",
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodb",
    "Kinesis_20131202": "kinesis",
    "AmazonSSM": "ssm",
    "secretsmanager": "secretsmanager",
    "TrentService": "kms",
    "GraniteServiceVersion20100801": "monitoring",
    "AWSStepFunctions": "states",
    "AWSCognitoIdentityService": "cognito-identity",
    "AWSCognitoIdentityProviderService": "cognito-idp",
}
_FORM = "application/x-www-form-urlencoded"


def service_of(request: Request, credential: Credential | None) -> str:
    """Return the signing name of the service that a request is for."""
    named = _TARGETS.get(request.headers.get("x-amz-target", "").partition(".")[0])
    if named == LOGS:
        return LOGS
    if credential is not None:
        return credential.service.lower()
    return named or _unsigned(request)


def _unsigned(request: Request) -> str:
    if _is_of_s3(host_name(request.headers.get("host", ""))):
        return S3
    # Signature Version 2, which some tools still use for links to objects.
    if b"AWSAccessKeyId=" in request.query_string and b"Signature=" in request.query_string:
        return S3
    content_type = request.headers.get("content-type", "")
    if request.method == "POST" and content_type.startswith("multipart/form-data"):
        return S3  # a browser's upload with a signed policy
    if request.method == "POST" and request.raw_path == b"/" and content_type.startswith(_FORM):
        return "sts"  # AssumeRoleWithWebIdentity and ...WithSAML need no credentials
    return LAMBDA


def is_for_console(
    raw_path: bytes, headers: Mapping[str, str], credential: Credential | None
) -> bool:
    """Whether a browser asks for the console, and not a client for a bucket of that name."""
    if not raw_path.startswith(CONSOLE) or raw_path[len(CONSOLE) :][:1] not in (b"", b"/"):
        return False
    is_bucket = _is_of_s3(host_name(headers.get("host", "")))
    return credential is None and "x-amz-target" not in headers and not is_bucket


def _is_of_s3(host: str) -> bool:
    return host.startswith("s3.") or ".s3." in host or ".s3-" in host


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """A request's path with the bucket in it, however the client has named it."""

    path: bytes
    is_virtual: bool
    """Whether the client named the bucket in the host."""


def object_path(host: str, path: bytes) -> ObjectPath:
    """Return the path that names a bucket, and maybe a key, of S3."""
    bucket = _bucket_of_host(host_name(host))
    if bucket is None:
        return ObjectPath(path, is_virtual=False)
    return ObjectPath(b"/" + bucket.encode() + path, is_virtual=True)


def _bucket_of_host(host: str) -> str | None:
    """Return the bucket of `bucket.s3.region.somewhere` and `bucket.localhost`."""
    if _is_address(host):
        return None
    for mark in (".s3.", ".s3-", ".localhost"):
        bucket, found, rest = host.rpartition(mark)
        if found and bucket and (mark != ".localhost" or rest[:1] in ("", ".")):
            return None if bucket == "s3" or bucket.startswith("s3.") else bucket
    return None


def host_name(host: str) -> str:
    """Return the name in a Host header, in lower case and without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
