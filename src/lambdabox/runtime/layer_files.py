"""Where the files of layers are, on the host and as the sandbox's programs see them.

A driver shows the layers merged in one place, the later over the earlier, or one by one. Either
way a later layer's file hides an earlier one's: so paths go through the layers from the last.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lambdabox.ports import Layout

LAYER_ROOT = "/opt"


def search_path(layout: Layout, *parts: str) -> list[str]:
    """Return the directories of a search path that are the layers' part of it."""
    return [os.path.join(root, *parts) for root in reversed(layout.layer_roots)]


def with_roots(layers: Sequence[Path], layout: Layout) -> Iterator[tuple[Path, str]]:
    """Yield each layer's directory on the host with where its files appear inside."""
    roots = layout.layer_roots
    for number, layer in enumerate(layers):
        yield layer, roots[min(number, len(roots) - 1)]


def find(name: str, layers: Sequence[Path], layout: Layout) -> tuple[Path, str] | None:
    """Return the file `name` of the layers: on the host and inside. Costs a few system calls."""
    found = ((layer / name, f"{root}/{name}") for layer, root in with_roots(layers, layout))
    return next((each for each in reversed([*found]) if each[0].is_file()), None)
