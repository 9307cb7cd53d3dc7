"""An energy report as one self-contained web page: no script, nothing loaded, light and dark, wide and narrow."""

from kspike.cost.page.document import as_page

__all__ = ["as_page"]
