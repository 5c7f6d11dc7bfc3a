"""Read OpenAPI documents as API Gateway takes them: which operation leads where, and for whom.

Both versions, 2 and 3, of which SAM writes each. What stands for API Gateway imports neither
completely, and leaves out who may call: so the documents are read here, and what they declare
is made one by one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdabox.domain.templates import TemplateError
from lambdabox.stacks.resources.kinds import Properties, ResourceError, Work, picked
from lambdabox.stacks.template_text import read_text

ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"

_METHODS = frozenset({
    "get", "put", "post", "delete", "options", "head", "patch", "trace", ANY_METHOD
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scheme:
    """A way to say who may call: an authorizer's, IAM's, or a key that is asked for."""

    name: str
    kind: str
    """As `x-amazon-apigateway-authtype` has it: awsSigv4, custom, jwt, …; empty for what API
    Gateway has no part in."""
    authorizer: Mapping[str, Any] | None = None
    header: str = "Authorization"
    """Where the caller says who it is."""
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    path: str
    method: str
    """`GET` and the like, or ANY."""
    integration: Mapping[str, Any] | None
    scheme: Scheme | None = None
    scopes: tuple[str, ...] = ()
    needs_key: bool = False
    name: str | None = None
    responses: tuple[str, ...] = ()
    """The statuses that it declares."""


@dataclass(frozen=True, slots=True)
class ApiDocument:
    title: str | None
    description: str | None
    version: str | None
    operations: tuple[Operation, ...]
    authorizers: tuple[Scheme, ...]
    cors: Mapping[str, Any] | None = None
    binary_types: tuple[str, ...] = field(default=())


async def document_of(work: Work, properties: Properties) -> ApiDocument | None:
    """Return what the properties hold or name, None if they do neither. Raises ResourceError."""
    body = properties.get("Body")
    if "BodyS3Location" in properties:
        where = picked(properties["BodyS3Location"], "Bucket", "Key")
        body = (await work.call("s3", "GetObject", where))["Body"]
    if body is None:
        return None
    try:
        if isinstance(body, bytes):
            body = read_text(body.decode())
        elif isinstance(body, str):
            body = read_text(body)
        return read_document(body)
    except (TemplateError, UnicodeDecodeError) as exc:
        raise ResourceError(f"Unable to parse API definition: {exc}") from exc


def read_document(body: Any) -> ApiDocument:
    """Raises ResourceError."""
    if not isinstance(body, Mapping) or not isinstance(body.get("paths", {}), Mapping):
        raise ResourceError("Unable to parse API definition: it is no OpenAPI document.")
    schemes = _schemes(body)
    info = body.get("info") or {}
    return ApiDocument(
        title=_text(info.get("title")),
        description=_text(info.get("description")),
        version=_text(info.get("version")),
        operations=tuple(_operations(body, schemes)),
        authorizers=tuple(each for each in schemes.values() if each.authorizer is not None),
        cors=body.get("x-amazon-apigateway-cors"),
        binary_types=tuple(body.get("x-amazon-apigateway-binary-media-types") or ()),
    )


def _schemes(body: Mapping[str, Any]) -> dict[str, Scheme]:
    declared = body.get("securityDefinitions") or (body.get("components") or {}).get(
        "securitySchemes"
    )
    found = {}
    for name, given in (declared or {}).items():
        authorizer = given.get("x-amazon-apigateway-authorizer")
        kind = given.get("x-amazon-apigateway-authtype") or (authorizer or {}).get("type") or ""
        header = str(given.get("name", "Authorization"))
        is_key = not kind and given.get("type") == "apiKey" and header.lower() == "x-api-key"
        found[name] = Scheme(name, str(kind), authorizer, header, is_key)
    return found


def _operations(body: Mapping[str, Any], schemes: Mapping[str, Scheme]) -> Iterator[Operation]:
    for path, item in body.get("paths", {}).items():
        for method, given in item.items():
            if method.lower() not in _METHODS:
                continue
            asked = given.get("security", body.get("security")) or ()
            named = {name: scopes for each in asked for name, scopes in each.items()}
            if unknown := sorted(named.keys() - schemes.keys()):
                raise ResourceError(
                    f"Unable to parse API definition: {path} asks for {unknown[0]}, which is no "
                    "security scheme."
                )
            scheme = next((schemes[name] for name in named if schemes[name].kind), None)
            if scheme is None and (given.get("x-amazon-apigateway-auth") or {}).get("type") == (
                "AWS_IAM"
            ):
                scheme = Scheme("", "awsSigv4")
            yield Operation(
                path=path,
                method="ANY" if method.lower() == ANY_METHOD else method.upper(),
                integration=_integration(body, given),
                scheme=scheme,
                scopes=tuple(named.get(scheme.name) or ()) if scheme else (),
                needs_key=any(schemes[name].is_key for name in named),
                name=_text(given.get("operationId")),
                responses=tuple(str(status) for status in given.get("responses") or ()),
            )


def _integration(body: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    integration = given.get(INTEGRATION)
    match integration:
        case {"$ref": str(reference)} if reference.startswith("#/"):
            found: Any = body
            for part in reference.removeprefix("#/").split("/"):
                found = found.get(part) if isinstance(found, Mapping) else None
            if not isinstance(found, Mapping):
                raise ResourceError(
                    f"Unable to parse API definition: there is nothing at {reference}."
                )
            return found
        case Mapping():
            return integration
        case _:
            return None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
