"""Books neurons, normalisations and pools on the products that they stand around."""

from __future__ import annotations

from typing import Any

from kspike.cost.analytic.rows import Row
from kspike.cost.analytic.table import pools
from kspike.cost.measured.totals import Statistics, Tally, Total


def book(
    products: list[str], statistics: Statistics, neurons: list[Any], rows: dict[str, Row], config: Any
) -> dict[str, list[dict[str, Any]]]:
    """Product -> what is booked on it: names of `Around` to a number for one image, or to a tally of all images.

    Everything goes to the last product that ran before it, unless the next shares more of its path (the neuron before
    the product of a block); what runs before the first goes to the first.

    Args:
        products: their names, in the order in which they ran.
        neurons: the neuron layers that are active.
        rows: closed form of a supernet's active network, whose normalisations and pools nobody listens to; else empty.
        config: its architecture.
    """
    booked: dict[str, list[dict[str, Any]]] = {name: [] for name in products}
    if not products:
        return booked
    known = {neuron.name: neuron for neuron in neurons}
    ran = [_place(name, of, total) for (name, of), total in statistics.totals.items()]
    for i, (name, role, total) in enumerate(ran):
        if role in ("neuron", "suspect") and name in known:
            entry: dict[str, Any] = {"updates": known[name].updates, "spikes": known[name].spikes}
        elif role == "norm" and not rows:
            entry = {"normalised": total.signal.elements}
        elif role == "pool":
            entry = _pool(total.signal.elements, total.sums if total.counts else None)
        else:
            continue
        before = [n for n, r, _ in ran[:i] if r == "product" and n in booked]
        after = [n for n, r, _ in ran[i:] if r == "product" and n in booked]
        booked[_nearest(name, before[-1:], after[:1])].append(entry)
    of_row, at = pools(config) if rows else {}, products[0]
    for name, row in rows.items():
        at = name if name in booked else at  # a row without a product: with the one before it
        booked[at].append({"normalised": row.normalised * row.steps})
        for pooled, source in of_row.get(name, ()):
            fires = known.get(source) if source else None
            booked[at].append(_pool(pooled * row.steps, fires.spikes if fires else None))
    return booked


def _place(name: str, of: str, total: Total) -> tuple[str, str, Total]:
    """(name of a product or of something else, its role, its total); an attention stands for A V, its last product."""
    role = total.signal.role
    if role == "attention":
        layer, call, number = name.partition("#")
        return f"{layer}/{'qk' if of == 'q' else 'av'}{call}{number}", "product" if of != "k" else "", total
    return name, "product" if role in ("conv", "dense") else role, total


def _pool(size: int, spikes: Tally | None) -> dict[str, Any]:
    return {"pooled": size, **({"pooled_real": size} if spikes is None else {"pooled_spikes": spikes})}


def _nearest(name: str, before: list[str], after: list[str]) -> str:
    if not before or not after:
        return (before or after)[0]
    return after[0] if _shared(name, after[0]) > _shared(name, before[0]) else before[0]


def _shared(a: str, b: str) -> int:
    """How many parts of two paths are the same, from the front."""
    n = 0
    for x, y in zip(a.split("/")[:-1], b.split("/")[:-1], strict=False):
        if x != y:
            break
        n += 1
    return n
