"""Records as text: what goes in comes out, whichever release wrote it."""

from dataclasses import dataclass

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import ROLE, SETTINGS, deployment

from lambdabox.domain.arn import FunctionKey
from lambdabox.domain.functions import (
    CapacityProviderSettings,
    Code,
    CustomRuntimeSettings,
    Deployment,
    DurableSettings,
    FileSystemSettings,
    FunctionSettings,
    ImageSettings,
    LayerUse,
    LoggingSettings,
    State,
    Status,
    UpdateStatus,
    VpcSettings,
)
from lambdabox.repositories.codec import decode, encode

# What JSON can hold: text without lone surrogates, integers of 64 bits.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
texts = st.lists(text, max_size=3).map(tuple)
integers = st.integers(-(2**63), 2**63 - 1)
maybe_text = st.none() | text

SETTINGS_STRATEGY = st.builds(
    FunctionSettings,
    role=text,
    runtime=maybe_text,
    handler=maybe_text,
    description=text,
    timeout_seconds=integers,
    memory_mib=integers,
    package_type=text,
    architecture=text,
    ephemeral_storage_mib=integers,
    environment=st.none() | st.dictionaries(text, text, max_size=3),
    kms_key_arn=maybe_text,
    tracing_mode=text,
    layers=st.lists(st.builds(LayerUse, text, integers), max_size=3).map(tuple),
    vpc=st.none() | st.builds(VpcSettings, texts, texts, st.booleans()),
    dead_letter_arn=maybe_text,
    file_systems=st.lists(st.builds(FileSystemSettings, text, text, maybe_text), max_size=2).map(
        tuple
    ),
    snap_start=text,
    logging=st.builds(LoggingSettings, text, maybe_text, maybe_text, maybe_text),
    image=st.none() | st.builds(ImageSettings, st.none() | texts, st.none() | texts, maybe_text),
    tenant_isolation=maybe_text,
    durable=st.none()
    | st.builds(DurableSettings, st.none() | integers, st.none() | integers, maybe_text),
    capacity_provider=st.none()
    | st.builds(
        CapacityProviderSettings,
        text,
        st.none() | integers,
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    custom_runtime=st.none() | st.builds(CustomRuntimeSettings, text, text),
    accelerator_memory_mib=st.none() | integers,
)
STATUS_STRATEGY = st.builds(
    Status,
    st.sampled_from(State),
    maybe_text,
    maybe_text,
    st.none() | st.sampled_from(UpdateStatus),
    maybe_text,
    maybe_text,
)


@given(SETTINGS_STRATEGY)
def test_settings_come_back_as_they_were(settings: FunctionSettings) -> None:
    assert decode(FunctionSettings, encode(settings)) == settings


@given(STATUS_STRATEGY)
def test_a_status_comes_back_with_its_enums(status: Status) -> None:
    found = decode(Status, encode(status))
    assert found == status
    assert type(found.state) is State


@given(SETTINGS_STRATEGY, text, text)
def test_a_deployment_comes_back_whole(settings: FunctionSettings, id: str, name: str) -> None:
    key = FunctionKey("1" * 12, "us-east-1", name)
    made = Deployment(id, key, "7", settings, Code("ab" * 32, 5))
    assert decode(Deployment, encode(made)) == made


def test_nested_records_come_back_as_records_not_as_dictionaries() -> None:
    found = decode(Deployment, encode(deployment()))
    assert type(found.key) is FunctionKey
    assert type(found.settings.logging) is LoggingSettings
    assert hash(found.key) == hash(deployment().key)


def test_an_empty_environment_is_not_a_missing_one() -> None:
    empty = decode(FunctionSettings, b'{"role":"r","environment":{}}')
    assert empty.environment == {}
    assert decode(FunctionSettings, b'{"role":"r"}').environment is None


def test_members_an_older_release_did_not_write_take_their_defaults() -> None:
    assert decode(FunctionSettings, b'{"role":"r"}') == FunctionSettings(role="r")


def test_members_of_nested_records_take_their_defaults_too() -> None:
    found = decode(FunctionSettings, b'{"role":"r","logging":{"format":"JSON"}}')
    assert found.logging == LoggingSettings("JSON")


def test_members_a_newer_release_wrote_are_passed_over() -> None:
    written = orjson.loads(encode(SETTINGS))
    written["quantum"] = {"level": 3}
    written["logging"]["colour"] = "blue"
    assert decode(FunctionSettings, orjson.dumps(written)) == SETTINGS


def test_a_missing_member_without_default_is_refused() -> None:
    with pytest.raises(TypeError, match="role"):
        decode(FunctionSettings, b'{"runtime":"python3.13"}')


def test_an_enum_value_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="Dreaming"):
        decode(Status, b'{"state":"Dreaming"}')


@pytest.mark.parametrize("broken", [b"", b"{", b'{"role":"r"', b"\xff"])
def test_text_that_is_no_json_is_refused(broken: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        decode(FunctionSettings, broken)


def test_equal_records_have_equal_texts() -> None:
    assert encode(FunctionSettings(role=ROLE)) == encode(FunctionSettings(role=ROLE))


@dataclass(frozen=True, slots=True)
class Grown:
    """A record as a later release might have it."""

    role: str
    level: int = 3


def test_a_new_setting_with_a_default_needs_no_migration() -> None:
    assert decode(Grown, encode(FunctionSettings(role="r"))) == Grown("r", 3)
