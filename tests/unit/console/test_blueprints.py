"""What new functions begin as: complete, and working."""

import io
import json
import re
import runpy
import struct
import sys
import types
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lambdabox.console.blueprints import HANDLERS, ROOT, Blueprint, blueprints, supported_runtimes
from lambdabox.domain.arn import Scope
from lambdabox.domain.runtimes import CREATABLE, Family
from lambdabox.event_templates import catalog

SCOPE = Scope("123456789012", "eu-west-1")
EVERY = list(blueprints().values())


def named(blueprint: Blueprint) -> str:
    return blueprint.id


def files(blueprint: Blueprint, runtime: str) -> Mapping[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(blueprint.package(CREATABLE[runtime]))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("blueprint", EVERY, ids=named)
def test_each_says_what_it_is_and_has_an_event_to_try(blueprint: Blueprint) -> None:
    assert re.fullmatch(r"[A-Z].*\.", blueprint.description)
    assert re.fullmatch(r"[A-Z].*\.", blueprint.next)
    assert blueprint.event is None or json.loads(catalog.text(blueprint.event))


@pytest.mark.parametrize("blueprint", EVERY, ids=named)
def test_its_handler_is_in_the_package_of_each_language(blueprint: Blueprint) -> None:
    assert blueprint.families
    for family in blueprint.families:
        runtime = next(r for r in supported_runtimes() if r.family is family)
        module, function = HANDLERS[family].split(".")
        source = next(
            content
            for name, content in files(blueprint, runtime.name).items()
            if name.rpartition(".")[0] == module
        ).decode()
        assert re.search(rf"def {function}\(|export const {function} =", source)


def test_the_same_blueprint_is_the_same_package() -> None:
    for blueprint in EVERY:
        runtime = next(r for r in supported_runtimes() if r.family in blueprint.families)
        assert blueprint.package(runtime) == blueprint.package(runtime)


def test_the_order_is_that_of_the_page() -> None:
    assert [each.id for each in EVERY] == [
        "hello", "url", "s3-thumbnail", "dynamodb-audit", "cost-keeper",
    ]  # fmt: skip


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run a blueprint's Python file as a module of its own; returns its names."""

    def run(id: str, name: str = "app.py") -> Mapping[str, Any]:
        directory = ROOT / id / Family.PYTHON
        monkeypatch.syspath_prepend(str(directory))
        return runpy.run_path(str(directory / name))

    before = set(sys.modules)
    yield run
    for module in set(sys.modules) - before:
        if str(ROOT) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


def png(width: int, height: int, colour: int, rows: list[bytes]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    )


def test_a_thumbnail_is_the_mean_of_what_it_stands_for(run: Any) -> None:
    module = run("s3-thumbnail", "png.py")
    rows = [b"\0" + bytes((0, 100, 200, 20)), b"\0" + bytes((4, 104, 204, 24))]
    small = module["shrink"](module["read"](png(4, 2, 0, rows)), 2)
    assert (small.width, small.height, small.rows) == (2, 1, [bytes((52, 112))])
    again = module["read"](module["write"](small))
    assert again == small


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_of_png_is_undone(run: Any, kind: int) -> None:
    image = pytest.importorskip("PIL.Image")
    module = run("s3-thumbnail", "png.py")
    raw = [
        bytes([kind]) + bytes((x * 37 + y * 11 + kind) % 256 for x in range(15)) for y in range(6)
    ]
    data = png(5, 6, 2, raw)
    expected = image.open(io.BytesIO(data)).tobytes()
    assert b"".join(module["read"](data).rows) == expected


def test_the_thumbnails_of_thumbnails_are_not_made(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, bytes] = {"a b.png": png(200, 2, 2, [b"\0" + bytes(600)] * 2)}

    class Bucket:
        def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803  # boto3's names
            return {"Body": io.BytesIO(kept[Key])}

        def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:  # noqa: N803  # as above
            kept[Key] = Body

    boto3 = types.SimpleNamespace(client=lambda _service: Bucket())
    monkeypatch.setitem(sys.modules, "boto3", boto3)
    handler = run("s3-thumbnail")["handler"]
    made = handler(records("a+b.png", "thumbnails/a+b.png", "notes.txt"), None)
    assert made == {"made": ["thumbnails/a b.png"]}
    assert struct.unpack(">II", kept["thumbnails/a b.png"][16:24]) == (160, 1)


def records(*keys: str) -> dict[str, Any]:
    return {"Records": [{"s3": {"bucket": {"name": "b"}, "object": {"key": k}}} for k in keys]}


def test_the_audit_tells_what_changed(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handler = run("dynamodb-audit")["handler"]
    event = catalog.event("dynamodb")
    assert handler(event, None) == {"batchItemFailures": []}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["action"] for line in lines] == ["INSERT", "MODIFY", "REMOVE"]
    assert lines[0]["changes"]["state"] == {"from": None, "to": "new"}
    del event["Records"][1]["eventName"]
    failed = event["Records"][1]["dynamodb"]["SequenceNumber"]
    assert handler(event, None) == {"batchItemFailures": [{"itemIdentifier": failed}]}


def test_the_cost_keeper_fails_beyond_its_budget(run: Any) -> None:
    module = run("cost-keeper")
    rows = [{"FunctionName": "a", "Invocations": 1, "Cost": 4.0}]
    handler = module["handler"]
    handler.__globals__["usage"] = lambda: rows
    assert handler({}, None) == {"total_usd": 4.0, "functions": 1}
    rows.append({"FunctionName": "b", "Invocations": 1, "Cost": 7.0})
    with pytest.raises(module["OverBudget"], match=r"11\.00 USD in 30 days"):
        handler({}, None)
