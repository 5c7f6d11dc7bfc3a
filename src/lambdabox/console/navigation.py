"""Where the console leads: the main pages, and the tabs of a function.

A page that is added has its line here; the templates draw what they find.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Destination:
    id: str
    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Tab:
    """One view of a function, at `/console/functions/{name}/{id}`."""

    id: str
    title: str


NAVIGATION = (
    Destination("functions", "Functions", "/console/functions"),
    Destination("layers", "Layers", "/console/layers"),
    Destination("costs", "Costs", "/console/costs"),
)

FUNCTION_TABS = (
    Tab("code", "Code"),
    Tab("test", "Test"),
    Tab("monitor", "Monitor"),
    Tab("configuration", "Configuration"),
    Tab("tuning", "Tuning"),
)
