"""Deployment packages that mean harm, or are merely broken: what is said, and what is left."""

import http.client
import io
import json
import os
import stat
import struct
import zipfile
from typing import Any

import pytest
from support.functions import ECHO, MakeFunction, Refusal, create, eventually, invoke, refused
from support.node import Node
from support.packages import zipped

CORRUPT = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"
TOO_LARGE = "Unzipped size must be smaller than 262144000 bytes"


def entries(*given: tuple[str, bytes | str, int]) -> bytes:
    """A zip of entries with a name, a content and the mode Unix tools would store."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in given:
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = mode << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def link(name: str, target: str) -> tuple[str, str, int]:
    return name, target, stat.S_IFLNK | 0o777


def file(name: str, content: bytes | str = "x", mode: int = 0o644) -> tuple[str, bytes | str, int]:
    return name, content, stat.S_IFREG | mode


def overlapping() -> bytes:
    """Two entries of the directory that share one entry's bytes."""
    archive = entries(file("a", bytes(1000)), file("b", bytes(1000)))
    directory = archive.index(b"PK\x01\x02")
    second = archive.index(b"PK\x01\x02", directory + 4)
    return archive[: second + 42] + struct.pack("<I", 0) + archive[second + 46 :]


def understated() -> bytes:
    """An entry that declares ten bytes and inflates to a megabyte."""
    archive = bytearray(entries(file("app.py", bytes(1_000_000))))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = archive.index(signature) + offset
        archive[at : at + 4] = struct.pack("<I", 10)
    return bytes(archive)


def encrypted() -> bytes:
    archive = bytearray(entries(file("app.py", ECHO)))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + offset] |= 1
    return bytes(archive)


def refusal(entry: str, problem: str) -> str:
    return f"{CORRUPT} The entry '{entry}' is refused: {problem}."


@pytest.mark.parametrize(
    ("package", "message"),
    [
        pytest.param(b"", EMPTY, id="no bytes"),
        pytest.param(zipped({}), EMPTY, id="no entries"),
        pytest.param(b"this is text", CORRUPT, id="not a zip"),
        pytest.param(zipped({"app.py": ECHO})[:-30], CORRUPT, id="cut off"),
        pytest.param(
            entries(file("../../escaped", "x")),
            refusal("../../escaped", "its name contains '..'"),
            id="a way out",
        ),
        pytest.param(
            entries(file("/etc/escaped", "x")),
            refusal("/etc/escaped", "its name is an absolute path"),
            id="an absolute path",
        ),
        pytest.param(
            entries(link("out", "../../../../etc")),
            f"{CORRUPT} In it, the link 'out' leads outside the archive or nowhere, to "
            "'../../../../etc'.",
            id="a link outside",
        ),
        pytest.param(
            entries(link("out", "/etc/passwd")),
            f"{CORRUPT} In it, the link 'out' leads outside the archive or nowhere, to "
            "'/etc/passwd'.",
            id="a link to an absolute path",
        ),
        pytest.param(
            entries(link("loop", "loop")),
            f"{CORRUPT} In it, the link 'loop' leads outside the archive or nowhere, to 'loop'.",
            id="a link to itself",
        ),
        pytest.param(
            entries(link("way", "."), file("way/under", "x")),
            refusal("way/under", "'way' is not a directory"),
            id="a file below a link",
        ),
        pytest.param(
            entries(("pipe", "", stat.S_IFIFO | 0o644)),
            refusal("pipe", "it is neither a file, a directory nor a link"),
            id="a pipe",
        ),
        pytest.param(
            entries(("device", "", stat.S_IFBLK | 0o644)),
            refusal("device", "it is neither a file, a directory nor a link"),
            id="a device",
        ),
        pytest.param(encrypted(), refusal("app.py", "it is encrypted"), id="encrypted"),
        pytest.param(overlapping(), refusal("b", "it overlaps another entry"), id="overlapping"),
    ],
)
def test_a_package_that_cannot_be_used_is_refused_and_says_why(
    lambda_client: Any, name: str, package: bytes, message: str
) -> None:
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        create(lambda_client, name, {}, Code={"ZipFile": package})
    with pytest.raises(lambda_client.exceptions.ResourceNotFoundException):
        lambda_client.get_function(FunctionName=name)
    with refused(Refusal(400, "InvalidParameterValueException", message)):
        lambda_client.publish_layer_version(LayerName=name, Content={"ZipFile": package})


def test_a_bomb_is_refused_before_it_is_unpacked(lambda_client: Any, name: str) -> None:
    bomb = zipped({f"zeros{n}": bytes(27_000_000) for n in range(10)})
    assert len(bomb) < 1_000_000
    with refused(Refusal(400, "InvalidParameterValueException", TOO_LARGE)):
        create(lambda_client, name, {}, Code={"ZipFile": bomb})
    with refused(Refusal(400, "InvalidParameterValueException", TOO_LARGE)):
        lambda_client.publish_layer_version(LayerName=name, Content={"ZipFile": bomb})


def test_a_bomb_that_understates_its_size_fails_the_function(lambda_client: Any, name: str) -> None:
    create(lambda_client, name, {}, Code={"ZipFile": understated()})

    def failed() -> Any:
        shown = lambda_client.get_function_configuration(FunctionName=name)
        return shown if shown["State"] != "Pending" else None

    shown = eventually(failed)
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InvalidZipFileException")
    assert shown["StateReason"].startswith(CORRUPT)
    with pytest.raises(lambda_client.exceptions.ResourceConflictException):
        lambda_client.invoke(FunctionName=name)


def test_a_layer_that_understates_its_size_fails_the_function_and_is_named(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    layer = lambda_client.publish_layer_version(
        LayerName="understated", Content={"ZipFile": understated()}
    )["LayerVersionArn"]
    function = make_function()
    lambda_client.update_function_configuration(FunctionName=function, Layers=[layer])

    def failed() -> Any:
        shown = lambda_client.get_function_configuration(FunctionName=function)
        return shown if shown["LastUpdateStatus"] != "InProgress" else None

    shown = eventually(failed)
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Failed")
    assert shown["LastUpdateStatusReason"].startswith(f"Layer version {layer}: {CORRUPT}")
    assert invoke(lambda_client, function, {"goes": "on"}).value == {"goes": "on"}


def test_an_upload_has_a_limit_of_its_own_below_that_of_the_request(
    lambda_client: Any, name: str
) -> None:
    noise = os.urandom(52_428_801)
    too_large = Refusal(
        413,
        "RequestEntityTooLargeException",
        "Zipped size must be smaller than 52428800 bytes",
        None,
    )
    with refused(too_large):
        create(lambda_client, name, {}, Code={"ZipFile": noise})


def test_a_request_has_a_limit(lambda_client: Any, name: str) -> None:
    too_large = Refusal(
        413,
        "RequestEntityTooLargeException",
        "Request must be smaller than 70167211 bytes for the CreateFunction operation",
        None,
    )
    with refused(too_large):
        create(lambda_client, name, {}, Code={"ZipFile": bytes(52_700_000)})


MODES = (
    "import os, stat\n"
    "def handler(event, context):\n"
    "    mode = lambda p: oct(stat.S_IMODE(os.stat(p).st_mode))\n"
    "    return {p: mode(p) for p in event}\n"
)


def test_modes_are_kept_without_what_writes_or_raises_rights(
    lambda_client: Any, make_function: MakeFunction
) -> None:
    package = entries(
        file("app.py", MODES),
        file("tool", "#!/bin/sh\n", 0o755),
        file("private", "x", 0o600),
        file("setuid", "x", 0o4755),
        ("dir/", "", stat.S_IFDIR | 0o700),
        file("dir/open", "x", 0o777),
    )
    function = make_function({}, Code={"ZipFile": package})
    paths = ["tool", "private", "setuid", "dir", "dir/open"]
    assert invoke(lambda_client, function, paths).value == {
        "tool": "0o555",
        "private": "0o444",
        "setuid": "0o555",
        "dir": "0o555",
        "dir/open": "0o555",
    }


def test_links_that_stay_inside_work(lambda_client: Any, make_function: MakeFunction) -> None:
    package = entries(
        file("src/app.py", "import os\ndef handler(e, c): return os.readlink('app.py')\n"),
        link("app.py", "src/app.py"),
        link("lib", "src"),
        link("src/up", "../src"),
    )
    function = make_function({}, Code={"ZipFile": package})
    assert invoke(lambda_client, function).value == "src/app.py"


def test_names_beyond_ascii_are_kept(lambda_client: Any, make_function: MakeFunction) -> None:
    source = "import os\ndef handler(event, context):\n    return sorted(os.listdir('.'))\n"
    function = make_function({"app.py": source, "grüße 日本.txt": "x"})
    assert invoke(lambda_client, function).value == ["app.py", "grüße 日本.txt"]


def test_nothing_was_written_outside(node: Node) -> None:
    # Not rglob, which fails when the node removes a directory meanwhile.
    found = os.walk(node.data_dir)
    names = {name for _, folders, files in found for name in (*folders, *files)}
    assert not names & {"escaped", "out", "loop", "pipe", "device"}
    assert not (node.data_dir.parent / "escaped").exists()


def test_a_package_that_is_no_base64_is_refused(node: Node, name: str) -> None:
    connection = http.client.HTTPConnection(node.url.removeprefix("http://"), timeout=10)
    body = {"FunctionName": name, "Role": "r", "Code": {"ZipFile": "*** no base64 ***"}}
    connection.request("POST", "/2015-03-31/functions", json.dumps(body))
    response = connection.getresponse()
    assert (response.status, response.headers["x-amzn-errortype"]) == (
        400,
        "SerializationException",
    )
    assert "it is not base64" in json.loads(response.read())["message"]
    connection.close()
