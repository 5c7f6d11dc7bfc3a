"""Which programs of which layers are extensions, and what they see."""

from pathlib import Path

import pytest

from lambdabox.ports import Layout
from lambdabox.runtime.external_extensions import (
    ExternalExtension,
    extension_variables,
    find_external,
)


def layer(root: Path, *names: str) -> Path:
    (root / "extensions").mkdir(parents=True)
    for name in names:
        (root / "extensions" / name).write_text("#!/bin/sh\n")
        (root / "extensions" / name).chmod(0o755)
    return root


def test_files_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    one = layer(tmp_path / "one", "b", "a")
    (one / "extensions" / "folder").mkdir()
    (one / "extensions" / "b").chmod(0o644)
    assert find_external([one], Layout("/var/task", ("/opt",), "/var/runtime")) == [
        ExternalExtension("a", "/opt/extensions/a"),
        ExternalExtension("b", "/opt/extensions/b", is_executable=False),
    ]


@pytest.mark.parametrize(
    ("roots", "paths"),
    [
        (("/opt",), ["/opt/extensions/a", "/opt/extensions/b"]),
        (("/one", "/two"), ["/two/extensions/a", "/one/extensions/b"]),
    ],
)
def test_the_last_layer_that_has_a_name_counts(
    tmp_path: Path, roots: tuple[str, ...], paths: list[str]
) -> None:
    layers = [layer(tmp_path / "one", "a", "b"), layer(tmp_path / "two", "a")]
    found = find_external(layers, Layout("/var/task", roots, "/var/runtime"))
    assert [extension.path for extension in found] == paths


def test_layers_without_extensions_have_none(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "extensions").touch()
    layers = [tmp_path / "file", tmp_path / "missing"]
    assert find_external(layers, Layout("", ("/opt",), "")) == []


def test_what_belongs_to_the_runtime_is_withheld() -> None:
    given = {
        "MINE": "1",
        "AWS_REGION": "2",
        "_HANDLER": "x",
        "AWS_EXECUTION_ENV": "x",
        "AWS_LAMBDA_LOG_GROUP_NAME": "x",
        "AWS_LAMBDA_LOG_STREAM_NAME": "x",
        "AWS_XRAY_CONTEXT_MISSING": "x",
        "LAMBDA_TASK_ROOT": "x",
        "LAMBDA_RUNTIME_DIR": "x",
        "LAMBDABOX_LAYER_PATHS": "x",
    }
    assert extension_variables(given) == {"MINE": "1", "AWS_REGION": "2"}
