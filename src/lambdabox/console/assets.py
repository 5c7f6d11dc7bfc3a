"""Files that pages load: styles, scripts and what is bundled of npm packages.

Their address has a digest of them all in it, so that browsers keep them for ever and ask
for others after an upgrade. They are read once, when the first page is shown.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).with_name("static")

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
          ".svg": "image/svg+xml"}  # fmt: skip
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    content_type: str
    compressed: bytes
    """All browsers take gzip; for the rest it is undone."""


class Assets:
    """Reads the files when made, which belongs on a thread."""

    def __init__(self, root: Path = STATIC) -> None:
        contents = {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.suffix in _TYPES
        }
        digest = hashlib.sha256()
        for name, content in contents.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:12]
        self._assets = {
            name: Asset(_TYPES[Path(name).suffix], gzip.compress(content, 6, mtime=0))
            for name, content in contents.items()
        }

    def url(self, name: str) -> str:
        """Return the address of a file. Raises KeyError for one that is not there."""
        self._assets[name]
        return f"/console/static/{self.version}/{name}"

    async def answer(self, request: Request) -> Response:
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            return Response(status_code=404)
        # One of another version was named by a page of before an upgrade, or by a typist.
        is_current = request.path_params["version"] == self.version
        headers = {
            "content-type": asset.content_type,
            "cache-control": _FOREVER if is_current else "no-cache",
            "vary": "accept-encoding",
        }
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.compressed, headers={**headers, "content-encoding": "gzip"})
        return Response(gzip.decompress(asset.compressed), headers=headers)
