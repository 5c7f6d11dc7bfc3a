import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdabox.backends.cipher import KeyFileCipher
from lambdabox.domain.errors import (
    KMSAccessDeniedException,
    KMSException,
    KMSInvalidStateException,
    KMSNotFoundException,
)

SECRET = b"the secret"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "environment.key"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=64), place=st.text(max_size=16))
def test_what_is_sealed_can_be_opened_at_its_place_alone(
    path: Path, content: bytes, place: str
) -> None:
    cipher = KeyFileCipher(path)
    sealed = cipher.seal(content, place)
    assert KeyFileCipher(path).open(sealed, place) == content
    with pytest.raises(KMSInvalidStateException):
        cipher.open(sealed, f"{place}.")


def test_what_is_sealed_does_not_show_its_content(path: Path) -> None:
    assert "secret" not in KeyFileCipher(path).seal(SECRET, "f")


def test_the_same_at_the_same_place_looks_the_same_and_nothing_else_does(path: Path) -> None:
    cipher = KeyFileCipher(path)
    same = {KeyFileCipher(path).seal(SECRET, "f") for _ in range(2)}
    assert same == {cipher.seal(SECRET, "f")}
    others = [
        cipher.seal(SECRET, "g"),
        cipher.seal(b"another", "f"),
        cipher.seal(b"et", "fsecr"),
        cipher.seal(b"ret", "fsec"),
    ]
    assert len({_nonce(sealed) for sealed in [*same, *others]}) == 5


def _nonce(sealed: str) -> str:
    return sealed.split(".")[2][:16]


def test_only_the_node_reads_the_key(path: Path) -> None:
    KeyFileCipher(path).seal(SECRET, "f")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert list(path.parent.iterdir()) == [path]


def test_no_key_is_made_to_read_with(path: Path) -> None:
    sealed = KeyFileCipher(path).seal(SECRET, "f")
    path.unlink()
    with pytest.raises(KMSNotFoundException, match=r"environment\.key is not in the node's data"):
        KeyFileCipher(path).open(sealed, "f")
    assert not path.exists()


def test_a_key_that_comes_back_is_used(path: Path) -> None:
    sealed = KeyFileCipher(path).seal(SECRET, "f")
    away = path.rename(path.with_name("away"))
    cipher = KeyFileCipher(path)
    with pytest.raises(KMSNotFoundException):
        cipher.open(sealed, "f")
    away.rename(path)
    assert cipher.open(sealed, "f") == SECRET


def test_another_key_is_told_from_a_damaged_text(path: Path) -> None:
    sealed = KeyFileCipher(path).seal(SECRET, "f")
    path.unlink()
    other = KeyFileCipher(path)
    other.seal(SECRET, "f")
    with pytest.raises(KMSNotFoundException, match="holds another key"):
        other.open(sealed, "f")


@pytest.mark.parametrize("damage", ["", "1.2", "1.?.?", "{}!", "2.x.{}", "9{}"])
def test_what_is_damaged_is_refused(path: Path, damage: str) -> None:
    cipher = KeyFileCipher(path)
    damaged = damage.format(cipher.seal(SECRET, "f"))
    with pytest.raises(KMSException):
        cipher.open(damaged, "f")


def test_a_changed_byte_is_noticed(path: Path) -> None:
    cipher = KeyFileCipher(path)
    sealed = cipher.seal(SECRET, "f")
    changed = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    with pytest.raises(KMSInvalidStateException):
        cipher.open(changed, "f")


def test_what_is_no_key_is_told(path: Path) -> None:
    path.write_bytes(b"short")
    with pytest.raises(KMSInvalidStateException, match="is not a key of 32 bytes"):
        KeyFileCipher(path).seal(SECRET, "f")
    assert path.read_bytes() == b"short"


def test_a_key_that_cannot_be_read_is_told(path: Path) -> None:
    path.mkdir()
    with pytest.raises(KMSAccessDeniedException, match="cannot be read: Is a directory"):
        KeyFileCipher(path).seal(SECRET, "f")
