"""The events that triggers send, as the account and region that are shown would see them."""

from lambdabox.domain.arn import Scope
from lambdabox.event_templates import catalog

HELLO = '{\n  "name": "Ada"\n}\n'
"""What a function is tried with that has no events of its own."""

_ACCOUNT = "123456789012"
_REGION = "us-east-1"


def sample_event(name: str, scope: Scope) -> str:
    """Return a template's event as JSON. Raises KeyError for no such template."""
    text = catalog.text(name)
    return text.replace(_ACCOUNT, scope.account).replace(_REGION, scope.region)
