"""CreateFunction to DeleteFunction."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api import paging, render
from lambdabox.api.code_links import CodeLinks
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.api.settings import changes
from lambdabox.control.code import CodeSource
from lambdabox.control.functions import CodeUpdate, Functions
from lambdabox.control.reserved_concurrency import ReservedConcurrency
from lambdabox.control.tags import Tags
from lambdabox.domain.arn import (
    FunctionKey,
    FunctionReference,
    parse_function,
    parse_unqualified,
)
from lambdabox.domain.functions import FunctionSettings, Version
from lambdabox.repositories.functions import Place

_SETTINGS = (
    "Container images and S3ObjectStorageMode REFERENCE answer 501. VpcConfig, "
    "FileSystemConfigs, TracingConfig and RuntimeConfig are kept and "
    "shown, and have no effect yet. KMSKeyArn names a key and is no other: variables are "
    "encrypted with the node's own. The role is not looked up, because the node has no IAM."
)


class FunctionOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "CreateFunction": f"{_SETTINGS} Some runtimes that AWS creates no more are taken.",
        "UpdateFunctionConfiguration": _SETTINGS,
        "UpdateFunctionCode": "The code of a container image is not taken.",
        "GetFunction": (
            "The link to the code is the node's own, and ends after ten minutes as on AWS."
        ),
        "ListFunctions": (
            "There is no other region's edge replica, so MasterRegion changes nothing."
        ),
        "DeleteFunction": "Takes effect at once; what runs at that moment may end.",
    }

    def __init__(
        self,
        functions: Functions,
        tags: Tags,
        concurrency: ReservedConcurrency,
        links: CodeLinks,
    ) -> None:
        self._functions = functions
        self._tags = tags
        self._concurrency = concurrency
        self._links = links

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateFunction": self.create,
            "GetFunction": self.get,
            "GetFunctionConfiguration": self.get_configuration,
            "ListFunctions": self.list,
            "UpdateFunctionCode": self.update_code,
            "UpdateFunctionConfiguration": self.update_configuration,
            "DeleteFunction": self.delete,
        }

    async def create(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        version = await self._functions.create(
            _named(request, parameters),
            FunctionSettings(**changes(parameters)),
            _source(parameters["Code"]),
            tags=parameters.get("Tags", {}),
            publish=parameters.get("Publish", False),
            signing_config=parameters.get("CodeSigningConfigArn"),
        )
        return render.configuration(version, arn=version.key.arn)

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        version = await self._functions.get(reference)
        tags = await self._tags.get(reference.key)
        reserved = await self._concurrency.get(reference.key)
        return {
            "Configuration": render.configuration(version, arn=reference.arn),
            "Code": {
                "RepositoryType": "S3",
                "Location": self._links.make(version.key, version.code, request.base_url),
            },
            "Tags": tags or None,
            "Concurrency": (
                {"ReservedConcurrentExecutions": reserved} if reserved is not None else None
            ),
        }

    async def get_configuration(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        return render.configuration(await self._functions.get(reference), arn=reference.arn)

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        marker = paging.read_marker(parameters.get("Marker"), str, int)
        size = paging.page_size(parameters.get("MaxItems"))
        every = parameters.get("FunctionVersion") == "ALL"
        found = await self._functions.list_page(
            request.scope,
            after=Place(*marker) if marker else None,
            limit=size + 1,
            all_versions=every,
        )
        page = found[:size]
        return {
            "Functions": [
                render.listed_configuration(
                    version, arn=_qualified(version) if every else version.key.arn
                )
                for version in page
            ],
            "NextMarker": _marker(page[-1]) if len(found) > size else None,
        }

    async def update_code(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        architectures = parameters.get("Architectures")
        publish = parameters.get("Publish", False)
        version = await self._functions.update_code(
            _named(request, parameters),
            CodeUpdate(
                source=_source(parameters),
                architecture=architectures[0] if architectures else None,
                publish=publish,
                dry_run=parameters.get("DryRun", False),
                revision_id=parameters.get("RevisionId"),
            ),
        )
        return render.configuration(
            version, arn=_qualified(version) if publish else version.key.arn
        )

    async def update_configuration(
        self, request: Request, parameters: Parameters
    ) -> dict[str, Any]:
        version = await self._functions.update_settings(
            _named(request, parameters), changes(parameters), parameters.get("RevisionId")
        )
        return render.configuration(version, arn=version.key.arn)

    async def delete(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._functions.delete(_reference(request, parameters))
        return {"StatusCode": 204}


def _reference(request: Request, parameters: Parameters) -> FunctionReference:
    return parse_function(parameters["FunctionName"], request.scope, parameters.get("Qualifier"))


def _named(request: Request, parameters: Parameters) -> FunctionKey:
    """Return the function that a change of `$LATEST` names."""
    return parse_unqualified(parameters["FunctionName"], request.scope)


def _source(members: Mapping[str, Any]) -> CodeSource:
    return CodeSource(
        zip_file=members.get("ZipFile"),
        bucket=members.get("S3Bucket"),
        key=members.get("S3Key"),
        object_version=members.get("S3ObjectVersion"),
        image_uri=members.get("ImageUri"),
        storage_mode=members.get("S3ObjectStorageMode"),
    )


def _qualified(version: Version) -> str:
    return version.key.qualified_arn(version.number)


def _marker(version: Version) -> str:
    return paging.write_marker(version.key.name, 0 if version.is_latest else int(version.number))
