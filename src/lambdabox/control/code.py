"""Take in a deployment package: fetch it, check it, store it by its content.

A package is stored, durably, before any record refers to it; one that no record came to
refer to is swept at the next start.
"""

import io
from collections.abc import Collection
from pathlib import Path

import anyio.to_thread

from lambdabox.domain import limits
from lambdabox.domain.arn import Scope
from lambdabox.domain.errors import (
    CodeStorageExceededException,
    InvalidParameterValueException,
    NotImplementedException,
    RequestEntityTooLargeException,
)
from lambdabox.domain.functions import Code, LayerUse
from lambdabox.domain.values import dataclass
from lambdabox.ports import BlobStore, ObjectFetcher
from lambdabox.repositories.functions import Totals
from lambdabox.runtime.archive import inspect


@dataclass(frozen=True, slots=True)
class CodeSource:
    """Where a request says its code is: in itself, or in a bucket."""

    zip_file: bytes | None = None
    bucket: str | None = None
    key: str | None = None
    object_version: str | None = None
    image_uri: str | None = None
    storage_mode: str | None = None


class CodeIntake:
    def __init__(self, blobs: BlobStore, objects: ObjectFetcher) -> None:
        self._blobs = blobs
        self._objects = objects

    async def take(self, source: CodeSource, scope: Scope) -> Code:
        """Store the package and return its name.

        Raises InvalidParameterValueException for a package that is missing, unreadable or too
        large when unzipped, RequestEntityTooLargeException for one too large as it is.
        """
        content = await self._content(source, scope)
        if not content:
            raise InvalidParameterValueException("Uploaded file must be a non-empty zip")
        await anyio.to_thread.run_sync(_check, content)
        return Code(await self._blobs.put(content), len(content))

    async def unzipped_bytes(self, code: Code) -> int:
        """Return how large a stored package is when it is unzipped."""
        return await anyio.to_thread.run_sync(_unzipped_bytes, self._blobs.path(code.digest))

    async def check_with_layers(self, code: Code, layers: Collection[LayerUse]) -> None:
        """Raise InvalidParameterValueException if a function's code and layers are too large."""
        if not layers:
            return
        total = await self.unzipped_bytes(code) + sum(layer.unzipped_bytes for layer in layers)
        if total > limits.UNZIPPED_CODE_BYTES:
            raise InvalidParameterValueException(
                "Function code combined with layers exceeds the maximum allowed size of "
                f"{limits.UNZIPPED_CODE_BYTES} bytes. The actual size is {total} bytes."
            )

    async def _content(self, source: CodeSource, scope: Scope) -> bytes:
        if source.storage_mode == "REFERENCE":
            raise NotImplementedException(
                "S3ObjectStorageMode REFERENCE is not implemented in this release of lambdabox; "
                "leave it out to have the code copied."
            )
        if source.zip_file is not None and (source.bucket or source.key):
            raise InvalidParameterValueException(
                "Please do not provide other FunctionCode parameters when providing a ZipFile."
            )
        if source.zip_file is not None:
            if len(source.zip_file) > limits.ZIPPED_CODE_BYTES:
                raise RequestEntityTooLargeException(
                    f"Zipped size must be smaller than {limits.ZIPPED_CODE_BYTES} bytes"
                )
            return source.zip_file
        if not source.bucket or not source.key:
            raise InvalidParameterValueException("Please provide a source for function code.")
        return await self._objects.fetch(
            source.bucket,
            source.key,
            object_version=source.object_version,
            region=scope.region,
            account=scope.account,
            limit=limits.UNZIPPED_CODE_BYTES,
        )


def check_room(totals: Totals, code: Code) -> None:
    """Raise CodeStorageExceededException if an account's code storage is too full for `code`."""
    if totals.code_bytes + code.size_bytes > limits.CODE_STORAGE_BYTES:
        raise CodeStorageExceededException("Code storage limit exceeded.")


def _check(content: bytes) -> None:
    inspect(io.BytesIO(content), limit_bytes=limits.UNZIPPED_CODE_BYTES)


def _unzipped_bytes(package: Path) -> int:
    return inspect(package, limit_bytes=limits.UNZIPPED_CODE_BYTES).unzipped_bytes
