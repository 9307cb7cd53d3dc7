"""The neurons that fast forms are held to the reference on."""

from kspike import surrogate

NEURON = dict(
    tau=2.0, v_threshold=1.0, v_reset=0.0, decay_input=True, detach_reset=True, surrogate=surrogate.get("sigmoid")
)
CASES = {
    "spikformer": {},
    "soft reset": {"v_reset": None},
    "reset to another": {"v_reset": -0.3, "tau": 3.0, "v_threshold": 0.4},
    "input not divided": {"decay_input": False, "tau": 1.25},
    "gradient through the reset": {"detach_reset": False},
    "and through a soft one": {"detach_reset": False, "v_reset": None, "decay_input": False},
    "low threshold": {"v_threshold": 0.3, "tau": 10.0},
    **{name: {"surrogate": surrogate.get(name)} for name in surrogate.names()},
}
