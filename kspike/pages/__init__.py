"""Self-contained web pages of reports: one frame, one style, tables, bars and charts; a page loads nothing.

Pages are computed as plain numbers and texts. Only the files of `templates/` contain HTML, and they escape every value.
"""

from kspike.pages.chart import Chart, Point, Series, chart
from kspike.pages.images import png
from kspike.pages.render import render

__all__ = ["Chart", "Point", "Series", "chart", "png", "render"]
