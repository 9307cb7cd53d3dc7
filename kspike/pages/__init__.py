"""Self-contained web pages of reports: one frame, one style, tables, bars and charts; a page loads nothing.

What is shown is computed as plain numbers and texts. HTML stands in the files of `templates/` alone, where every value
is escaped.
"""

from kspike.pages.chart import Chart, Point, Series, chart
from kspike.pages.images import png
from kspike.pages.render import render

__all__ = ["Chart", "Point", "Series", "chart", "png", "render"]
