"""Read code from an S3-compatible store, the one that the operator has named.

AWS's own S3 is never assumed: without an endpoint the answer is which setting to set. The
caller's account travels as the access key id, which is how local stores tell accounts
apart. The machine's AWS configuration plays no part. Importing botocore's client takes half
a second and creating one a tenth, so both happen at first use, in a worker thread.
"""

import os
import threading
import time
from contextlib import closing
from functools import partial
from typing import Any

import anyio.to_thread
from anyio import CapacityLimiter

from lambdabox.domain.errors import InvalidParameterValueException

_SETTING = "s3_endpoint (LAMBDABOX_S3_ENDPOINT)"
_FETCHERS = 4
_CLIENTS = 32
_CHUNK_BYTES = 256 * 1024
_CONNECT_SECONDS = 5.0
_READ_SECONDS = 30.0
_WHOLE_SECONDS = 300.0

# The operator's own AWS profile must not decide which account a caller is.
_NO_PROFILE = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class S3Fetcher:
    """An ObjectFetcher. `endpoint` is the store's address, or None if none is set."""

    def __init__(
        self,
        endpoint: str | None,
        *,
        connect_seconds: float = _CONNECT_SECONDS,
        read_seconds: float = _READ_SECONDS,
        whole_seconds: float = _WHOLE_SECONDS,
    ) -> None:
        self._endpoint = endpoint
        self._whole_seconds = whole_seconds
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._creating = threading.Lock()  # a session may not be used by two threads at once
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
        if self._endpoint is None:
            raise InvalidParameterValueException(
                f"The code s3://{bucket}/{key} cannot be read: no S3-compatible store is set. Set"
                f" {_SETTING} to the address of one, or upload the code as ZipFile."
            )
        version = {"VersionId": object_version} if object_version else {}
        work = partial(self._read, region, account, limit, Bucket=bucket, Key=key, **version)
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _read(self, region: str, account: str, limit: int, **what: str) -> bytes:
        # Imported here and not above, so that a node that never reads S3 starts without.
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            response = self._client(region, account).get_object(**what)
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

    def _client(self, region: str, account: str) -> Any:
        with self._creating:
            client = self._clients.get((region, account))
            if client is None:
                if len(self._clients) >= _CLIENTS:
                    del self._clients[next(iter(self._clients))]
                client = self._clients[region, account] = self._create(region, account)
        return client

    def _create(self, region: str, account: str) -> Any:
        # Imported here for the same reason as above.
        import botocore.session
        from botocore.config import Config

        if self._session is None:
            self._session = botocore.session.Session(session_vars=_NO_PROFILE)
        return self._session.create_client(
            "s3",
            region_name=region,
            endpoint_url=self._endpoint,
            aws_access_key_id=account,
            aws_secret_access_key="test",  # noqa: S106  # local stores do not check it
            config=Config(
                connect_timeout=self._connect_seconds,
                read_timeout=self._read_seconds,
                retries={"mode": "standard", "total_max_attempts": 2},
                s3={"addressing_style": "path"},
                proxies={},
            ),
        )
