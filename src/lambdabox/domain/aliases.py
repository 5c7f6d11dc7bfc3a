"""Aliases: names that lead to a version of their function, or to two.

With a routing, each invocation draws which of the two it runs, so that a new version can be
tried on some of the traffic. An alias is a name for clients to keep while versions change.
"""

from lambdabox.domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Routing:
    """A further version, and its share of the alias's invocations, from 0 to 1."""

    version: str
    weight: float


@dataclass(frozen=True, slots=True)
class Alias:
    name: str
    function_version: str
    """A version's number, or $LATEST."""
    revision_id: str
    description: str = ""
    routing: Routing | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that the alias leads to."""
        further = () if self.routing is None else (self.routing.version,)
        return (self.function_version, *further)
