"""CreateFunctionUrlConfig to DeleteFunctionUrlConfig."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from lambdabox.api import paging
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.urls import FunctionUrls, UrlChanges
from lambdabox.domain.arn import FunctionReference, parse_function
from lambdabox.domain.urls import Cors, FunctionUrl, domain_name

_ADDRESS = (
    "FunctionUrl is `http://{id}.lambda-url.{region}.localhost` with the node's port; see "
    "[urls.md](urls.md)."
)


class UrlOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "CreateFunctionUrlConfig": _ADDRESS,
        "GetFunctionUrlConfig": _ADDRESS,
        "UpdateFunctionUrlConfig": _ADDRESS,
        "ListFunctionUrlConfigs": _ADDRESS,
        "DeleteFunctionUrlConfig": "Takes effect at once.",
    }

    def __init__(self, urls: FunctionUrls) -> None:
        self._urls = urls

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "CreateFunctionUrlConfig": self.create,
            "GetFunctionUrlConfig": self.get,
            "ListFunctionUrlConfigs": self.list,
            "UpdateFunctionUrlConfig": self.update,
            "DeleteFunctionUrlConfig": self.delete,
        }

    async def create(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        url = await self._urls.create(
            reference,
            auth_type=parameters["AuthType"],
            invoke_mode=parameters.get("InvokeMode"),
            cors=_cors(parameters),
        )
        document = _document(request, reference, url)
        del document["LastModifiedTime"]
        return document

    async def get(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        return _document(request, reference, await self._urls.get(reference))

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        key = parse_function(parameters["FunctionName"], request.scope).key
        marker = paging.read_marker(parameters.get("Marker"), str)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._urls.list_page(key, after=marker[0] if marker else None, limit=size + 1)
        page = found[:size]
        return {
            "FunctionUrlConfigs": [
                _document(
                    request, FunctionReference(owned.key, owned.qualifier or None), owned.record
                )
                for owned in page
            ],
            "NextMarker": (paging.write_marker(page[-1].qualifier) if len(found) > size else None),
        }

    async def update(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = _reference(request, parameters)
        changes = UrlChanges(
            auth_type=parameters.get("AuthType"),
            invoke_mode=parameters.get("InvokeMode"),
            cors=_cors(parameters),
        )
        return _document(request, reference, await self._urls.update(reference, changes))

    async def delete(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        await self._urls.delete(_reference(request, parameters))
        return {}


def _reference(request: Request, parameters: Parameters) -> FunctionReference:
    return parse_function(parameters["FunctionName"], request.scope, parameters.get("Qualifier"))


def _document(request: Request, reference: FunctionReference, url: FunctionUrl) -> dict[str, Any]:
    return {
        "FunctionUrl": _address(url.id, reference.key.region, request.base_url),
        "FunctionArn": reference.arn,
        "AuthType": url.auth_type,
        "Cors": _cors_document(url.cors) if url.cors else None,
        "CreationTime": _timestamp(url.created_at),
        "LastModifiedTime": _timestamp(url.modified_at),
        "InvokeMode": url.invoke_mode,
    }


def _address(url_id: str, region: str, base_url: str) -> str:
    """Return the URL on the port by which this client reaches the node."""
    port = urlsplit(base_url).port
    suffix = f":{port}" if port is not None else ""
    return f"http://{domain_name(url_id, region)}{suffix}/"


def _timestamp(seconds: float) -> str:
    """`2026-11-23T06:00:00.123456Z`, the form of these operations alone."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _cors(parameters: Parameters) -> Cors | None:
    given = parameters.get("Cors")
    if given is None:
        return None
    return Cors(
        allow_credentials=given.get("AllowCredentials"),
        allow_headers=_texts(given.get("AllowHeaders")),
        allow_methods=_texts(given.get("AllowMethods")),
        allow_origins=_texts(given.get("AllowOrigins")),
        expose_headers=_texts(given.get("ExposeHeaders")),
        max_age_seconds=given.get("MaxAge"),
    )


def _cors_document(cors: Cors) -> dict[str, Any]:
    return {
        "AllowCredentials": cors.allow_credentials,
        "AllowHeaders": cors.allow_headers,
        "AllowMethods": cors.allow_methods,
        "AllowOrigins": cors.allow_origins,
        "ExposeHeaders": cors.expose_headers,
        "MaxAge": cors.max_age_seconds,
    }


def _texts(given: Any) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)
