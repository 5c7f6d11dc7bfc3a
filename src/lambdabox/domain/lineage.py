"""How often a chain of events has passed through a function, to end endless loops.

AWS counts in the trace header, in its member `Lineage`: `a87bd80c:0|68fd508a:5` says that
the first function was invoked once in this chain and the second six times. Services and
SDKs pass the header on, so the count survives a way through a queue or a bucket.
"""

from functools import lru_cache
from hashlib import sha256

MAX_PASSES = 16
"""A function that was invoked so often in a chain is not invoked once more."""

REFUSED = (
    "Lambda has detected your function being invoked in a recursive loop with other AWS resources "
    "and stopped your function's invocation."
)

_MEMBER = ";Lineage="
_MAX_FUNCTIONS = 20
"""Of a longer chain the functions that came first are forgotten: the header stays short."""


def extend(trace: str, function_arn: str) -> str:
    """Return the header that an invocation of the function carries, given the one it came with."""
    mine = _digits(function_arn)
    head, member, lineage = trace.partition(_MEMBER)
    if not member:
        return f"{trace}{_MEMBER}{mine}:0"
    lineage, _, rest = lineage.partition(";")
    entries = [entry for entry in lineage.split("|") if not _is_of(entry, mine)]
    entries = [*entries[1 - _MAX_FUNCTIONS :], f"{mine}:{passes(trace, function_arn)}"]
    return f"{head}{_MEMBER}{'|'.join(entries)}" + (f";{rest}" if rest else "")


def passes(trace: str, function_arn: str) -> int:
    """Return how often the function has been invoked in the chain that `trace` comes from."""
    _, member, lineage = trace.partition(_MEMBER)
    if not member:
        return 0
    mine = _digits(function_arn)
    for entry in lineage.partition(";")[0].split("|"):
        count = entry.rpartition(":")[2]
        if _is_of(entry, mine) and count.isascii() and count.isdecimal():
            return int(count[:6]) + 1
    return 0


def is_loop(trace: str, function_arn: str) -> bool:
    """Whether an invocation that carries `trace`, already extended, is one too many."""
    return passes(trace, function_arn) > MAX_PASSES


def _is_of(entry: str, digits: str) -> bool:
    return entry.startswith(digits + ":")


@lru_cache(maxsize=4096)
def _digits(function_arn: str) -> str:
    return sha256(function_arn.encode()).hexdigest()[:8]
