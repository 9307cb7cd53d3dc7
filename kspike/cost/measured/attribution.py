"""Counts each neuron, normalisation and pool on the row of the product that it follows."""

from __future__ import annotations

from typing import Any

from kspike.cost.analytic.rows import Row
from kspike.cost.analytic.table import ClosedForm
from kspike.cost.measured.totals import Statistics, Tally, Total


def attribute_surroundings(
    products: list[str], statistics: Statistics, neurons: list[Any], rows: dict[str, Row], closed: ClosedForm | None
) -> dict[str, list[dict[str, Any]]]:
    """Product name -> the layers counted on its row: fields of `Around`, each a number for one image or a `Tally`.

    A layer is counted on the last product that ran before it, unless the next product shares more of its path (the
    neuron before the products of a block). What runs before the first product is counted on the first.

    Args:
        products: their names, in the order in which they ran.
        neurons: the neuron layers that are active.
        rows: closed form of a supernet's active network, whose normalisations and pools have no hooks; else empty.
        closed: that network in closed form.
    """
    attributed: dict[str, list[dict[str, Any]]] = {name: [] for name in products}
    if not products:
        return attributed
    known = {neuron.name: neuron for neuron in neurons}
    ran = [_place(name, of, total) for (name, of), total in statistics.totals.items()]
    for i, (name, role, total) in enumerate(ran):
        if role in ("neuron", "possible_neuron") and name in known:
            entry: dict[str, Any] = {"updates": known[name].updates, "spikes": known[name].spikes}
        elif role == "norm" and not rows:
            entry = {"normalised": total.signal.elements}
        elif role == "pool":
            entry = _pool(total.signal.elements, total.sums if total.counts else None)
        else:
            continue
        before = [n for n, r, _ in ran[:i] if r == "product" and n in attributed]
        after = [n for n, r, _ in ran[i:] if r == "product" and n in attributed]
        attributed[_nearest(name, before[-1:], after[:1])].append(entry)
    of_row, at = closed.pools if rows and closed is not None else {}, products[0]
    for name, row in rows.items():
        at = name if name in attributed else at  # a row without a product: with the one before it
        attributed[at].append({"normalised": row.normalised * row.steps})
        for pooled, source in of_row.get(name, ()):
            fires = known.get(source) if source else None
            attributed[at].append(_pool(pooled * row.steps, fires.spikes if fires else None))
    return attributed


def _place(name: str, of: str, total: Total) -> tuple[str, str, Total]:
    """(name, role, total) of what ran; an attention counts as A V, its last product."""
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
    """How many leading components two paths have in common."""
    n = 0
    for x, y in zip(a.split("/")[:-1], b.split("/")[:-1], strict=False):
        if x != y:
            break
        n += 1
    return n
