"""The function that a page is about, from the page's address."""

import re

from starlette.requests import Request

from lambdabox.console.services import ConsoleServices
from lambdabox.console.visit import visit_of
from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.errors import ResourceNotFoundException
from lambdabox.domain.functions import Version

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def key_of(request: Request) -> FunctionKey:
    """Raises ResourceNotFoundException for what cannot be a function's name."""
    name: str = request.path_params["name"]
    if not _NAME.fullmatch(name):
        raise ResourceNotFoundException("There is no function of this name.")
    scope = visit_of(request).scope
    return FunctionKey(scope.account, scope.region, name)


async def url_of(request: Request, services: ConsoleServices) -> str | None:
    """Return the URL that the function answers at, if it has one of its own."""
    visit = visit_of(request)
    parameters = {"FunctionName": key_of(request).name}
    try:
        found = await services.api.call(
            "GetFunctionUrlConfig", visit.scope, parameters, base_url=visit.base_url
        )
    except ResourceNotFoundException:
        return None
    url: str = found["FunctionUrl"]
    return url


async def latest_of(request: Request, services: ConsoleServices) -> Version:
    """Return the function's `$LATEST`. Raises ResourceNotFoundException."""
    key = key_of(request)
    version = await services.repository.get(key)
    if version is None:
        raise ResourceNotFoundException(
            f"There is no function {key.name} in {key.region} of account {key.account}."
        )
    return version
