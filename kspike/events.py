"""Event cameras: recordings read from files, mended and filtered, counted in frames, augmented (kspike/data/events)."""

from kspike.data.events import *  # noqa: F403
from kspike.data.events import __all__ as __all__
