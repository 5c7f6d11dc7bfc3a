"""Show links to files of the repository that are no pages as the names of these files.

A hook of MkDocs: such a link, to a folder of examples for one, leads somewhere in the repository
and nowhere on the site. One to a file that does not exist is left for MkDocs to complain about.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>\.\./[^)#]+)\)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_files: Files) -> str:
    docs = Path(config.docs_dir)
    folder = (docs / page.file.src_uri).parent

    def shown(link: re.Match[str]) -> str:
        target = (folder / link["target"]).resolve()
        if not target.exists() or target.is_relative_to(docs):
            return link[0]
        name = str(target.relative_to(docs.parent))
        return f"`{name}`" if link["text"] in (name, f"`{name}`") else f"{link['text']} (`{name}`)"

    return LINK.sub(shown, markdown)
