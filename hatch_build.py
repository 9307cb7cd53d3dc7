"""Lays the published folders into a built wheel as data: zoo/ and tuners/spaces/ under kspike/_data/."""

from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PUBLISHED = {"zoo": "kspike/_data/zoo", "tuners/spaces": "kspike/_data/spaces"}


class PublishedFolders(BuildHookInterface):
    """Only for a real wheel: an editable install would otherwise hold a copy, and a second `kspike` folder with it."""

    def initialize(self, version: str, build_data: dict) -> None:
        if version != "standard":
            return
        for folder, inside in PUBLISHED.items():
            if (Path(self.root) / folder).is_dir():
                build_data["force_include"][folder] = inside
