"""Remember what applies to a function's events, because each event asks.

Forgotten when the function changes, as deployments are. Also the place where an invocation
that would go on for ever is refused.
"""

from lambdabox.domain import lineage
from lambdabox.domain.arn import FunctionReference
from lambdabox.domain.errors import RecursiveInvocationException
from lambdabox.domain.event_invoke import EventRules
from lambdabox.domain.invocations import Invocation
from lambdabox.ports import Bus
from lambdabox.repositories.event_rules import EventRulesRepository

CAPACITY = 10_000


class RuleBook:
    def __init__(self, repository: EventRulesRepository, bus: Bus, *, changes: str) -> None:
        self._repository = repository
        self._known: dict[FunctionReference, EventRules] = {}
        self._references: dict[str, set[FunctionReference]] = {}
        self._changes = 0
        bus.subscribe(changes, self.forget)

    def known(self, reference: FunctionReference) -> EventRules | None:
        return self._known.get(reference)

    async def get(self, reference: FunctionReference) -> EventRules:
        known = self._known.get(reference)
        if known is not None:
            return known
        changes = self._changes
        rules = await self._repository.get(reference)
        # Remembered only if nothing changed while the database was asked. That a function is
        # switched off is asked again each time: nobody says when it is switched on.
        is_lasting = changes == self._changes and not rules.is_switched_off
        if is_lasting and len(self._known) < CAPACITY:
            self._known[reference] = rules
            self._references.setdefault(reference.key.arn, set()).add(reference)
        return rules

    def forget(self, arn: str) -> None:
        """What was known of the function with this unqualified ARN may not hold any more."""
        self._changes += 1
        for reference in self._references.pop(arn, ()):
            self._known.pop(reference, None)

    async def check(self, reference: FunctionReference, invocation: Invocation) -> None:
        """Raise RecursiveInvocationException for one pass too many through the function."""
        if not lineage.is_loop(invocation.trace, reference.key.arn):
            return
        if (await self.get(reference)).ends_loops:
            raise RecursiveInvocationException(lineage.REFUSED)
