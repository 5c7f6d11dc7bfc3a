"""PublishVersion and ListVersionsByFunction."""

from collections.abc import Mapping
from typing import Any, ClassVar

from lambdabox.api import paging, render
from lambdabox.api.request import Handler, Parameters, Request
from lambdabox.control.versions import Versions
from lambdabox.domain.arn import parse_function, parse_unqualified


class VersionOperations:
    DIFFERENCES: ClassVar[Mapping[str, str]] = {
        "PublishVersion": (
            "SnapStart keeps a process and forks it, where the isolation driver can; else each "
            "environment runs the version's init, with the same hooks. Other threads than the main "
            "one are not in a fork. `$LATEST.PUBLISHED` is not there."
        ),
    }

    def __init__(self, versions: Versions) -> None:
        self._versions = versions

    def handlers(self) -> Mapping[str, Handler]:
        return {"PublishVersion": self.publish, "ListVersionsByFunction": self.list}

    async def publish(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        version = await self._versions.publish(
            parse_unqualified(parameters["FunctionName"], request.scope),
            description=parameters.get("Description"),
            code_sha256=parameters.get("CodeSha256"),
            revision_id=parameters.get("RevisionId"),
        )
        return render.configuration(version, arn=version.key.qualified_arn(version.number))

    async def list(self, request: Request, parameters: Parameters) -> dict[str, Any]:
        reference = parse_function(parameters["FunctionName"], request.scope)
        marker = paging.read_marker(parameters.get("Marker"), int)
        size = paging.page_size(parameters.get("MaxItems"))
        found = await self._versions.list_page(
            reference.key, after=marker[0] if marker else None, limit=size + 1
        )
        page = found[:size]
        last = page[-1] if page else None
        return {
            "Versions": [
                render.listed_configuration(version, arn=version.key.qualified_arn(version.number))
                for version in page
            ],
            "NextMarker": (
                paging.write_marker(0 if last.is_latest else int(last.number))
                if last and len(found) > size
                else None
            ),
        }
