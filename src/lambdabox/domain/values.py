"""Declare values, frozen dataclasses with slots, at little cost to a node's start.

The standard library writes six functions for each and compiles them one by one: a millisecond
for each of hundreds, which was a quarter of what a node imports. Here `__init__` alone is
written at once, comparing and hashing when they are first used, and printing and refusing to
change are the same for all. To `fields`, `replace`, `match` and type checkers it is a dataclass
like any other. What is not frozen with slots, or has a base that is a dataclass, is left to the
standard library; fields that are no parameters (`init=False`, `InitVar`) are for it alone.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, fields, is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  # for others to import
else:

    def dataclass(*, frozen=False, slots=False, **others):
        """`dataclasses.dataclass`, used with options."""

        def declared(cls):
            if frozen and slots and not others and not any(map(is_dataclass, cls.__mro__[1:])):
                return _value(cls)
            return dataclasses.dataclass(frozen=frozen, slots=slots, **others)(cls)

        return declared


def _value(cls: type) -> type:
    # Else the signature is worked out and written as the docstring.
    cls.__doc__ = cls.__doc__ or cls.__name__
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    made.__dataclass_params__.frozen = True  # for frozen dataclasses that have it as a base
    members = fields(made)
    if not all(each.init for each in members):
        raise TypeError(
            f"{cls.__name__} has a field that is no parameter: see dataclasses.dataclass"
        )
    compared = [each.name for each in members if each.compare]
    hashed = [each.name for each in members if (each.compare if each.hash is None else each.hash)]
    own = made.__dict__
    if "__eq__" not in own:
        made.__eq__ = _on_first_use(made, "__eq__", _EQUALITY.format(*_tuples(compared)))
    if own.get("__hash__") is None:
        made.__hash__ = _on_first_use(made, "__hash__", _HASH.format(*_tuples(hashed)))
    if "__repr__" not in own:
        made.__repr__ = _shown
    if "__init__" not in own:
        made.__init__ = _initialiser(made, members)
    made.__setattr__, made.__delattr__ = _refuse_assignment, _refuse_deletion
    made.__getstate__, made.__setstate__ = _state, _restore
    return made  # type: ignore[no-any-return]  # the class that was given, with slots


_EQUALITY = """def __eq__(self, other):
    return {0} == {1} if other.__class__ is self.__class__ else NotImplemented
"""
_HASH = """def __hash__(self):
    return hash({0})
"""


def _tuples(names: list[str]) -> tuple[str, str]:
    """Return the texts of two tuples of attributes, of `self` and of `other`."""
    mine, others = ("".join(f"{it}.{name}, " for name in names) for it in ("self", "other"))
    return f"({mine})", f"({others})"


def _on_first_use(made: Any, name: str, text: str) -> Callable[..., Any]:
    """Return a method that puts what `text` says in its own place when it is first called.

    Few values are ever compared, and those that are keys are compared all the time.
    """

    def first(*arguments: Any) -> Any:
        method = _compiled(made, name, text, {})
        setattr(made, name, method)
        return method(*arguments)

    first.__name__, first.__qualname__ = name, f"{made.__qualname__}.{name}"
    return first


def _compiled(made: Any, name: str, text: str, known: dict[str, Any]) -> Callable[..., Any]:
    exec(text, known)  # noqa: S102  # names of fields and nothing else, as dataclasses does it
    method: Callable[..., Any] = known[name]
    method.__module__, method.__qualname__ = made.__module__, f"{made.__qualname__}.{name}"
    return method


def _initialiser(made: Any, members: tuple[Field[Any], ...]) -> Callable[..., None]:
    """Write `__init__`. A slot's own descriptor sets it, past the refusal to change."""
    names: dict[str, Any] = {"_MISSING": MISSING}
    positional: list[str] = []
    keyword: list[str] = []
    lines: list[str] = []
    for member in members:
        name = value = parameter = member.name
        names[f"_set_{name}"] = made.__dict__[name].__set__
        if member.default_factory is not MISSING:
            names[f"_make_{name}"] = member.default_factory
            parameter = f"{name}=_MISSING"
            value = f"_make_{name}() if {name} is _MISSING else {name}"
        elif member.default is not MISSING:
            names[f"_default_{name}"] = member.default
            parameter = f"{name}=_default_{name}"
        (keyword if member.kw_only else positional).append(parameter)
        lines.append(f"    _set_{name}(self, {value})\n")
    if hasattr(made, "__post_init__"):
        lines.append("    self.__post_init__()\n")
    parameters = ", ".join(["self", *positional, *(["*", *keyword] if keyword else [])])
    text = f"def __init__({parameters}):\n{''.join(lines) or '    pass'}"
    written = _compiled(made, "__init__", text, names)
    written.__annotations__ = {each.name: each.type for each in members}
    return written


def _shown(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _refuse_assignment(_self: Any, name: str, _value: Any) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(_self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for each, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
