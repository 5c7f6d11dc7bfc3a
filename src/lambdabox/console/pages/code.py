"""The Code tab: the files of a function in an editor, and the other ways to change its code."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lambdabox.console.deployment_package import Edit, NotText, edited, read_listing, read_text
from lambdabox.console.forms import read_body, read_form, read_json
from lambdabox.console.function import key_of, latest_of, url_of
from lambdabox.console.rendering import View, redirect
from lambdabox.console.routing import Answer
from lambdabox.console.services import ConsoleServices
from lambdabox.console.visit import visit_of
from lambdabox.domain import limits
from lambdabox.domain.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambdabox.domain.functions import State, UpdateStatus, Version

EDIT_BYTES = 16 * 1024 * 1024
"""All changed files together, as JSON."""


class CodePage:
    def __init__(self, services: ConsoleServices, view: View) -> None:
        self._services = services
        self._view = view

    def answers(self) -> Sequence[Answer]:
        code = "/functions/{name}/code"
        return [
            Answer("GET", code, self.show),
            Answer("GET", f"{code}/file", self.file),
            Answer("GET", f"{code}/state", self.state),
            Answer("GET", f"{code}/package.zip", self.download),
            Answer("POST", f"{code}/edit", self.edit),
            Answer("POST", f"{code}/zip", self.upload),
            Answer("POST", f"{code}/s3", self.from_s3),
            Answer("POST", "/functions/{name}/layers", self.set_layers),
        ]

    async def show(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        package = self._services.blobs.path(version.code.digest)
        listing = await anyio.to_thread.run_sync(read_listing, package)
        return self._view.page(
            request,
            "code.html",
            tab="code",
            version=version,
            function_url=await url_of(request, self._services),
            listing=listing,
            files=[
                {"path": file.path, "size": file.size, "isLink": file.is_link}
                for file in listing.files
            ],
            opened=_first_file(version, [file.path for file in listing.files]),
            layers=version.settings.layers,
            known_layers=await self._known_layers(request),
            upload_limit=limits.ZIPPED_CODE_BYTES,
        )

    async def file(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        path = request.query_params.get("path", "")
        package = self._services.blobs.path(version.code.digest)
        try:
            text = await anyio.to_thread.run_sync(read_text, package, path)
        except KeyError:
            raise ResourceNotFoundException(f"The package has no file {path[:200]!r}.") from None
        except NotText as exc:
            return JSONResponse({"path": path, "reason": str(exc), "digest": version.code.digest})
        return JSONResponse({"path": path, "text": text, "digest": version.code.digest})

    async def state(self, request: Request) -> Response:
        return JSONResponse(_state(await latest_of(request, self._services)))

    async def download(self, request: Request) -> Response:
        version = await latest_of(request, self._services)
        content = await self._services.blobs.get(version.code.digest)
        name = f'attachment; filename="{version.key.name}.zip"'
        return Response(
            content, media_type="application/zip", headers={"content-disposition": name}
        )

    async def edit(self, request: Request) -> Response:
        """Deploy what the editor holds, if it is still a change of what is deployed."""
        wanted = await read_json(request, EDIT_BYTES)
        version = await latest_of(request, self._services)
        if wanted.get("digest") != version.code.digest:
            raise ResourceConflictException(
                "The code has been changed elsewhere since this page was opened. Copy what you "
                "need, reload the page and make your change again."
            )
        package = self._services.blobs.path(version.code.digest)
        edit = _edit(wanted)
        if edit.is_empty:
            return JSONResponse(_state(version))
        content = await anyio.to_thread.run_sync(edited, package, edit)
        return await self._deploy(request, version.revision_id, ZipFile=content)

    async def upload(self, request: Request) -> Response:
        content = await read_body(request, limits.ZIPPED_CODE_BYTES)
        return await self._deploy(request, None, ZipFile=content)

    async def from_s3(self, request: Request) -> Response:
        form = await read_form(request)
        source = {"S3Bucket": form.text("bucket"), "S3Key": form.text("key")}
        if version := form.text("version"):
            source["S3ObjectVersion"] = version
        return await self._deploy(request, None, **source)

    async def set_layers(self, request: Request) -> Response:
        """Make these the function's layers, in this order."""
        key = key_of(request)
        arns = [arn.strip() for arn in (await read_form(request)).all("layer") if arn.strip()]
        parameters = {"FunctionName": key.name, "Layers": arns}
        scope = visit_of(request).scope
        await self._services.api.call("UpdateFunctionConfiguration", scope, parameters)
        url = f"/console/functions/{key.name}/code"
        return redirect(request, url, message="The layers are changed.")

    async def _deploy(
        self, request: Request, revision_id: str | None, **source: str | bytes
    ) -> Response:
        key = key_of(request)
        parameters: dict[str, object] = {"FunctionName": key.name, **source}
        if revision_id is not None:
            parameters["RevisionId"] = revision_id
        await self._services.api.call("UpdateFunctionCode", visit_of(request).scope, parameters)
        return JSONResponse(_state(await latest_of(request, self._services)))

    async def _known_layers(self, request: Request) -> list[str]:
        """The newest version of each layer, to choose from."""
        call = partial(self._services.api.call, "ListLayers", visit_of(request).scope)
        listed = await call({"MaxItems": 50})
        return [layer["LatestMatchingVersion"]["LayerVersionArn"] for layer in listed["Layers"]]


def _first_file(version: Version, paths: Sequence[str]) -> str | None:
    """The file that the handler is in, else whichever comes first."""
    module = (version.settings.handler or "").rpartition(".")[0]
    named = [path for path in paths if path.rpartition(".")[0] == module]
    return next(iter([*named, *(path for path in paths if path == "bootstrap"), *paths]), None)


def _edit(wanted: Mapping[str, Any]) -> Edit:
    removed, renamed = wanted.get("removed", []), wanted.get("renamed", {})
    written = wanted.get("written", {})
    if (
        not isinstance(renamed, dict)
        or not isinstance(written, dict)
        or not isinstance(removed, list)
        or not all(isinstance(item, str) for item in [*renamed.values(), *removed])
        or not all(isinstance(text, str) for text in written.values())
    ):
        raise InvalidParameterValueException("The change is not one that the editor makes.")
    return Edit(frozenset(removed), renamed, written)


def _state(version: Version) -> dict[str, Any]:
    status = version.status
    is_busy = status.state is State.PENDING or version.is_updating
    has_failed = status.state is State.FAILED or status.update is UpdateStatus.FAILED
    return {
        "digest": version.code.digest,
        "isBusy": is_busy,
        "problem": (status.update_reason or status.state_reason) if has_failed else None,
    }
