"""Lets the docs render a docstring's "Example:" as the example section that griffe knows as "Examples:"."""

import re
from typing import Any

import griffe


class OneExample(griffe.Extension):
    """Our docstrings have one example each, and say so in the singular."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
