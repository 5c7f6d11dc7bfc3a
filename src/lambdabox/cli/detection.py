"""Guess a function's runtime and handler from its files, as a person would.

A guess is always said aloud with its reason, and an option overrides it. The version
of a language is this machine's, because a node here can certainly run that one.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass

from lambdabox.cli.output import CommandError
from lambdabox.domain.runtimes import CREATABLE, Family

ReadSource = Callable[[str], str]
"""Return the text of a file of the package."""

_MODULES = ("lambda_function", "app", "main", "handler", "index", "function")
_NODE_SUFFIXES = (".mjs", ".js", ".cjs")
_PYTHON_HANDLERS = ("lambda_handler", "handler", "main")
_FALLBACK = {Family.PYTHON: "python3.13", Family.NODE: "nodejs22.x"}


@dataclass(frozen=True, slots=True)
class Guess:
    runtime: str
    handler: str
    reason: str


def guess(
    names: Collection[str], read: ReadSource, *, runtime: str | None, handler: str | None
) -> Guess:
    """Return what the options leave open. Raises CommandError if the files do not tell."""
    if runtime is not None and handler is not None:
        return Guess(runtime, handler, "as given")
    family = _family(runtime)
    if "bootstrap" in names and family in (None, Family.PROVIDED):
        return Guess(runtime or "provided.al2023", handler or "bootstrap", "there is a bootstrap")
    found = _entry_file(names, handler, family)
    if found is None:
        raise CommandError(_nothing_found(runtime, handler))
    module, suffix = found
    language = Family.PYTHON if suffix == ".py" else Family.NODE
    return Guess(
        runtime or runtime_of_this_machine(language),
        handler or f"{module}.{_function(language, read, module + suffix)}",
        f"there is {module}{suffix}",
    )


def _family(runtime: str | None) -> Family | None:
    if runtime is None:
        return None
    if runtime not in CREATABLE:
        raise CommandError(f"there is no runtime {runtime!r}; there are {', '.join(CREATABLE)}")
    return CREATABLE[runtime].family


def _entry_file(
    names: Collection[str], handler: str | None, family: Family | None
) -> tuple[str, str] | None:
    """Return the module and suffix of the file that holds the handler."""
    suffixes = [
        *((".py",) if family in (None, Family.PYTHON) else ()),
        *(_NODE_SUFFIXES if family in (None, Family.NODE) else ()),
    ]
    if handler is not None:
        modules = [handler.rpartition(".")[0]]
    else:
        modules = [*_MODULES, *_only_module(names, suffixes)]
    for module in modules:
        for suffix in suffixes:
            if module + suffix in names:
                return module, suffix
    return None


def _only_module(names: Collection[str], suffixes: Collection[str]) -> list[str]:
    """The one source file at the top, whatever it is called."""
    at_top = [name for name in names if "/" not in name and name.endswith(tuple(suffixes))]
    return [at_top[0].rpartition(".")[0]] if suffixes and len(at_top) == 1 else []


def _function(language: Family, read: ReadSource, name: str) -> str:
    if language is not Family.PYTHON:
        return "handler"
    defined = python_names(read(name))
    return next((one for one in _PYTHON_HANDLERS if one in defined), _PYTHON_HANDLERS[0])


def python_names(source: str) -> set[str]:
    """Return the functions and variables a module defines, or none if it does not parse."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return set()
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    variables = {
        target.id
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return functions | variables


def _nothing_found(runtime: str | None, handler: str | None) -> str:
    if handler is not None:
        return (
            f"no file for the handler {handler!r}: "
            f"expected {handler.rpartition('.')[0]}.py, .mjs, .js or .cjs"
        )
    if runtime is not None:
        return f"cannot tell the handler of a {runtime} function from its files: give --handler"
    return (
        "cannot tell runtime and handler from the files (no lambda_function.py, app.py, "
        "index.mjs, bootstrap, ...): give --runtime and --handler"
    )


def runtime_of_this_machine(language: Family) -> str:
    """Return the runtime whose language version this machine has, or a current one."""
    if language is Family.PYTHON:
        here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    else:
        here = f"nodejs{_node_major()}.x"
    return here if here in CREATABLE else _FALLBACK[language]


def _node_major() -> str:
    try:
        shown = subprocess.run(
            ["node", "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    version = re.match(r"v(\d+)\.", shown)
    return version[1] if version else ""
