"""What serves the APIs of API Gateway, built: definitions, authorizers, and functions behind."""

from lambdabox.backends.key_sets import KeySets
from lambdabox.domain import limits
from lambdabox.events.api_definitions import ApiDefinitions
from lambdabox.gateway.api_functions import ApiFunctions
from lambdabox.gateway.apis import ApiFrontEnd
from lambdabox.gateway.authorizers import ApiAuthorizers
from lambdabox.invoke.permissions import Permissions
from lambdabox.server.lambda_api import Core, Serve


def build_apis(
    core: Core, definitions: ApiDefinitions, permissions: Permissions
) -> tuple[ApiFrontEnd, Serve]:
    """Return the front end, and what runs for it as long as the node does."""
    functions = ApiFunctions(
        permissions, core.invoker, drain_seconds=core.settings.drain_seconds + limits.KILL_SECONDS
    )
    authorizers = ApiAuthorizers(functions, KeySets(core.clock), core.clock)
    return ApiFrontEnd(definitions, functions, authorizers, core.clock), functions.serve
