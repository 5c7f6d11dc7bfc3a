import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support.packages import zipped
from typer.testing import CliRunner, Result

from lambdabox.backends.signing_keys import PemSigningKeys
from lambdabox.cli.main import app
from lambdabox.domain.code_signatures import Signed, read

PROFILE = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/ours/v1"
DOCUMENT = Path(__file__).parents[3] / "docs" / "code-signing.md"
ALGORITHMS = {
    "ed25519": ["-algorithm", "ed25519"],
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
}


def make_key(folder: Path, *options: str) -> None:
    """Make `signing.pem` and `signing.pub` with openssl, as the documentation does."""
    private = folder / "signing.pem"
    for command in (
        ["openssl", "genpkey", *options, "-out", str(private)],
        ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(folder / "signing.pub")],
    ):
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_key(tmp_path, *ALGORITHMS["ed25519"])
    (tmp_path / "hello.zip").write_bytes(zipped({"app.py": "handler = print\n"}))
    return tmp_path


def sign(folder: Path, *options: str, profile: str = PROFILE) -> Result:
    package, key = folder / "hello.zip", folder / "signing.pem"
    return CliRunner().invoke(
        app, ["sign", str(package), "--key", str(key), "--profile", profile, *options]
    )


def signature(path: Path) -> Signed:
    found = read(path.read_bytes())
    assert found is not None
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_package_is_signed_in_place(folder: Path, algorithm: str) -> None:
    make_key(folder, *ALGORITHMS[algorithm])
    before = (folder / "hello.zip").read_bytes()
    result = sign(folder)
    assert result.exit_code == 0, result.output
    assert f"Signed {folder}/hello.zip for {PROFILE}." in result.stderr
    after = (folder / "hello.zip").read_bytes()
    assert after.startswith(before[:-2])
    assert zipfile.ZipFile(io.BytesIO(after)).namelist() == ["app.py"]
    assert signature(folder / "hello.zip").profile_arn == PROFILE
    assert signature(folder / "hello.zip").expires_at is None


def test_the_documented_check_accepts_it_and_nothing_else(folder: Path) -> None:
    """Two readers of the format, written apart, agree."""
    assert sign(folder).exit_code == 0
    script = DOCUMENT.read_text().split("```python\n")[1].split("```")[0]

    def check() -> int:
        return subprocess.run(
            [sys.executable, "-c", script], cwd=folder, capture_output=True, check=False
        ).returncode

    assert check() == 0
    package = bytearray((folder / "hello.zip").read_bytes())
    package[40] ^= 1
    (folder / "hello.zip").write_bytes(package)
    assert check() != 0


def test_signing_again_replaces_the_signature(folder: Path) -> None:
    assert sign(folder, "--days", "30").exit_code == 0
    once = (folder / "hello.zip").read_bytes()
    assert signature(folder / "hello.zip").expires_at is not None
    other = PROFILE.replace("v1", "v2")
    assert sign(folder, "--output", str(folder / "other.zip"), profile=other).exit_code == 0
    assert (folder / "hello.zip").read_bytes() == once
    assert signature(folder / "other.zip").profile_arn == other
    assert signature(folder / "other.zip").expires_at is None
    shown = json.loads(sign(folder, "--json").stdout)
    assert shown == {"Package": f"{folder}/hello.zip", "Profile": PROFILE, "Expires": None}


def test_a_key_may_have_a_passphrase(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_key(folder, "-algorithm", "ed25519")
    plain, locked = folder / "signing.pem", folder / "locked.pem"
    command = ["openssl", "pkey", "-in", str(plain), "-aes256", "-passout", "pass:open sesame"]
    subprocess.run([*command, "-out", str(locked)], check=True, capture_output=True)
    locked.replace(plain)
    refused = sign(folder)
    assert refused.exit_code == 1
    assert "the passphrase is LAMBDABOX_SIGNING_PASSPHRASE" in refused.stderr
    monkeypatch.setenv("LAMBDABOX_SIGNING_PASSPHRASE", "open sesame")
    assert sign(folder).exit_code == 0


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("hello.zip", "hello.zip is not a zip"),
        ("signing.pem", "signing.pem is no private key in PEM"),
    ],
)
def test_what_cannot_be_signed_is_left_alone(folder: Path, spoil: str, complaint: str) -> None:
    (folder / spoil).write_bytes(b"something else")
    before = (folder / "hello.zip").read_bytes()
    result = sign(folder)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert (folder / "hello.zip").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [
        "hello.zip", "signing.pem", "signing.pub",
    ]  # fmt: skip


def test_other_keys_and_profiles_are_refused(folder: Path) -> None:
    assert "is no ARN of a signing profile's version" in sign(folder, profile="ours").stderr
    assert "too far away" in sign(folder, "--days", "9999999").stderr
    make_key(folder, "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    assert "is neither an Ed25519 nor an ECDSA key" in sign(folder).stderr


def test_public_keys_that_cannot_be_used_are_told(folder: Path) -> None:
    def complaint(name: str) -> str:
        with pytest.raises(KeyError) as told:
            PemSigningKeys({PROFILE: folder / name}).verify(PROFILE, b"text", b"signature")
        return str(told.value.args[0])

    with pytest.raises(KeyError, match="names no key"):
        PemSigningKeys({}).verify(PROFILE, b"text", b"signature")
    assert "cannot be read: No such file" in complaint("absent.pub")
    assert "is no public key in PEM" in complaint("hello.zip")
    make_key(folder, "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    assert "neither an Ed25519 nor an ECDSA key" in complaint("signing.pub")
