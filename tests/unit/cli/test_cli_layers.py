"""`lambdabox layers`: what is packed where, what is asked of the node, what is printed."""

import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from cli_fake_node import FakeNode
from typer.testing import CliRunner, Result

from lambdabox.cli import dependencies
from lambdabox.cli.layer_packaging import laid_out
from lambdabox.cli.main import app

ARN = "arn:aws:lambda:us-east-1:000000000000:layer"


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with FakeNode() as fake:
        monkeypatch.setenv("LAMBDABOX_ENDPOINT", fake.endpoint)
        yield fake


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["layers", *map(str, arguments)])


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")
    return root


def packed(node: FakeNode, layer: str) -> list[str]:
    with zipfile.ZipFile(BytesIO(node.packages[layer])) as archive:
        return archive.namelist()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["python/a.py", "README.md"], ["README.md", "python/a.py"]),
        (["nodejs/node_modules/a/index.js"], ["nodejs/node_modules/a/index.js"]),
        (["bin/tool", "lib/libx.so"], ["bin/tool", "lib/libx.so"]),
        (["extensions/watch"], ["extensions/watch"]),
        (["bootstrap", "rest.sh"], ["bootstrap", "rest.sh"]),
        (["a.py", "sub/b.py"], ["python/a.py", "python/sub/b.py"]),
        (["__init__.py", "b.py"], ["python/mine/__init__.py", "python/mine/b.py"]),
        (["package.json", "index.js"], [
            "nodejs/node_modules/mine/index.js", "nodejs/node_modules/mine/package.json",
        ]),
        (["package.json", "node_modules/a/index.js"], [
            "nodejs/node_modules/a/index.js", "nodejs/package.json",
        ]),
    ],
)  # fmt: skip
def test_files_go_where_their_language_looks(
    tmp_path: Path, names: list[str], expected: list[str]
) -> None:
    assert sorted(laid_out(write(tmp_path / "mine", *names))) == expected


def test_a_directory_is_published_and_the_arn_alone_goes_to_stdout(
    node: FakeNode, tmp_path: Path
) -> None:
    result = run("publish", write(tmp_path / "my shared", "a.py"))
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{ARN}:my-shared:1\n"
    assert packed(node, "my-shared") == ["python/a.py"]
    [layer] = node.layers
    assert set(layer) == {"LayerArn", "LayerVersionArn", "Version", "CreatedDate"}


def test_what_is_said_of_a_layer_is_passed_on(node: FakeNode, tmp_path: Path) -> None:
    source = write(tmp_path / "shared", "a.py")
    result = run(
        "publish", source, "--name", "other", "--runtime", "python3.12", "--runtime", "nodejs22.x",
        "--architecture", "arm64", "--description", "what", "--license", "MIT", "--json",
    )  # fmt: skip
    shown = json.loads(result.stdout)
    assert shown == {
        "LayerArn": f"{ARN}:other",
        "LayerVersionArn": f"{ARN}:other:1",
        "Version": 1,
        "CreatedDate": "2026-01-02T03:04:05.000+0000",
        "CompatibleRuntimes": ["python3.12", "nodejs22.x"],
        "CompatibleArchitectures": ["arm64"],
        "Description": "what",
        "LicenseInfo": "MIT",
    }


def test_a_zip_is_published_as_it_is(node: FakeNode, tmp_path: Path) -> None:
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("anything/at/all", "x")
    assert run("publish", path).exit_code == 0
    assert node.packages["made"] == path.read_bytes()


def test_requirements_are_installed_for_the_runtime_below_python(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def install(
        asked_by: str, source: Path, work: Path, *, runtime: str, architecture: str
    ) -> Path:
        asked.append((runtime, architecture))
        return write(work / "packages", "library/__init__.py", "own.py")

    monkeypatch.setattr(dependencies, "install", install)
    source = write(tmp_path / "libraries", "requirements.txt", "own.py")
    arguments = ("--runtime", "nodejs22.x", "--runtime", "python3.9", "--architecture", "arm64")
    assert run("publish", source, *arguments).exit_code == 0
    assert asked == [("python3.9", "arm64")]
    assert packed(node, "libraries") == [
        "python/library/__init__.py", "python/own.py", "python/requirements.txt",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist: give a directory or a .zip"),
        (["empty"], "empty has no files to deploy"),
        (
            ["shared", "--runtime", "pythom"],
            "--runtime 'pythom' is no runtime; one looks like python3.12",
        ),
    ],
)
def test_what_cannot_be_published_is_said_in_one_line(
    node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "shared", "a.py")
    result = run("publish", *arguments)
    assert (result.exit_code, result.stderr) == (1, f"error: {message}\n")
    assert not node.layers


def test_layers_are_listed_with_their_newest_version(node: FakeNode, tmp_path: Path) -> None:
    result = run("list")
    assert result.stdout == ""
    assert result.stderr == "No layers yet. Publish one: lambdabox layers publish DIR\n"
    node.page_size = 1
    for name in ("one", "two"):
        run("publish", write(tmp_path / name, "a.py"), "--runtime", "python3.12")
    heading, one, two = run("list").stdout.splitlines()
    assert heading.split() == ["NAME", "VERSION", "RUNTIMES", "CREATED", "ARN"]
    assert one.split() == ["one", "1", "python3.12", "2026-01-02", "03:04", f"{ARN}:one:1"]
    assert two.split()[0] == "two"
    assert [each["LayerName"] for each in json.loads(run("list", "--json").stdout)] == [
        "one", "two",
    ]  # fmt: skip
