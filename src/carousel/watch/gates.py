"""`plot_gates`: every quantity of a cell that changes, over a sequence.

Legend: T time, B batch, w a width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from carousel import engines
from carousel.graph import AnyCell, Cell
from carousel.graph.notation.gates import changing, gates, intervals
from carousel.watch.watching import Scanned, call, lengths_of, sequences, watched

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_gates(
    model: nn.Module,
    sequence: Any,
    *,
    labels: Sequence[Any] | None = None,
    layer: str | None = None,
    record: Sequence[str] | None = None,
    row: int = 0,
) -> Figure:
    """A figure of every quantity of a cell over a sequence, one panel each: gates, then states, then all others.

    Which quantities are gates is found in the equations; they are drawn on a scale from 0 to 1. Up to six units are
    lines, more are a heat map with a row for each unit. Of cells on tensors the states are seen, matrices as rows of
    all their entries. A copy of the model runs, in the mode that it is in; the model and the random state stay as they
    are.

    Args:
        model: a net that contains `Recurrent`, `LSTM`, `GRU` or `RNN` layers, or such of `torch.nn`, or is one.
        sequence: what the net is called with: its input, or a tuple of arguments, or a mapping of keywords.
        labels: what stands below each step, such as the characters of a text; None counts the steps.
        layer: which layer and direction: "l0", "l1_reverse", or in a net "encoder.l0"; None takes the first.
        record: names of the quantities to draw, in their order; None draws all that change.
        row: which row of the batch.

    Returns:
        A matplotlib `Figure`; `figure.savefig("gates.png")` writes it.

    Raises:
        TypeError, ValueError: for a model without such layers, or a layer, quantity, row or number of labels that does
            not fit.

    >>> import torch
    >>> import carousel as ca
    >>> figure = ca.plot_gates(ca.LSTM(3, 4), torch.randn(5, 1, 3), labels="hello")
    >>> [axis.get_ylabel() for axis in figure.axes]
    ['f', 'i', 'o', 'h', 'c', 'g']
    """
    from carousel.watch.panels import draw_gates

    watch = Watch(record)
    with watched("plot_gates", model, watch.scan) as net, torch.no_grad():
        call(net, sequence)
    name, seen = _choose(sequences(watch.seen), layer)
    cell, lengths = seen[0].cell, torch.stack([one.lengths for one in seen])
    B, found = lengths.shape[1], tuple(seen[0].values)
    if record is not None and (unknown := [wanted for wanted in record if wanted not in found]):
        known = ", ".join(cell.recordable)
        raise ValueError(f"plot_gates: record has {unknown[0]!r}, which {cell.name} does not name; it names {known}.")
    if not -B <= row < B:
        raise ValueError(f"plot_gates: row is {row}, but the batch has {B} rows.")
    T = int(lengths[:, row].sum())
    if labels is not None and len(labels) != T:
        raise ValueError(f"plot_gates: {len(labels)} labels were given, expected {T}: one for each step of row {row}.")
    panels = {n: torch.cat([one.of(n, row) for one in seen]).cpu().numpy() for n in found}
    return draw_gates(f"{name}: {cell.name}", panels, {n for n in found if _is_gate(cell, n)}, labels)


@dataclass(kw_only=True)
class Seen(Scanned):
    """What one scan named: each quantity (T, B, *w)."""

    cell: AnyCell
    values: dict[str, Tensor]

    def of(self, name: str, row: int) -> Tensor:
        """A quantity at each step of a row, (T, w)."""
        return self.values[name][: int(self.lengths[row]), row].flatten(1).float()


class Watch:
    """Keeps what all scans named."""

    def __init__(self, record: Sequence[str] | None) -> None:
        self.record, self.seen = record, list[Seen]()

    def scan(self, name, engine, cell, sizes, x, hx, params, *, record, lengths, reverse, **options):
        """As `carousel.engines.scan`, of the direction of a layer that has this name."""
        wanted = _names(cell) if self.record is None else self.record
        known = [n for n in wanted if n in cell.recordable]  # other layers may name other things
        y, final, found = engines.scan(
            engine if isinstance(cell, Cell) else "eager", cell, sizes, x, hx, params,
            record=tuple(dict.fromkeys((*record, *known))), lengths=lengths, reverse=reverse, **options,
        )  # fmt: skip
        values = {n: found[n] for n in known}
        seen = Seen(
            name=name, given=hx, final=final, lengths=lengths_of(lengths, x), reverse=reverse, cell=cell, values=values
        )
        self.seen.append(seen)
        return y, final, {n: found[n] for n in record}


def _names(cell: AnyCell) -> tuple[str, ...]:
    """The quantities that change: gates, then states, then the others."""
    if not isinstance(cell, Cell):
        return cell.recordable
    moving = changing(cell.step.nodes)
    given = (cell.input, *cell.sides, *([cell.time] if cell.time else []))
    names = [n for n, k in cell.step.names.items() if moving[k] and n not in given]
    return tuple(sorted(names, key=lambda n: 0 if _is_gate(cell, n) else 1 if n in cell.states else 2))


def _is_gate(cell: AnyCell, name: str) -> bool:
    """Whether a quantity gates another, or lies between 0 and 1 whatever the input, states and parameters are."""
    if not isinstance(cell, Cell):
        return False
    low, high = intervals(cell.step.nodes)[cell.step.names[name]]
    return (low >= 0 and high <= 1) or (name in gates(cell) and name not in cell.states)


def _choose(found: Mapping[str, list[Seen]], layer: str | None) -> tuple[str, list[Seen]]:
    if not found:
        raise ValueError("plot_gates: no recurrent layer ran on this sequence.")
    name = next(iter(found)) if layer is None else layer
    if name not in found:
        raise ValueError(f"plot_gates: layer is {layer!r}, expected one of: {', '.join(found)}.")
    return name, found[name]
