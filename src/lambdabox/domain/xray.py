"""X-Ray's trace header, and how its ids are those of OpenTelemetry.

`Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`: the digits of the
root are a trace id, those of the parent a span id. Other members, such as Lineage, are kept.
"""

import re

from lambdabox.domain.values import dataclass

_ROOT = re.compile(r"Root=1-([0-9a-f]{8})-([0-9a-f]{24})")
_PARENT = re.compile(r"Parent=([0-9a-f]{16})")
_SAMPLED = re.compile(r"Sampled=[^;]*")


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Ids in hexadecimal digits, as OpenTelemetry has them."""

    trace_id: str
    parent_id: str | None


def parse(header: str) -> TraceContext | None:
    """Return None for a header without a root that X-Ray would know."""
    root = _ROOT.search(header)
    if root is None:
        return None
    trace_id = root[1] + root[2]
    parent = _PARENT.search(header)
    parent_id = parent[1] if parent is not None else None
    if trace_id.strip("0") == "" or parent_id == "0" * 16:
        return None  # ids that OpenTelemetry calls invalid
    return TraceContext(trace_id, parent_id)


def with_parent(header: str, span_id: str) -> str:
    """Return the header for what happens within the span `span_id`, which is recorded."""
    parent, sampled = f"Parent={span_id}", "Sampled=1"
    if _PARENT.search(header):
        header = _PARENT.sub(parent, header, count=1)
    else:
        root = _ROOT.search(header)
        at = root.end() if root is not None else 0
        header = f"{header[:at]};{parent}{header[at:]}"
    if _SAMPLED.search(header):
        return _SAMPLED.sub(sampled, header, count=1)
    return f"{header};{sampled}"
