"""Links under which a function's or layer's package can be fetched for ten minutes.

GetFunction and GetLayerVersion return one. It needs no credentials: whoever holds it may use
it, as with S3's presigned links, whose form it has.
"""

import re

from lambdabox.auth.sigv4 import SignedRequest, presign, verify_presigned
from lambdabox.domain import limits
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.domain.functions import Code
from lambdabox.domain.layers import LayerKey
from lambdabox.ports import BlobStore, Clock

PREFIX = "/_lambdabox/code/"

_PATH = re.compile(PREFIX + r"\d{12}/[A-Za-z0-9_-]{1,140}-([0-9a-f]{64})\.zip")
_SERVICE = "s3"
_KEY_ID = "lambdabox"


class CodeLinks:
    def __init__(self, blobs: BlobStore, clock: Clock, *, secret: str) -> None:
        self._blobs = blobs
        self._clock = clock
        self._secret = secret

    def make(self, key: FunctionKey | LayerKey, code: Code, base_url: str) -> str:
        """Return a link to the zip, on the address the client already uses."""
        path = f"{PREFIX}{key.account}/{key.name}-{code.digest}.zip"
        query = presign(
            "GET",
            base_url.partition("://")[2],
            path,
            key_id=_KEY_ID,
            secret=self._secret,
            region=key.region,
            service=_SERVICE,
            now=self._clock.now(),
            expires_seconds=limits.CODE_LINK_SECONDS,
        )
        return f"{base_url}{path}?{query}"

    async def open(self, request: SignedRequest, region: str) -> bytes:
        """Return the zip a link is for.

        Raises InvalidSignatureException for a link that was changed or has expired, and
        ResourceNotFoundException for one whose code is gone.
        """
        path = _PATH.fullmatch(request.path)
        if path is None:
            raise ResourceNotFoundException("There is no code under this path.")
        verify_presigned(
            request, secret=self._secret, region=region, service=_SERVICE, now=self._clock.now()
        )
        try:
            return await self._blobs.get(path.group(1))
        except KeyError:
            raise ResourceNotFoundException("The code has been deleted.") from None
