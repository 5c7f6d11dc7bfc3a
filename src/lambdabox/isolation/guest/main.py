"""Turn a fresh Python interpreter into a fork server for Python functions.

Started inside its view by the warden: `python -S -c "…main()" CONFIGURATION`. Imports what
every function of this interpreter needs, once, and then only forks.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from . import forkserver, messages, runner

_BOOTSTRAP = "/var/runtime/python"
REHEARSALS = 4
"""How often the fork server rehearses: a fifth changes nothing any more."""


def main() -> None:
    settings: dict[str, Any] = json.loads(sys.argv[1])
    warden = socket.socket(fileno=settings["descriptor"])
    try:
        kit = _kit(settings)
    except BaseException as exc:
        messages.send(warden, {"broken": f"{type(exc).__name__}: {exc}"})
        raise
    if kit.warm is not None:
        rehearse(kit.warm)
    # What lives now lives for good; the collector would only copy its pages into each fork.
    gc.collect()
    gc.freeze()
    forkserver.serve(warden, kit)


def rehearse(warm: Callable[[], None]) -> None:
    """Serve a function of our own a few times, so that each fork has less to do and to copy.

    The interpreter writes into code that runs for the first times; from then on forks share it.
    """
    names = [f"{mark}{name}{mark}" for name in ("stdin", "stdout", "stderr") for mark in ("", "__")]
    variables, streams = dict(os.environ), {name: getattr(sys, name) for name in names}
    for _ in range(REHEARSALS):
        runner.open_streams()
        warm()
    vars(sys).update(streams)
    os.environ.clear()
    os.environ.update(variables)


def _kit(settings: dict[str, Any]) -> forkserver.Kit:
    """Import what every function needs, and return what serves one."""
    inherited = list(sys.path)
    packages = settings["packages"]
    sys.path[:] = [_BOOTSTRAP, *([packages] if packages else []), *inherited]
    server = importlib.import_module("lambdabox_bootstrap.server")
    warming = importlib.import_module("lambdabox_bootstrap.warming")
    before = set(sys.modules)
    for name in settings["preload"]:
        _preload(name)
    preloaded = {name.partition(".")[0] for name in set(sys.modules) - before}
    sys.path[:] = [entry for entry in inherited if entry and not entry.endswith("/sandbox")]
    # A function's directory is never written to.
    sys.dont_write_bytecode = True
    sys.argv[:] = [f"{_BOOTSTRAP}/bootstrap.py"]

    def serve(channel: int) -> int:
        forget_shadowed(preloaded)
        status: int = server.serve(channel)
        return status

    def warm() -> None:
        runner.adopt(warming.ENVIRONMENT)
        forget_shadowed(preloaded)
        warming.warm()
        # Emptied now, but for what `adopt` compares with.
        runner.adopt({"TZ": warming.ENVIRONMENT["TZ"]})

    return forkserver.Kit(serve, warm, is_root=settings["is_root"])


def _preload(name: str) -> None:
    """Import a package ahead. Functions that import it themselves get the same error, or none."""
    try:
        importlib.import_module(name)
    except Exception as exc:
        why = f"lambdabox: {name} cannot be preloaded in {sys.version.split()[0]}: {exc}\n"
        os.write(2, why.encode())


def forget_shadowed(preloaded: set[str]) -> None:
    """Let the function import its own copy of a package that has been imported beforehand."""
    if not preloaded:
        return
    environ = os.environ
    roots = [
        environ.get("LAMBDA_TASK_ROOT", ""),
        *_layer_paths(environ.get("LAMBDABOX_LAYER_PATHS", "").split(os.pathsep)),
        *environ.get("PYTHONPATH", "").split(os.pathsep),
    ]
    own = {
        name
        for root in roots
        if root and os.path.isdir(root)
        for name in preloaded.intersection(entry.partition(".")[0] for entry in os.listdir(root))
    }
    for name in list(sys.modules) if own else ():
        # All of them go when one does: packages that were imported together hold on to each other.
        if name.partition(".")[0] in preloaded:
            del sys.modules[name]


def _layer_paths(layers: list[str]) -> list[str]:
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return [
        path
        for layer in layers
        if layer
        for path in (f"{layer}/python", f"{layer}/python/lib/{version}/site-packages")
    ]
