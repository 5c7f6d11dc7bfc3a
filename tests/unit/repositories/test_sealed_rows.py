"""Variables are ciphertext in a row, and what cannot be decrypted is not lost."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.records import KEY, SETTINGS, deployment, key, ready

from lambdabox.backends.cipher import KeyFileCipher
from lambdabox.domain.errors import KMSAccessDeniedException, KMSException, KMSNotFoundException
from lambdabox.domain.functions import FunctionSettings, UnreadableVariables, Version
from lambdabox.repositories.rows import VersionRows

SECRET = "only the function may know"
KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/one"


def version(settings: FunctionSettings) -> Version:
    return replace(ready(), settings=settings, deployment=deployment(settings=settings))


@pytest.fixture
def rows(tmp_path: Path) -> VersionRows:
    return VersionRows(KeyFileCipher(tmp_path / "environment.key"))


@pytest.fixture
def settings() -> FunctionSettings:
    return replace(SETTINGS, environment={"PASSWORD": SECRET, "B": "c"}, kms_key_arn=KEY_ARN)


@pytest.mark.parametrize("environment", [None, {}, {"KEY": SECRET}, {"sealed_environment": "x"}])
def test_a_version_is_read_as_it_was_written(
    rows: VersionRows, environment: dict[str, str] | None
) -> None:
    stored = version(replace(SETTINGS, environment=environment))
    row = rows.to_row(stored)
    assert SECRET not in str(row)
    assert rows.from_row(row) == stored
    assert rows.to_row(rows.from_row(row)) == row


def test_rows_of_older_releases_are_read_and_encrypted_when_written(
    rows: VersionRows, settings: FunctionSettings
) -> None:
    old = VersionRows().to_row(version(settings))
    assert SECRET in str(old)
    assert rows.from_row(old) == version(settings)
    assert SECRET not in str(rows.to_row(rows.from_row(old)))


def test_what_cannot_be_decrypted_is_kept(
    rows: VersionRows, settings: FunctionSettings, tmp_path: Path
) -> None:
    row = rows.to_row(version(settings))
    lost = VersionRows(KeyFileCipher(tmp_path / "lost.key"))
    read = lost.from_row(row)
    assert isinstance(read.settings.environment, UnreadableVariables)
    with pytest.raises(KMSNotFoundException) as told:
        assert read.settings.variables
    assert told.value.message == (
        "Lambda was unable to decrypt your environment variables because the KMS key was not "
        "found. Please check your KMS key settings. KMS Exception: KMSNotFoundException KMS "
        "Message: The file lost.key is not in the node's data directory."
    )
    again = lost.to_row(replace(read, settings=replace(read.settings, description="new")))
    found = rows.from_row(again)
    assert found.settings == replace(settings, description="new")
    assert found.deployment == version(settings).deployment


def test_variables_can_be_replaced_and_removed_without_the_key_they_had(
    rows: VersionRows, settings: FunctionSettings, tmp_path: Path
) -> None:
    read = VersionRows(KeyFileCipher(tmp_path / "lost.key")).from_row(
        rows.to_row(version(settings))
    )
    for environment in ({"NEW": "1"}, None):
        changed = replace(read, settings=replace(settings, environment=environment))
        assert rows.from_row(rows.to_row(changed)).settings.environment == environment


def test_variables_moved_to_another_function_cannot_be_read(
    rows: VersionRows, settings: FunctionSettings
) -> None:
    row = rows.to_row(version(settings))
    assert rows.from_row(row).settings.variables
    moved = rows.from_row({**row, "name": key("other").name})
    with pytest.raises(KMSException):
        assert moved.settings.variables
    assert KEY.name != "other"


def test_variables_that_cannot_be_encrypted_are_refused(
    settings: FunctionSettings, tmp_path: Path
) -> None:
    (tmp_path / "environment.key").mkdir()
    rows = VersionRows(KeyFileCipher(tmp_path / "environment.key"))
    with pytest.raises(KMSAccessDeniedException) as told:
        rows.to_row(version(settings))
    assert told.value.message.startswith(
        "Lambda was unable to configure access to your environment variables because KMS access "
        "was denied. Please check your KMS key settings."
    )


def test_settings_do_not_tell_their_variables_when_they_are_logged(
    settings: FunctionSettings,
) -> None:
    assert SECRET not in repr(version(settings))
