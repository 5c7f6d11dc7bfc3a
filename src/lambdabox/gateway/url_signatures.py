"""Check the signature of a request to a function URL that demands one (AWS_IAM).

There are no users yet, so what is known of a caller is an access key, whose id says which
account it belongs to. With the keys that everybody knows, a signature shows that a client
signs as it has to on AWS; only keys of the setting `access_keys` are secret.
"""

import hashlib
from collections.abc import Mapping

from lambdabox.auth.sigv4 import (
    SignedRequest,
    parse_credential,
    verify_header,
    verify_presigned,
)
from lambdabox.domain.errors import (
    AccessDeniedException,
    InvalidSignatureException,
    UnrecognizedClientException,
)
from lambdabox.gateway.app import caller_scope
from lambdabox.gateway.url_requests import UrlCall, UrlCaller
from lambdabox.invoke.permissions import FORBIDDEN_URL
from lambdabox.ports import Clock
from lambdabox.runtime.credentials import SECRET

SERVICE = "lambda"

_TEST = "test"
"""The id and the secret that clients of a local AWS are usually given."""


class UrlSignatures:
    def __init__(self, access_keys: Mapping[str, str], clock: Clock) -> None:
        """`access_keys` are secrets by id; without any, those that everybody knows count."""
        self._access_keys = access_keys
        self._clock = clock

    def verified(self, call: UrlCall, region: str, body: bytes) -> UrlCaller:
        """Return who signed the request.

        Raises AccessDeniedException if nobody did, UnrecognizedClientException if the key is not
        known, and InvalidSignatureException.
        """
        query = call.query.decode("latin-1")
        credential = parse_credential(call.headers, query)
        if credential is None:
            raise AccessDeniedException(FORBIDDEN_URL)
        key_id = credential.access_key_id
        account = caller_scope(credential, region).account
        is_of_account = key_id == account
        request = SignedRequest(
            call.method,
            call.raw_path.decode("latin-1"),
            query,
            call.headers,
            hashlib.sha256(body).hexdigest(),
        )
        self._check(request, self._secrets(key_id, is_of_account=is_of_account), region)
        return UrlCaller(key_id, account)

    def _check(self, request: SignedRequest, secrets: tuple[str, ...], region: str) -> None:
        """Raise unless the request is signed with one of `secrets`, as the last one sees it."""
        verify = verify_header if "authorization" in request.headers else verify_presigned
        refusal: Exception = UnrecognizedClientException(
            "The security token included in the request is invalid."
        )
        for secret in secrets:
            try:
                verify(
                    request, secret=secret, region=region, service=SERVICE, now=self._clock.now()
                )
            except InvalidSignatureException as exc:
                refusal = exc
            else:
                return
        raise refusal

    def _secrets(self, key_id: str, *, is_of_account: bool) -> tuple[str, ...]:
        if self._access_keys:
            return (self._access_keys[key_id],) if key_id in self._access_keys else ()
        if is_of_account:
            return (SECRET, _TEST)  # what functions have, and people
        return (_TEST,) if key_id == _TEST else ()
