"""AWS Signature Version 4: sign links, check signatures, and read who signs.

Pure functions over what was on the wire: paths and queries as they were sent, before any
decoding, because the signature covers their bytes. The rules are AWS's "Signature Version
4 signing process"; a refusal says which part is wrong and, when all parts look right, what
was expected to be signed, so that a client's author can compare.
"""

import hashlib
import hmac
import re
import time
from calendar import timegm
from collections.abc import Mapping
from urllib.parse import quote, unquote, unquote_to_bytes

from lambdabox.domain.errors import InvalidSignatureException
from lambdabox.domain.values import dataclass

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
MAX_EXPIRES_SECONDS = 604_800
CLOCK_SKEW_SECONDS = 300

_TERMINATOR = "aws4_request"
_SIGNED = frozenset({"content-md5", "content-type", "host"})
_CREDENTIAL = re.compile(
    rf"(?P<id>[^/\s]{{1,128}})/(?P<date>[0-9]{{8}})/(?P<region>[A-Za-z0-9-]{{1,64}})"
    rf"/(?P<service>[A-Za-z0-9-]{{1,64}})/{_TERMINATOR}"
)
_TIME = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@dataclass(frozen=True, slots=True)
class Credential:
    """Who signed, and for which day, region and service the signature counts."""

    access_key_id: str
    date: str
    region: str
    service: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{_TERMINATOR}"


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """What a signature covers. `path` and `query` as sent; `headers` by lower-case name."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    payload_sha256: str = EMPTY_SHA256
    """Of the body that arrived, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A signature as the client gave it."""

    credential: Credential
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_credential(headers: Mapping[str, str], query: str) -> Credential | None:
    """Return the credential that a request names, without verifying anything.

    Reads the Authorization header, else X-Amz-Credential of the query. What is not a
    Signature Version 4 credential is None, whatever it is.
    """
    authorization = headers.get("authorization")
    if authorization is not None:
        return _credential(_authorization_fields(authorization).get("Credential", ""))
    given = [value for name, value in _pairs(query) if name == "X-Amz-Credential"]
    return _credential(given[0]) if len(given) == 1 else None


def presign(
    method: str,
    host: str,
    path: str,
    query: str = "",
    *,
    key_id: str,
    secret: str,
    region: str,
    service: str,
    now: float,
    expires_seconds: int,
) -> str:
    """Return `query` extended so that whoever holds the link may use it until it expires.

    `host` is as the client will send it, with its port unless that is the scheme's own.
    """
    if not 0 < expires_seconds <= MAX_EXPIRES_SECONDS:
        raise ValueError(f"a link lasts 1 to {MAX_EXPIRES_SECONDS} seconds, not {expires_seconds}")
    timestamp = _timestamp(now)
    credential = Credential(key_id, timestamp[:8], region, service)
    claim = _Claim(credential, timestamp, ("host",), signature="")
    added = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{key_id}/{credential.scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(expires_seconds),
        "X-Amz-SignedHeaders": "host",
    }
    extended = "&".join(
        ([query] if query else []) + [f"{name}={_encode(value)}" for name, value in added.items()]
    )
    request = SignedRequest(method, path, extended, {"host": host})
    payload = UNSIGNED_PAYLOAD if service == "s3" else EMPTY_SHA256
    text = _string_to_sign(claim, _canonical_request(request, claim, payload))
    return f"{extended}&X-Amz-Signature={_sign(secret, credential, text)}"


def sign(
    request: SignedRequest,
    *,
    key_id: str,
    secret: str,
    token: str = "",
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """Return the headers that sign a request; its payload's hash may be one that S3 knows."""
    timestamp = _timestamp(now)
    added = {"x-amz-date": timestamp, "x-amz-content-sha256": request.payload_sha256}
    added |= {"x-amz-security-token": token} if token else {}
    headers = {**request.headers, **added}
    names = [name for name in headers if name in _SIGNED or name.startswith("x-amz-")]
    credential = Credential(key_id, timestamp[:8], region, service)
    claim = _Claim(credential, timestamp, tuple(sorted(names)), signature="")
    whole = SignedRequest(request.method, request.path, request.query, headers)
    text = _string_to_sign(claim, _canonical_request(whole, claim, request.payload_sha256))
    authorization = (
        f"{ALGORITHM} Credential={key_id}/{credential.scope}, "
        f"SignedHeaders={';'.join(claim.signed_headers)}, "
        f"Signature={_sign(secret, credential, text)}"
    )
    return {**added, "authorization": authorization}


def verify_presigned(
    request: SignedRequest, *, secret: str, region: str, service: str, now: float
) -> Credential:
    """Return the credential of a link that is valid now, or raise InvalidSignatureException."""
    claim, expires_seconds = _presigned_claim(request)
    _check_scope(claim, region, service)
    signed_at = _epoch(claim.timestamp)
    if now > signed_at + expires_seconds:
        raise InvalidSignatureException(
            f"Signature expired: the link was valid for {expires_seconds} seconds from"
            f" {claim.timestamp}, and it is now {_timestamp(now)}. Request a new link."
        )
    _check_not_early(claim, now)
    payload = UNSIGNED_PAYLOAD if service == "s3" else request.payload_sha256
    _check_signature(request, claim, secret, payload)
    return claim.credential


def verify_header(
    request: SignedRequest, *, secret: str, region: str, service: str, now: float
) -> Credential:
    """Return the credential of a request signed by header, or raise InvalidSignatureException."""
    claim = _header_claim(request)
    _check_scope(claim, region, service)
    if now > _epoch(claim.timestamp) + CLOCK_SKEW_SECONDS:
        raise InvalidSignatureException(
            f"Signature expired: {claim.timestamp} is now earlier than"
            f" {_timestamp(now - CLOCK_SKEW_SECONDS)} ({_timestamp(now)} - 5 min.)"
        )
    _check_not_early(claim, now)
    _check_signature(request, claim, secret, _declared_payload(request))
    return claim.credential


def _presigned_claim(request: SignedRequest) -> tuple[_Claim, int]:
    pairs = _pairs(request.query)

    def only(name: str) -> str:
        values = [value for key, value in pairs if key == name]
        if len(values) != 1:
            raise InvalidSignatureException(
                f"The query must contain {name} once; it contains it {len(values)} times."
            )
        return values[0]

    if only("X-Amz-Algorithm") != ALGORITHM:
        raise _wrong("X-Amz-Algorithm", only("X-Amz-Algorithm"), ALGORITHM)
    expires = only("X-Amz-Expires")
    if not re.fullmatch("[0-9]{1,6}", expires) or not 0 < int(expires) <= MAX_EXPIRES_SECONDS:
        raise _wrong("X-Amz-Expires", expires, f"1 to {MAX_EXPIRES_SECONDS} seconds")
    claim = _claim(
        only("X-Amz-Credential"),
        only("X-Amz-Date"),
        only("X-Amz-SignedHeaders"),
        only("X-Amz-Signature"),
    )
    return claim, int(expires)


def _header_claim(request: SignedRequest) -> _Claim:
    authorization = request.headers.get("authorization", "")
    if not authorization.startswith(f"{ALGORITHM} "):
        raise _wrong("Authorization header", authorization, f"{ALGORITHM} followed by a signature")
    fields = _authorization_fields(authorization)
    for name in ("Credential", "SignedHeaders", "Signature"):
        if name not in fields:
            raise InvalidSignatureException(f"Authorization header requires '{name}' parameter.")
    timestamp = request.headers.get("x-amz-date", "")
    return _claim(fields["Credential"], timestamp, fields["SignedHeaders"], fields["Signature"])


def _claim(credential: str, timestamp: str, signed_headers: str, signature: str) -> _Claim:
    parsed = _credential(credential)
    if parsed is None:
        raise _wrong("Credential", credential, f"KEY/YYYYMMDD/region/service/{_TERMINATOR}")
    _epoch(timestamp)
    names = tuple(signed_headers.split(";"))
    if "host" not in names:
        raise _wrong("SignedHeaders", signed_headers, "a list that contains 'host'")
    return _Claim(parsed, timestamp, names, signature)


def _check_scope(claim: _Claim, region: str, service: str) -> None:
    credential = claim.credential
    if credential.date != claim.timestamp[:8]:
        raise InvalidSignatureException(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from"
            f" HTTP: '{credential.date}' != '{claim.timestamp[:8]}', from '{claim.timestamp}'."
        )
    if credential.region != region:
        raise InvalidSignatureException(
            f"Credential should be scoped to a valid region: '{region}', not '{credential.region}'."
        )
    if credential.service != service:
        raise InvalidSignatureException(
            f"Credential should be scoped to correct service: '{service}',"
            f" not '{credential.service}'."
        )


def _check_not_early(claim: _Claim, now: float) -> None:
    if _epoch(claim.timestamp) > now + CLOCK_SKEW_SECONDS:
        raise InvalidSignatureException(
            f"Signature not yet current: {claim.timestamp} is still later than"
            f" {_timestamp(now + CLOCK_SKEW_SECONDS)} ({_timestamp(now)} + 5 min.)"
        )


def _declared_payload(request: SignedRequest) -> str:
    """Return the payload hash to sign. One that the client states must be the body's."""
    declared = request.headers.get("x-amz-content-sha256", request.payload_sha256)
    if declared not in (UNSIGNED_PAYLOAD, request.payload_sha256):
        raise InvalidSignatureException(
            f"The body differs from the one that was signed: its SHA-256 is"
            f" {request.payload_sha256}, and x-amz-content-sha256 is {declared[:200]!r}."
        )
    return declared


def _check_signature(request: SignedRequest, claim: _Claim, secret: str, payload: str) -> None:
    for name in claim.signed_headers:
        if name not in request.headers:
            raise InvalidSignatureException(f"The signed header {name[:100]!r} did not arrive.")
    canonical = _canonical_request(request, claim, payload)
    text = _string_to_sign(claim, canonical)
    expected = _sign(secret, claim.credential, text)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode(errors="replace")):
        raise InvalidSignatureException(
            "The request signature we calculated does not match the signature you provided. Check"
            " your AWS Secret Access Key and signing method. Consult the service documentation for"
            f" details.\n\nThe Canonical String for this request should have been\n'{canonical}'"
            f"\n\nThe String-to-Sign should have been\n'{text}'\n"
        )


def _canonical_request(request: SignedRequest, claim: _Claim, payload: str) -> str:
    headers = [f"{n}:{' '.join(request.headers[n].split())}\n" for n in claim.signed_headers]
    return "\n".join(
        [
            request.method,
            _canonical_path(request.path, claim.credential.service),
            _canonical_query(request.query),
            "".join(headers),
            ";".join(claim.signed_headers),
            payload,
        ]
    )


def _string_to_sign(claim: _Claim, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode(errors="replace")).hexdigest()
    return f"{ALGORITHM}\n{claim.timestamp}\n{claim.credential.scope}\n{digest}"


def _sign(secret: str, credential: Credential, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for part in (credential.date, credential.region, credential.service, _TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _canonical_path(path: str, service: str) -> str:
    """S3 signs the path as its keys are; every other service encodes what was sent once more."""
    if service == "s3":
        return quote(unquote_to_bytes(path), safe="/~") or "/"
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in ("", "."):
            kept.append(part)
    closing = "/" if kept and path.endswith("/") else ""
    return "/" + quote("/".join(kept), safe="/~") + closing


def _canonical_query(query: str) -> str:
    """Every pair once decoded and encoded, so that it does not matter how much was encoded."""
    pairs = [
        tuple(_encode(unquote_to_bytes(half)) for half in pair.partition("=")[::2])
        for pair in query.split("&")
        if pair
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs) if name != "X-Amz-Signature")


def _encode(value: str | bytes) -> str:
    return quote(value, safe="~")


def _pairs(query: str) -> list[tuple[str, str]]:
    """The query's names and values. A plus sign is a plus sign, as in everything signed."""
    halves = (pair.partition("=") for pair in query.split("&"))
    return [(unquote(name), unquote(value)) for name, _, value in halves]


def _authorization_fields(header: str) -> dict[str, str]:
    """Return Credential, SignedHeaders and Signature, as far as they are there."""
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        return {}
    halves = (field.strip().partition("=") for field in rest.split(","))
    return {name: value for name, _, value in halves}


def _credential(text: str) -> Credential | None:
    match = _CREDENTIAL.fullmatch(text)
    return Credential(*match.group("id", "date", "region", "service")) if match else None


def _timestamp(seconds: float) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


def _epoch(timestamp: str) -> int:
    try:
        if _TIME.fullmatch(timestamp):
            return timegm(time.strptime(timestamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        pass  # a month 13, for example
    raise _wrong("X-Amz-Date", timestamp, "a time as in 20150830T123600Z")


def _wrong(part: str, given: str, wanted: str) -> InvalidSignatureException:
    return InvalidSignatureException(f"{part} must be {wanted}; it is {given[:200]!r}.")
