"""A newcomer's first minutes in the browser, and the pictures of them in the documentation.

`make screenshots` runs this with SCREENSHOTS=docs/images, which the pictures are then kept in.
"""

import os
from pathlib import Path

from playwright.sync_api import Page
from support.console_tour import MOST_BYTES, Camera, walk

ALBUM = Path(__file__).parents[3] / "docs" / "images"

NEWCOMER = "222222222222"
"""An account of its own, in which there is nothing yet."""


def test_a_newcomer_gets_from_nothing_to_a_function_that_works(page: Page) -> None:
    page.goto("/console")
    page.get_by_label("Account 000000000000").click()
    page.get_by_label("Account", exact=True).fill(NEWCOMER)
    page.get_by_role("button", name="Show").click()
    album = os.environ.get("SCREENSHOTS")
    camera = Camera(page, Path(album) if album else None)
    walk(page, camera)
    # Each picture of the documentation is one of the tour's.
    assert {path.stem for path in ALBUM.iterdir()} == {f"console-{name}" for name in camera.taken}


def test_pictures_are_small_and_shown() -> None:
    pages = "".join(path.read_text() for path in ALBUM.parent.glob("*.md"))
    for path in ALBUM.iterdir():
        assert path.stat().st_size <= MOST_BYTES
        assert f"(images/{path.name})" in pages
