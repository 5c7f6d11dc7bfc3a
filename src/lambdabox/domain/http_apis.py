"""APIs of API Gateway: which stage and route a request takes, and which function that means.

HTTP APIs and REST APIs differ in how they name stages and treat a slash at the end; what is
the most specific route is the same for both. The names of a node's APIs end in `localhost`,
as those of function URLs do.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import unquote

from lambdabox.domain.arn import Scope
from lambdabox.domain.authorizers import Authorizer
from lambdabox.domain.urls import Cors

MARK = ".execute-api."
ANY: Final = "ANY"
DEFAULT: Final = "$default"
"""The route that takes what no other does, and the stage that needs no name in the path."""

PAYLOAD_1: Final = "1.0"
PAYLOAD_2: Final = "2.0"

_VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")
_ID = re.compile(r"[a-z0-9-]{1,63}")


class ApiKind(Enum):
    HTTP = "HTTP"
    REST = "REST"


@dataclass(frozen=True, slots=True)
class Integration:
    """What is behind a route."""

    function_arn: str
    """May have variables of the stage in it; empty for what is no function."""
    payload: str
    timeout_seconds: float
    acts_in_role: bool = False
    """Whether it has a role to invoke in, and so needs no permission of the function's."""

    def function(self, variables: Mapping[str, str]) -> str:
        """Return the function's ARN on a stage that has these variables."""
        return filled_in(self.function_arn, variables)


@dataclass(frozen=True, slots=True)
class Route:
    """A method, or ANY, and a path that may have parameters: `/pets/{id}`, `/{proxy+}`."""

    method: str
    path: str
    integration: Integration | None
    resource_id: str = ""
    """Of a REST API."""
    authorization: str = "NONE"
    authorizer: Authorizer | None = None
    scopes: Sequence[str] = ()
    """Of which a token must have one."""

    @property
    def key(self) -> str:
        return DEFAULT if self.path == DEFAULT else f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    variables: Mapping[str, str] = field(default_factory=dict)
    deployment_id: str = ""


@dataclass(frozen=True, slots=True)
class Api:
    """One API, as far as requests to it need to know."""

    id: str
    scope: Scope
    kind: ApiKind
    routes: Sequence[Route]
    stages: Mapping[str, Stage]
    cors: Cors | None = None
    binary_types: Sequence[str] = ()
    """Of a REST API: the media types whose bodies are base64 in events."""
    is_disabled: bool = False

    def on_stage(self, path: str) -> tuple[Stage, str] | None:
        """Return the stage that a path names, and the path in it; None if there is none."""
        name, _slash, rest = path.removeprefix("/").partition("/")
        stage = self.stages.get(unquote(name))
        if stage is not None and stage.name != DEFAULT:
            return stage, f"/{rest}"
        if self.kind is ApiKind.HTTP and DEFAULT in self.stages:
            return self.stages[DEFAULT], path
        return None

    def match(self, method: str, path: str) -> "Match | None":
        """Return the most specific route for a method and a path, which is as it was sent."""
        asked = path.removeprefix("/").split("/")
        if self.kind is ApiKind.REST and len(asked) > 1 and not asked[-1]:
            asked.pop()
        found: list[tuple[_Rank, Match]] = []
        for route in self.routes:
            if route.method not in (method, ANY):
                continue
            parameters = _parameters(route, asked)
            if parameters is not None:
                found.append((_rank(route), Match(route, parameters)))
        return min(found, key=lambda each: each[0])[1] if found else None

    def source_arn(self, stage: Stage, route: Route, method: str) -> str:
        """Return the ARN under which functions' policies know requests on a route."""
        where = DEFAULT if route.path == DEFAULT else f"{method}{route.path}"
        return f"{self._arn}/{stage.name}/{where}"

    def method_arn(self, stage: Stage, method: str, path: str) -> str:
        """Return the ARN under which the policies of authorizers know a request."""
        return f"{self._arn}/{stage.name}/{method}/{path.removeprefix('/')}"

    def authorizer_arn(self, authorizer: Authorizer) -> str:
        """Return the ARN under which functions' policies know an authorizer."""
        return f"{self._arn}/authorizers/{authorizer.id}"

    @property
    def _arn(self) -> str:
        return f"arn:aws:execute-api:{self.scope.region}:{self.scope.account}:{self.id}"


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    parameters: Mapping[str, str]
    """Of the path, decoded."""


_Rank = tuple[bool, tuple[int, ...], bool]


def _rank(route: Route) -> _Rank:
    """Least is most specific: nothing greedy, then words before parameters, one method before
    any."""
    kinds = tuple(_kind(part) for part in _parts(route))
    return route.path == DEFAULT or 2 in kinds, kinds, route.method == ANY


def _kind(part: str) -> int:
    if part == DEFAULT:
        return 3
    if not _is_parameter(part):
        return 0
    return 2 if part.endswith("+}") else 1


def _parameters(route: Route, asked: Sequence[str]) -> Mapping[str, str] | None:
    """Return the parameters of a path that the route is for, None if it is for others."""
    if route.path == DEFAULT:
        return {}
    found: dict[str, str] = {}
    parts = _parts(route)
    for index, part in enumerate(parts):
        if index >= len(asked):
            return None
        if part.endswith("+}") and _is_parameter(part):
            rest = "/".join(asked[index:])
            return {**found, part[1:-2]: unquote(rest)} if rest else None
        value = unquote(asked[index])
        if _is_parameter(part):
            if not value:
                return None
            found[part[1:-1]] = value
        elif part != value:
            return None
    return found if len(parts) == len(asked) else None


def _parts(route: Route) -> list[str]:
    return route.path.removeprefix("/").split("/")


def _is_parameter(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


def filled_in(arn: str, variables: Mapping[str, str]) -> str:
    """Return an ARN with the variables of a stage in their places."""
    return _VARIABLE.sub(lambda found: variables.get(found[1], ""), arn)


def is_api_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def domain_name(api_id: str, region: str) -> str:
    """Return the name under which this machine reaches the API."""
    return f"{api_id}{MARK}{region}.localhost"


def api_of_host(host: str) -> tuple[str, str] | None:
    """Return the id and the region that a `Host` header names, None for any other host."""
    api_id, mark, rest = host.lower().partition(MARK)
    return (api_id, rest.partition(".")[0]) if mark else None
