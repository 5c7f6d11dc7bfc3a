"""The runtime identifiers, and what is worked out from their names."""

import re

import pytest
from botocore.session import Session

from lambdabox.domain.runtimes import CREATABLE, DEPRECATED, Family, has_snap_start


@pytest.mark.parametrize(
    ("name", "family", "version"),
    [
        ("nodejs22.x", Family.NODE, "22"),
        ("python3.13", Family.PYTHON, "3.13"),
        ("ruby3.4", Family.RUBY, "3.4"),
        ("provided.al2023", Family.PROVIDED, "al2023"),
        ("java21", Family.JAVA, "21"),
        ("java8.al2", Family.JAVA, "8.al2"),
        ("dotnet8", Family.DOTNET, "8"),
    ],
)
def test_a_name_tells_family_and_version(name: str, family: Family, version: str) -> None:
    runtime = CREATABLE[name]
    assert (runtime.name, runtime.family, runtime.language_version) == (name, family, version)


def test_a_runtime_is_creatable_or_deprecated_never_both() -> None:
    assert not CREATABLE.keys() & DEPRECATED


def test_every_identifier_of_the_service_model_is_known() -> None:
    model = Session().get_service_model("lambda")
    # "custom" stands for a runtime that RuntimeConfig names.
    known = CREATABLE.keys() | DEPRECATED | {"custom"}
    assert set(model.shape_for("Runtime").enum) <= known


def test_the_execution_environment_names_the_runtime_except_for_os_only_ones() -> None:
    assert CREATABLE["python3.13"].execution_env == "AWS_Lambda_python3.13"
    assert CREATABLE["provided.al2023"].execution_env is None


def test_a_release_looks_as_init_start_shows_it() -> None:
    for runtime in CREATABLE.values():
        assert re.fullmatch(r"[a-z]+:[a-z0-9.]+\.v\d+", runtime.release)


def test_each_runtime_has_a_release_arn_of_its_own() -> None:
    arns = {runtime.release_arn("eu-west-1") for runtime in CREATABLE.values()}
    assert len(arns) == len(CREATABLE)
    pattern = r"arn:aws:lambda:eu-west-1::runtime:[0-9a-f]{64}"
    assert all(re.fullmatch(pattern, arn) for arn in arns)


def test_snap_start_is_for_python_312_java_11_dotnet_8_and_what_came_after() -> None:
    without = {name for name, runtime in CREATABLE.items() if not has_snap_start(runtime)}
    assert {name for name in without if name[:4] in ("pyth", "java", "dotn")} == {
        "python3.11", "python3.10", "python3.9", "java8.al2", "java8.al2023",
    }  # fmt: skip
    assert {"nodejs22.x", "ruby3.4", "provided.al2023"} <= without
