"""What reaches a part, as the declaration says: spikes and sums of them, or real numbers. Imports no Keras."""

from __future__ import annotations

from collections.abc import Mapping

from kspike.components.geometry import source
from kspike.components.parts import Neuron, Part, Pool, Sum


def takes_spikes(declared: Mapping[str, Part], name: str, role: str, residual: str) -> bool:
    """Whether spikes, levels or sums of them reach a part; False where real numbers do.

    A neuron gives spikes, a pool what it takes, a product, a normalisation or an attention real numbers. What comes
    into a component is spikes where residual="add" adds spikes; a stem takes images, and with the membrane shortcut the
    stream holds potentials.

    Args:
        declared: the component's parts.
        name: of the part.
        role: of the component.
        residual: the network's.

    Example:
        >>> from kspike import components
        >>> parts = components.get("mixer", "sepconv").declared({"residual": "membrane"})
        >>> takes_spikes(parts, "pw1", "mixer", "membrane"), takes_spikes(parts, "pw2", "mixer", "membrane")
        (True, False)
    """
    before = source(declared, name)
    while before is not None:
        part = declared[before]
        if isinstance(part, Neuron):
            return True
        if not isinstance(part, (Pool, Sum)):
            return False
        before = source(declared, before)
    return role != "stem" and residual == "add"
