"""Settings come from four places, in order, and bad ones are refused in words."""

from pathlib import Path

import pytest

from lambdabox.server.config import Settings, SettingsError, load


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.__slots__:
        monkeypatch.delenv(f"LAMBDABOX_{name.upper()}", raising=False)


def test_a_later_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("host = '10.0.0.1'\nport = 1\nregion = 'eu-west-1'")
    monkeypatch.setenv("LAMBDABOX_PORT", "2")
    monkeypatch.setenv("LAMBDABOX_REGION", "eu-central-1")
    settings = load(file, {"region": "us-west-2", "host": None})
    assert (settings.host, settings.port, settings.region) == ("10.0.0.1", 2, "us-west-2")
    assert settings.drain_seconds == Settings().drain_seconds


def test_lists_and_tables_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDABOX_ASYNC_RETRY_DELAYS", "1,2.5")
    monkeypatch.setenv("LAMBDABOX_INTERPRETERS", "python3.14=/opt/a, nodejs22.x=/opt/b")
    settings = load(None, {})
    assert settings.async_retry_delays == (1.0, 2.5)
    assert settings.interpreters == {"python3.14": "/opt/a", "nodejs22.x": "/opt/b"}


def test_lists_and_tables_can_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("async_retry_delays = [1, 2]\n[interpreters]\n'python3.14' = '/opt/a'")
    settings = load(file, {})
    assert settings.async_retry_delays == (1.0, 2.0)
    assert settings.interpreters == {"python3.14": "/opt/a"}


def test_an_empty_variable_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDABOX_PORT", "")
    assert load(None, {}).port == 4566


def test_a_relative_data_directory_is_made_absolute() -> None:
    assert load(None, {"data_dir": Path("here")}).data_dir == Path("here").absolute()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = = 1", "is not valid TOML"),
        (
            "portt = 1",
            "There is no setting named 'portt'. Known settings: access_keys, account_concurrency",
        ),
        ("port = 'many'", "The setting port cannot be 'many'"),
        ("port = 65536", "a port is a number from 0 to 65535"),
        ("drain_seconds = -1", "The setting drain_seconds cannot be -1: it must be a positive"),
        ("idle_seconds = inf", "it must be a positive number of seconds"),
        ("account_concurrency = -1", "it must not be negative"),
        ("async_retry_delays = ''", "The setting async_retry_delays cannot be ''"),
        ("region = 'here'", "a region looks like us-east-1"),
        ("function_endpoint = 'here'", "give a URL such as http://"),
        ("s3_endpoint = 'minio:9000'", "give a URL such as http://"),
        ("endpoints = 's3'", "give service=URL pairs"),
        ("endpoints = 's3=minio'", "give a URL such as http://"),
        ("endpoint_credentials = 'hidden'", "cannot be what is given: give ID:SECRET"),
        ("python_packages = '/nowhere'", "there is no such directory"),
        ("log_level = 'loud'", "it is one of debug, info, warning, error"),
        ("interpreters = 'python3.14'", "give runtime=path pairs"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        load(file, {})
    assert complaint in str(error.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file"):
        load(tmp_path / "none.toml", {})


def test_a_bad_value_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDABOX_IDLE_SECONDS", "soon")
    with pytest.raises(SettingsError, match="idle_seconds cannot be 'soon'"):
        load(None, {})


@pytest.mark.parametrize(
    "value",
    [
        "arn:aws:mq:us-east-1:000000000000:broker:orders:b-1=amqps://rabbit:5671,shop=a:1;b:2",
        {
            "arn:aws:mq:us-east-1:000000000000:broker:orders:b-1": "amqps://rabbit:5671",
            "shop": "a:1;b:2",
        },
    ],
)
def test_brokers_are_told_by_name(value: object) -> None:
    assert load(None, {"brokers": value}).brokers == {
        "arn:aws:mq:us-east-1:000000000000:broker:orders:b-1": "amqps://rabbit:5671",
        "shop": "a:1;b:2",
    }


@pytest.mark.parametrize(
    "place", ["http://rabbit:5672", "amqp://user:word@rabbit:5672", "kafka", "kafka:x", ""]
)
def test_a_broker_is_nowhere_else_and_its_password_is_not_shown(place: str) -> None:
    with pytest.raises(SettingsError, match="the address of 'orders' is none of") as caught:
        load(None, {"brokers": {"orders": place}})
    assert "word" not in str(caught.value)


def test_the_consoles_token_is_long_enough_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAMBDABOX_CONSOLE_TOKEN", "  a-long-enough-token ")
    settings = load(None, {})
    assert settings.console_token == "a-long-enough-token"
    assert "long-enough" not in repr(settings)
    monkeypatch.setenv("LAMBDABOX_CONSOLE_TOKEN", "short")
    with pytest.raises(SettingsError, match="console_token cannot be what is given: a token has"):
        load(None, {})


def test_the_consoles_hosts_are_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMBDABOX_CONSOLE_HOSTS", "Box.example.com, other")
    assert load(None, {}).console_hosts == ("box.example.com", "other")
    for value in ("http://box", "box:80", "*"):
        monkeypatch.setenv("LAMBDABOX_CONSOLE_HOSTS", value)
        with pytest.raises(SettingsError, match="is no name of a machine"):
            load(None, {})
