"""What a warden refuses to do for a node that may be somebody else's."""

import os
from pathlib import Path
from typing import Any

import pytest

from lambdabox.isolation.warden.orders import Orders, RefusedError

KIND: dict[str, Any] = {
    "account": "000000000000",
    "interpreter": None,
    "python": None,
    "preload": [],
}
START: dict[str, Any] = {
    "do": "start",
    "id": 1,
    "kind": KIND,
    "code": "ab12",
    "layers": [],
    "volume": "e1",
    "storage_mib": 512,
    "memory_mib": 128,
    "template": False,
}


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path / "data", node_user=1_900_000_000)


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    root = tmp_path / "python"
    (root / "bin").mkdir(parents=True)
    (root / "lib" / "python3.11").mkdir(parents=True)
    program = root / "bin" / "python3.11"
    program.write_text("")
    program.chmod(0o755)
    (root / "bin" / "python3").symlink_to("python3.11")
    return root


def with_interpreter(root: Path | str, python: Path | str | None = None) -> dict[str, Any]:
    kind = KIND | {"interpreter": str(root), "python": str(python) if python else None}
    return {"do": "warm", "kind": kind}


def test_ordinary_orders_are_obeyed(orders: Orders, installation: Path) -> None:
    for order in (
        START,
        START | {"layers": ["cd34", "ef56/opt"]},
        {"do": "end", "sandbox": 7},
        {"do": "forget", "volume": "0123456789abcdef"},
        {"do": "connect", "id": 2, "sandbox": 7, "port": 4243},
        with_interpreter(installation, installation / "bin" / "python3.11"),
        with_interpreter(installation),
    ):
        orders.check(order)


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"do": "mount"},
        {"do": ["start"]},
        {"do": "start"},
        {"do": "warm", "kind": None},
        {"do": "warm", "kind": []},
        {"do": "end", "sandbox": "1"},
        {"do": "end", "sandbox": -1},
        {"do": "end", "sandbox": 10**30},
        {"do": "end", "sandbox": True},
        {"do": "connect", "id": 1, "sandbox": 1, "port": 65_536},
        {"do": "connect", "id": 1, "sandbox": 1, "port": 10**40},
        {"do": "forget", "volume": "../x"},
        {"do": "forget", "volume": {"a": 1}},
        START | {"id": None},
        START | {"code": "../../etc"},
        START | {"code": "/etc"},
        START | {"code": "a/../../b"},
        START | {"code": "a\0b"},
        START | {"layers": "abc"},
        START | {"layers": ["ok", "../bad"]},
        START | {"layers": ["a"] * 1000},
        START | {"layers": ["a:/etc"]},
        START | {"volume": "a/b"},
        START | {"volume": ""},
        START | {"storage_mib": 10**12},
        START | {"memory_mib": 0},
        START | {"memory_mib": -1},
        START | {"memory_mib": 128.5},
        START | {"memory_mib": float("inf")},
        START | {"kind": KIND | {"account": "a" * 1000}},
        START | {"kind": KIND | {"account": None}},
        START | {"kind": KIND | {"preload": ["os; import x"]}},
        START | {"kind": KIND | {"preload": ["../x"]}},
        START | {"kind": KIND | {"python": "/usr/bin/env"}},
        START | {"kind": KIND | {"python": "/tmp/python3"}},
        START | {"kind": KIND | {"python": "/usr/../tmp/python3"}},
        START | {"kind": KIND | {"node": "/usr/bin/env"}},
        START | {"kind": KIND | {"node": "/tmp/node"}},
        START | {"kind": KIND | {"node": "/usr/../tmp/node"}},
        START | {"kind": KIND | {"node": ["/usr/bin/node"]}},
        START | {"kind": KIND | {"node": "/usr/bin/node", "python": "/usr/bin/python3"}},
        START | {"kind": KIND | {"interpreter": "usr"}},
        START | {"kind": KIND | {"interpreter": "/usr/../root"}},
        START | {"kind": KIND | {"interpreter": ["/usr"]}},
    ],
    ids=repr,
)
def test_what_is_no_order_is_refused(orders: Orders, order: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        orders.check(order)


def test_a_node_below_its_installation_may_wait(orders: Orders, installation: Path) -> None:
    program = installation / "bin" / "node"
    program.write_text("")
    program.chmod(0o755)
    kind = KIND | {"interpreter": str(installation), "node": str(program)}
    orders.check({"do": "warm", "kind": kind})


@pytest.mark.parametrize(
    "root", ["/", "/root", "/etc", "/home", "/nowhere", "/tmp", "/proc/1/root"]
)
def test_a_directory_that_is_no_installation_is_refused(orders: Orders, root: str) -> None:
    with pytest.raises(RefusedError):
        orders.check(with_interpreter(root))


def test_an_installation_around_the_data_directory_is_refused(installation: Path) -> None:
    orders = Orders(installation / "var" / "data", node_user=None)
    with pytest.raises(RefusedError, match="holds the data directory"):
        orders.check(with_interpreter(installation))


def test_an_installation_in_the_data_directory_is_refused(installation: Path) -> None:
    orders = Orders(installation.parent, node_user=None)
    with pytest.raises(RefusedError, match="in the data directory"):
        orders.check(with_interpreter(installation))


def test_an_installation_that_the_node_could_change_is_refused(installation: Path) -> None:
    orders = Orders(installation.parent / "data", node_user=os.getuid())
    with pytest.raises(RefusedError, match="can be written"):
        orders.check(with_interpreter(installation))


def test_an_installation_that_everybody_could_change_is_refused(
    orders: Orders, installation: Path
) -> None:
    program = installation / "bin" / "python3.11"
    program.chmod(0o777)
    with pytest.raises(RefusedError, match="can be written"):
        orders.check(with_interpreter(installation, program))


def test_a_link_into_the_data_directory_is_refused(orders: Orders, tmp_path: Path) -> None:
    inside = tmp_path / "data" / "staged"
    (inside / "bin").mkdir(parents=True)
    (inside / "lib" / "node_modules").mkdir(parents=True)
    (inside / "bin" / "node").write_text("")
    (inside / "bin" / "node").chmod(0o755)
    (tmp_path / "link").symlink_to(inside)
    with pytest.raises(RefusedError, match="in the data directory"):
        orders.check(with_interpreter(tmp_path / "link"))


def test_a_program_by_another_name_is_refused(orders: Orders, installation: Path) -> None:
    with pytest.raises(RefusedError, match="is not a Python"):
        orders.check(with_interpreter(installation, installation / "bin" / "sh"))
