"""docs/ becomes pages without a broken link, that ask nobody but their own server for anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|iframe)\b[^>]*\bsrc=["']?(https?:)?//"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preload|preconnect|icon)\b[^>]*\bhref=["']?https?://"""
    r"""|url\(\s*["']?https?://|@import\s+["']https?://"""
)
"""What a browser fetches by itself from another host. Links that people follow are none."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("docs") / "site"
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=REPOSITORY,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return directory


def test_every_page_is_there_and_has_its_pictures(site: Path) -> None:
    sources = (REPOSITORY / "docs").rglob("*.md")
    for source in sources:
        name = source.relative_to(REPOSITORY / "docs").with_suffix("")
        page = site / "index.html" if str(name) == "index" else site / name / "index.html"
        assert page.is_file(), name
    flows = (site / "how-it-works" / "index.html").read_text()
    for picture in re.findall(r'src="\.\./(pictures/[^"]+)"', flows):
        assert (site / picture).is_file()
    assert flows.count("pictures/") == 3


def test_pages_load_nothing_from_other_hosts(site: Path) -> None:
    files = [path for kind in ("html", "css") for path in site.rglob(f"*.{kind}")]
    assert len(files) > 30
    for path in files:
        assert LOADED.search(path.read_text()) is None, path


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://elsewhere/x.js">',
        "<img alt='' src=//elsewhere/x.png>",
        '<link rel="stylesheet" href="https://elsewhere/x.css">',
        "src: url(https://elsewhere/x.woff2)",
    ],
)
def test_what_would_be_loaded_from_elsewhere_is_recognised(tag: str) -> None:
    assert LOADED.search(tag)
