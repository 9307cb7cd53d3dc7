"""mkdocs hook: puts the gallery of the zoo into the site, made from the cards of zoo/ whenever the site is built."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from docs.gallery import pages  # noqa: E402

#: The section of `nav` in mkdocs.yml to which the cards are added.
SECTION = "The zoo"


def on_config(config: Any) -> Any:
    """Lists every card in the navigation."""
    (section,) = [item[SECTION] for item in config.nav if SECTION in item]
    section.append({"Cards": [{shown.name: pages.place(shown)} for shown in pages.entries()]})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the gallery, the cards and the style of their pictures."""
    for place, content in pages.made().items():
        files.append(File.generated(config, place, content=content))
    return files
