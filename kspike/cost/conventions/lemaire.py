"""A convention that charges memory: operations, addresses, and accesses priced by the size of the memory."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from kspike.cost.conventions.activity import Activity
from kspike.cost.conventions.base import Convention

WORD = 4  # bytes


@dataclasses.dataclass(frozen=True)
class Lemaire(Convention):
    """Charges operations, addresses and every access to memory, as Lemaire et al. do for event-driven hardware.

    A spike that meets F weights (F = window * channels out, or units; tokens in attention), theta spikes in:

        accumulations                 theta * F, strided windows by their ceil(k / s) outputs an axis; a bias an output
        addresses                     theta * F additions, and 2 multiply-accumulates a spike for a window's place
        reads                         theta words of a queue, theta * F weights, theta * F potentials
        writes                        theta * F potentials

    where the input is real: dense multiply-accumulates, each reading a weight, and for a convolution its input; in
    addition inputs + outputs (+ window * channels) additions for addresses. Neurons read and write every membrane at
    each step, multiply once for the leak, and for each spike add once and write a word into a queue; without a neuron
    the outputs are written. What an access costs follows from the size of the memory: `access_pj`.

    Extended to attention: Q K^T takes K, and A V takes A, for the weights that a spike meets. Departures from
    SpikingJelly's form of it: what is real is decided over all images; a layer without a neuron writes its outputs also
    in a network that has neurons elsewhere.

    Args:
        mac_pj: 3.1 + 0.1, a multiplication and an addition.
        ac_pj: an addition.
        sizes, costs: bytes of memory, and picojoules of an access of 4 bytes to one of that size; linear in between.
        queue: words that the queue of spikes between two layers holds.
    """

    mac_pj: float = 3.2
    ac_pj: float = 0.1
    largest_count: float = 1
    sizes: tuple[float, ...] = (0, 8192, 32768, 1048576)
    costs: tuple[float, ...] = (0, 10, 20, 100)
    queue: int = 1000

    def access_pj(self, words: float) -> float:
        """Energy of an access to a memory of so many words."""
        return float(np.interp(words * WORD, self.sizes, self.costs))

    def operations(self, activity: Activity) -> tuple[Any, Any]:
        """(accumulations, multiply-accumulates) of one image over all time steps, those for addresses left out."""
        size, around, none = activity.geometry, activity.around, np.zeros_like(activity.rate)
        bias = size.outputs if size.biased else 0
        if not self.accumulates(activity):
            return bias + around.spikes + none, activity.dense + around.updates + none
        windows = zip(size.kernel, size.strides, strict=True)
        shrink = math.prod(math.ceil(k / s) / k for k, s in windows)
        return _spikes(activity) * size.fan * shrink + bias + around.spikes, none + around.updates

    def picojoules(self, activity: Activity, accumulations: Any, multiplications: Any) -> Any:
        """Energy of one product for one image: computing, addressing, memory."""
        additions, places = self._addresses(activity)
        computing = self.ac_pj * (accumulations + additions) + self.mac_pj * (multiplications + places)
        return computing + sum(count * self.access_pj(words) for count, words in self._memory(activity))

    def accesses(self, activity: Activity) -> Any:
        """Words read and written."""
        return sum(count for count, _ in self._memory(activity)) + np.zeros_like(activity.rate)

    def _addresses(self, activity: Activity) -> tuple[Any, Any]:
        """(additions, multiply-accumulates) that compute the addresses of inputs, weights and outputs."""
        size = activity.geometry
        if self.accumulates(activity):
            spikes = _spikes(activity)
            return spikes * size.fan, 2 * spikes if size.kernel else 0
        return size.inputs + size.outputs + (size.steps * size.fan if size.kernel else 0), 0

    def _memory(self, activity: Activity) -> list[tuple[Any, float]]:
        """(number of accesses, size in words of the memory that they go to)."""
        size, around, steps = activity.geometry, activity.around, activity.geometry.steps
        bias = size.outputs if size.biased else 0
        if self.accumulates(activity):
            met = _spikes(activity) * size.fan
            out = [(_spikes(activity), self.queue), (met + bias, size.weights), (2 * met, size.outputs / steps)]
        else:
            read = activity.dense if size.kernel else size.inputs
            out = [(read, size.inputs / steps), (activity.dense + bias, size.weights)]
            if not np.any(around.updates):
                out.append((size.outputs, size.outputs / steps))
        neurons = np.max(around.updates) / steps
        return [*out, (2 * around.updates, float(neurons)), (around.spikes, self.queue)]


def _spikes(activity: Activity) -> Any:
    return activity.rate * activity.geometry.inputs
