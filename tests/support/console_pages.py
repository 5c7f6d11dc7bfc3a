"""What tests do with the console's pages in a browser."""

import json
from pathlib import Path

from playwright.sync_api import Page

from support.programs import missing

AXE = Path(__file__).parents[2] / "assets" / "node_modules" / "axe-core" / "axe.min.js"


def code_of(page: Page) -> str:
    """Return what the editor shows."""
    lines = page.locator("#editor .cm-line").all_inner_texts()
    return "\n".join(line.strip("\n") for line in lines)  # an empty one reads as a line break


def write(page: Page, text: str, editor: str = "#editor") -> None:
    """Put `text` in the place of what the editor holds."""
    page.locator(f"{editor} .cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(text)


def deploy(page: Page) -> None:
    page.keyboard.press("ControlOrMeta+s")
    page.locator("#progress.good").wait_for()


def violations(page: Page) -> list[str]:
    """Return what axe-core says is not for everybody, and where."""
    if not AXE.is_file():
        missing("axe-core is not installed (npm ci --prefix assets)")
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        f"{each['id']}: {json.dumps([node['target'] for node in each['nodes']])}" for each in found
    ]
