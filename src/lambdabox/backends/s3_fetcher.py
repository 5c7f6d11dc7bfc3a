"""Read code from an S3-compatible store: the neighbour S3, as the node reaches it.

The object is read in a worker thread, and no more of it than shows whether it is too large.
"""

import time
from contextlib import closing
from functools import partial
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter

from lambdabox.backends.aws_client import AwsClients
from lambdabox.domain.errors import InvalidParameterValueException

_SETTING = "endpoints (LAMBDABOX_ENDPOINTS)"
_FETCHERS = 4
_CHUNK_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
_WHOLE_SECONDS = 300.0


class S3Fetcher:
    """An ObjectFetcher. `endpoint` is the store's address, or the node's own."""

    def __init__(
        self,
        endpoint: str,
        *,
        connect_seconds: float = _CONNECT_SECONDS,
        read_seconds: float = _READ_SECONDS,
        whole_seconds: float = _WHOLE_SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._whole_seconds = whole_seconds
        self._clients = AwsClients(
            endpoint, connect_seconds=connect_seconds, read_seconds=read_seconds, attempts=2
        )
        self._limiter = CapacityLimiter(_FETCHERS)

    async def fetch(
        self,
        bucket: str,
        key: str,
        *,
        object_version: str | None,
        region: str,
        account: str,
        limit: int,
    ) -> bytes:
        version = {"VersionId": object_version} if object_version else {}
        work = partial(self._read, region, account, limit, Bucket=bucket, Key=key, **version)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _read(self, region: str, account: str, limit: int, **what: str) -> bytes:
        # Imported here and not above, so that a node that never reads S3 starts without.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            response = self._clients.get("s3", region, account).get_object(**what)
            # Not `with body`: that would give the stream inside, without botocore's checks.
            with closing(response["Body"]) as body:
                return self._content(body, response.get("ContentLength"), limit, what)
        except ClientError as exc:
            error = exc.response.get("Error", {})
            raise InvalidParameterValueException(
                f"Error occurred while GetObject. S3 Error Code: {error.get('Code', 'Unknown')}."
                f" S3 Error Message: {error.get('Message', str(exc))}"
            ) from exc
        except (BotoCoreError, ValueError) as exc:  # ValueError: an endpoint that is no URL
            raise InvalidParameterValueException(
                f"Error occurred while GetObject from the store at {self._endpoint}: {exc} Check"
                f" the bucket and the key, that the store is running, and the setting {_SETTING}."
            ) from exc

    def _content(self, body: Any, declared: int | None, limit: int, what: dict[str, str]) -> bytes:
        """Read no more than needed to see that the object is too large, whatever it declares."""
        content = bytearray()
        deadline = time.monotonic() + self._whole_seconds
        if (declared or 0) <= limit:
            while chunk := body.read(_CHUNK_BYTES):
                content += chunk
                if len(content) > limit:
                    break
                if time.monotonic() > deadline:
                    raise InvalidParameterValueException(
                        f"Reading s3://{what['Bucket']}/{what['Key']} took longer than"
                        f" {self._whole_seconds:g} seconds. Check the store at {self._endpoint}."
                    )
        size = max(declared or 0, len(content))
        if size > limit:
            raise InvalidParameterValueException(
                f"Zipped size must be smaller than {limit} bytes. s3://{what['Bucket']}/"
                f"{what['Key']} has at least {size} bytes."
            )
        return bytes(content)
