"""How AWS words a violated constraint, where the service model does not say.

The front end of AWS is written in Java, and shows values as Java prints them. It lists
enum values in the order of a hash table: the orders here were recorded on AWS, as were
the few lists whose text differs from the others'. The rest follows the model.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from lambdabox.api.service_model import Shape
from lambdabox.domain import runtimes

MAX_SHOWN_CHARS = 16_384

_RECORDED_ORDERS = {
    "Architecture": ("x86_64", "arm64"),
    "EventSourcePosition": ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"),
    "InvokeMode": ("RESPONSE_STREAM", "BUFFERED"),
    "RecursiveLoop": ("Terminate", "Allow"),
    "SnapStartApplyOn": ("PublishedVersions", "None"),
}

# Members that AWS checks in another order than the model has them.
_RECORDED_MEMBER_ORDERS = {
    "PublishLayerVersionRequest": ("CompatibleRuntimes", "CompatibleArchitectures"),
}

# The elements of these are not said to be non-null; those of other lists are.
NULLABLE_LISTS = frozenset({"SubnetIds", "SecurityGroupIds"})

# AWS reports its elements without "Member must satisfy constraint", and lists the
# runtimes that may be created instead of all those it knows.
COMPATIBLE_RUNTIMES = "CompatibleRuntimes"

NOT_NULL = "Member must not be null"


def enum_values(shape: Shape) -> list[str]:
    """The values of an enum in the order AWS shows them."""
    known = list(shape.metadata["enum"])
    recorded = [value for value in _RECORDED_ORDERS.get(shape.name, ()) if value in known]
    return recorded + [value for value in known if value not in recorded]


def members_in_order(shape: Shape) -> Mapping[str, Shape]:
    """The members of a structure in the order AWS tells their violations."""
    names = list(shape.members)
    recorded = _RECORDED_MEMBER_ORDERS.get(shape.name, ())
    for place, name in zip(sorted(map(names.index, recorded)), recorded, strict=True):
        names[place] = name
    return {name: shape.members[name] for name in names}


def enum_text(values: Iterable[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def compatible_runtimes_text() -> str:
    return enum_text(runtimes.CREATABLE)


def is_sensitive(shape: Shape) -> bool:
    """Whether a value must not be shown: it is secret, or holds secrets directly."""
    if shape.metadata.get("sensitive"):
        return True
    match shape.type_name:
        case "list":
            return is_sensitive(shape.member)
        case "map":
            return is_sensitive(shape.key) or is_sensitive(shape.value)
        case _:
            return False


def shown(shape: Shape, value: Any) -> str:
    """The start of a violation: the word and the value, or the word alone for secrets."""
    if value is None:
        return "Value null"
    if is_sensitive(shape):
        return "Value"
    text = java_text(shape, value)
    if len(text) > MAX_SHOWN_CHARS:
        text = f"{text[:MAX_SHOWN_CHARS]}..."
    return f"Value '{text}'"


def java_text(shape: Shape, value: Any) -> str:
    """`value` as Java's String.valueOf prints it, with its secret parts left out."""
    if value is None:
        return "null"
    if is_sensitive(shape):
        return "***"
    match shape.type_name:
        case "structure" if not shape.metadata.get("document"):
            members = (
                f"{name[:1].lower()}{name[1:]}={java_text(member, value.get(name))}"
                for name, member in shape.members.items()
            )
            return f"{shape.name}({', '.join(members)})"
        case "list":
            return f"[{', '.join(java_text(shape.member, item) for item in value)}]"
        case "map":
            pairs = (f"{key}={java_text(shape.value, item)}" for key, item in value.items())
            return f"{{{', '.join(pairs)}}}"
        case "blob":
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case "boolean":
            return "true" if value else "false"
        case "float" | "double":
            return java_double(value)
        case _:
            return str(value)


def java_double(number: float) -> str:
    """Java changes to an exponent below 0.001 and from ten million up, and keeps `.0`."""
    if number == 0 or 1e-3 <= abs(number) < 1e7:
        plain = format(Decimal(repr(number)), "f")
        return plain if "." in plain else f"{plain}.0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    figures = "".join(str(digit) for digit in digits)
    power = int(exponent) + len(figures) - 1
    return f"{'-' if sign else ''}{figures[0]}.{figures[1:] or '0'}E{power}"
