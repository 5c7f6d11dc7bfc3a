"""PublishLayerVersion to RemoveLayerVersionPermission."""

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from lambdabox.api import paging, render
from lambdabox.api.code_links import CodeLinks
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.code import CodeSource
from lambdabox.control.layer_permissions import LayerPermissions
from lambdabox.control.layers import LayerDraft, LayerFilter, Layers
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.domain.layers import (
    LayerGrant,
    LayerKey,
    LayerVersion,
    parse_layer,
    parse_version_arn,
)


class LayerOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "PublishLayerVersion": (
            "S3ObjectStorageMode REFERENCE answers 501, and signing profiles are not taken."
        ),
        "GetLayerVersion": (
            "The link to the content is the node's own, and ends after ten minutes as on AWS."
        ),
        "GetLayerVersionByArn": "As GetLayerVersion.",
        "AddLayerVersionPermission": (
            "OrganizationId is compared with the setting `organization`, of which every account "
            "of the node is."
        ),
    }

    def __init__(self, layers: Layers, permissions: LayerPermissions, links: CodeLinks) -> None:
        self._layers = layers
        self._permissions = permissions
        self._links = links

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "PublishLayerVersion": self.publish,
            "GetLayerVersion": self.get,
            "GetLayerVersionByArn": self.get_by_arn,
            "ListLayers": self.list_layers,
            "ListLayerVersions": self.list_versions,
            "DeleteLayerVersion": self.delete,
            "AddLayerVersionPermission": self.add_permission,
            "GetLayerVersionPolicy": self.get_policy,
            "RemoveLayerVersionPermission": self.remove_permission,
        }

    async def publish(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        content = parameters["Content"]
        draft = LayerDraft(
            source=CodeSource(
                zip_file=content.get("ZipFile"),
                bucket=content.get("S3Bucket"),
                key=content.get("S3Key"),
                object_version=content.get("S3ObjectVersion"),
                storage_mode=content.get("S3ObjectStorageMode"),
            ),
            description=parameters.get("Description", ""),
            runtimes=_tuple(parameters.get("CompatibleRuntimes")),
            architectures=_tuple(parameters.get("CompatibleArchitectures")),
            license=parameters.get("LicenseInfo"),
        )
        version = await self._layers.publish(_layer(request, parameters), draft, request.scope)
        return self._whole(version, request)

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        version = await self._layers.get(
            _layer(request, parameters), parameters["VersionNumber"], request.scope
        )
        return self._whole(version, request)

    async def get_by_arn(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        named = parse_version_arn(parameters["Arn"])
        if named is None:
            raise ResourceNotFoundException("The resource you requested does not exist.")
        key, number = named
        version = await self._layers.get(parse_layer(key.arn, request.scope), number, request.scope)
        return self._whole(version, request)

    async def list_layers(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._layers.newest(
            request.scope, _filter(parameters), after=marker[0] if marker else None, limit=size + 1
        )
        page = found[:size]
        return {
            "Layers": [
                {
                    "LayerName": version.key.name,
                    "LayerArn": version.key.arn,
                    "LatestMatchingVersion": _listed(version),
                }
                for version in page
            ],
            "NextMarker": (paging.write_marker(page[-1].key.name) if len(found) > size else None),
        }

    async def list_versions(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        marker = paging.read_marker(parameters.get("Marker"), int)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._layers.versions_of(
            _layer(request, parameters),
            _filter(parameters),
            request.scope,
            before=marker[0] if marker else None,
            limit=size + 1,
        )
        page = found[:size]
        return {
            "LayerVersions": [_listed(version) for version in page],
            "NextMarker": paging.write_marker(page[-1].number) if len(found) > size else None,
        }

    async def delete(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = _layer(request, parameters)
        await self._layers.delete(key, parameters["VersionNumber"], request.scope)
        return {}

    async def add_permission(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key, number = _layer(request, parameters), parameters["VersionNumber"]
        grant = LayerGrant(
            parameters["StatementId"], parameters["Principal"], parameters.get("OrganizationId")
        )
        policy = await self._permissions.add(
            key, number, grant, request.scope, parameters.get("RevisionId")
        )
        statement = grant.statement(key.version_arn(number))
        return {"Statement": orjson.dumps(statement).decode(), "RevisionId": policy.revision_id}

    async def get_policy(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key, number = _layer(request, parameters), parameters["VersionNumber"]
        policy = await self._permissions.get(key, number, request.scope)
        return {
            "Policy": policy.document(key.version_arn(number)),
            "RevisionId": policy.revision_id,
        }

    async def remove_permission(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._permissions.remove(
            _layer(request, parameters),
            parameters["VersionNumber"],
            parameters["StatementId"],
            request.scope,
            parameters.get("RevisionId"),
        )
        return {}

    def _whole(self, version: LayerVersion, request: Request) -> dict[str, Any]:
        return {
            "Content": {
                "Location": self._links.make(version.key, version.code, request.base_url),
                "CodeSha256": version.code.sha256_base64,
                "CodeSize": version.code.size_bytes,
            },
            "LayerArn": version.key.arn,
            **_listed(version),
        }


def _listed(version: LayerVersion) -> dict[str, Any]:
    return {
        "LayerVersionArn": version.arn,
        "Version": version.number,
        "Description": version.description,
        "CreatedDate": render.timestamp(version.created),
        "CompatibleRuntimes": _list(version.runtimes),
        "CompatibleArchitectures": _list(version.architectures),
        "LicenseInfo": version.license,
    }


def _layer(request: Request, parameters: Parameters) -> LayerKey:
    return parse_layer(parameters["LayerName"], request.scope)


def _filter(parameters: Parameters) -> LayerFilter:
    return LayerFilter(
        parameters.get("CompatibleRuntime"), parameters.get("CompatibleArchitecture")
    )


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _list(values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else list(values)
