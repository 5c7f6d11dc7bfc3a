"""Deployment packages for tests."""

import io
import zipfile
from collections.abc import Mapping

ROLE = "arn:aws:iam::000000000000:role/lambda-role"


def zipped(files: Mapping[str, str | bytes], *, executable: tuple[str, ...] = ()) -> bytes:
    """Return a zip of `files`: path to content. Those in `executable` get mode 0755."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if path in executable else 0o100644) << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def python_package(source: str, *, module: str = "app") -> bytes:
    return zipped({f"{module}.py": source})
