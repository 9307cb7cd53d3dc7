"""Fills a template with values; the only module that imports Jinja2."""

from __future__ import annotations

import functools
from typing import Any


def render(template: str, **values: Any) -> str:
    """Returns a whole page as text.

    Every value is escaped, wherever it stands: a model's, layer's, class's or space's name is text and never markup.
    A value missing from the template's arguments is an error, not a gap in the page.

    Args:
        template: a file of `kspike/pages/templates`, such as "energy.html".
        values: what the template shows, by name.
    """
    return _environment().get_template(template).render(**values)


@functools.cache
def _environment() -> Any:
    import jinja2  # here, as most who import kspike write no page

    # by the package and not by a path: the templates lie beside this file in a wheel, an editable install, a checkout
    return jinja2.Environment(
        loader=jinja2.PackageLoader("kspike.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
