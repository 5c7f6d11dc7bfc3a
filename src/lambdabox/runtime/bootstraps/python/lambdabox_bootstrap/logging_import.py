"""Run something right after the first import of the logging module.

On AWS logging is imported before user code, so a function's own `logging.py` never takes
its place; here neither.
"""

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

TYPE_CHECKING = False  # typing's own costs milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.abc import Loader

STANDARD_LIBRARY = os.path.dirname(os.path.abspath(os.__file__))


def on_import_of_logging(run: "Callable[[], None]") -> None:
    sys.meta_path.insert(0, _Finder(run))


class _Finder:
    """Finds the logging module, once, and leaves."""

    def __init__(self, run: "Callable[[], None]") -> None:
        self._run = run

    def find_spec(
        self, name: str, _path: object = None, _target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name != "logging" or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, [STANDARD_LIBRARY])
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._run)  # type: ignore[assignment]  # a Loader in all but base class, whose module is slow to import
        return spec


class _Loader:
    """Loads the module with its own loader, hands it back to that one, then runs."""

    def __init__(self, loader: "Loader", run: "Callable[[], None]") -> None:
        self._loader = loader
        self._run = run

    def create_module(self, spec: ModuleSpec) -> "ModuleType | None":
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._run()
