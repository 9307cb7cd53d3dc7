"""An energy report as one self-contained web page: the plain data that the template energy.html lays out."""

from kspike.cost.page.document import as_page

__all__ = ["as_page"]
