"""The gallery of the zoo and a page for each card, as Markdown. Run: python docs/gallery/pages.py

Run by itself it draws docs/pictures/zoo.svg anew, the picture of all entries that README.md shows.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from docs.gallery import labels, pictures  # noqa: E402
from kspike import pages, zoo  # noqa: E402
from kspike.zoo.entry import Entry  # noqa: E402

ZOO, PICTURE = ROOT / "zoo", ROOT / "docs" / "pictures" / "zoo.svg"
STYLE = ROOT / "kspike" / "pages" / "templates" / "chart.css"

INTRODUCTION = """# The zoo

Every model here loads by name, on every backend, with its weights checked by hash:

```python
import kspike

model = kspike.zoo.load("auto_spikformer_digits")
```

Each name below leads to its card: what it is for, what was measured, how it was made, and the command that makes it
again. A bare name means the newest version. [Sharing models](../zoo.md) says what an entry holds and how to publish
your own.

## Accuracy and energy

A line joins the entries of one data set that no other beats in both. Energy is an estimate from counted operations, by
the convention "spikformer" ([what that leaves out](../energy.md#conventions)).
"""


@dataclasses.dataclass(frozen=True)
class Shown:
    """An entry as the gallery shows it: its full name, metadata, config and card."""

    name: str
    metadata: dict[str, Any]
    config: dict[str, Any]
    card: str

    @property
    def data(self) -> str:
        """The data set it was tested on; "" where it was published without one."""
        return (self.metadata["data"] or {}).get("name", "")


def entries(folder: Path = ZOO) -> list[Shown]:
    """All entries of a zoo folder, by data set, the most accurate first."""
    found = []
    for name in zoo.list_models(directory=folder, all_versions=True):
        entry = Entry.open(name, folder)
        card = entry.store.read("README.md", 2**20).decode("utf-8")
        found.append(Shown(name, entry.metadata, entry.config().to_dict(), card))
    return sorted(found, key=lambda shown: (shown.data, -(shown.metadata["accuracy"] or 0)))


def place(shown: Shown) -> str:
    """Where an entry's page lies below docs/."""
    return f"gallery/{shown.name}.md"


def made() -> dict[str, str]:
    """Everything that the gallery adds to the site: path below docs/ -> content."""
    found = entries()
    cards = {place(shown): card(shown) for shown in found}
    return {"gallery/index.md": index(found), **cards, "gallery/chart.css": STYLE.read_text(encoding="utf-8")}


def index(found: list[Shown]) -> str:
    """The gallery: a picture of all entries and a table."""
    rows = [
        "| entry | test accuracy | energy, mJ | parameters | time steps | data | made |",
        "|---|--:|--:|--:|--:|---|---|",
    ]
    for shown in found:
        metadata = shown.metadata
        how = "searched" if metadata["search"] else "by hand"
        rows.append(
            f"| [{shown.name}]({shown.name}.md) | {_figure(metadata['accuracy'], '{:.2%}')} | "
            f"{_figure(metadata['energy_mj'], '{:.3g}')} | {metadata['parameters']:,} | {shown.config['timesteps']} | "
            f"{shown.data or '-'} | {how} |"
        )
    picture = pages.render("figure.html", chart=pictures.front(found))
    return "\n".join([INTRODUCTION, _html(picture), "## All entries", "", *rows, ""])


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value).replace("%", " %")


def card(shown: Shown) -> str:
    """An entry's card as its folder has it, with pictures of what its metadata holds."""
    head, *sections = re.split(r"^## ", shown.card, flags=re.M)
    drawn = {
        "Accuracy": pictures.confusion(shown.metadata, labels.of(shown.metadata)),
        "Search": _chart(pictures.candidates(shown.metadata)),
        "Training": _chart(pictures.curve(shown.metadata, ROOT / "docs" / "results")),
    }
    parts = [head]
    for section in sections:
        title = section.partition("\n")[0].strip()
        parts += [f"## {section.rstrip()}\n\n", _html(drawn.get(title, ""))]
    return "".join(parts)


def _chart(chart: pages.Chart | None) -> str:
    return pages.render("figure.html", chart=chart) if chart else ""


def _html(text: str) -> str:
    """HTML as one block of Markdown: no empty line, none that is indented."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(lines) + "\n\n" if lines else ""


def picture() -> str:
    """The picture of all entries as a file of its own."""
    return pages.render("picture.svg", chart=pictures.front(entries(), alone=True))


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}")
