"""Cells with probes: zeros that are added to each state as the step reads it, so that gradients can be asked there.

A probe is a side input `probe_h` of the state's shape at every step; the gradient with respect to it is the error that
arrives at the state which one step hands to the next. The index of the step is a side input too, so that single steps
can be run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from carousel import engines
from carousel.engines.params import Parameters
from carousel.graph import AnyCell, Cell, TensorCell
from carousel.graph.arguments import Side
from carousel.graph.transforming.rewriting import How, Rewriting, Transformed
from carousel.graph.widths import ONE

INDEX = "probe of the step"


def probe(state: str) -> str:
    """What the probe of a state is called; no equation can name it so."""
    return f"probe of {state}"


@lru_cache(maxsize=512)
def probed(cell: AnyCell) -> Any:
    """The cell with probes.

    >>> from carousel.cells import lstm
    >>> list(probed(lstm).sides)
    ['probe of h', 'probe of c']
    """
    return _rewritten(cell) if isinstance(cell, Cell) else Probed(cell)


def _rewritten(cell: Cell) -> Cell:
    r = Rewriting(cell)
    for n in r.copying():
        node = cell.step.nodes[n]
        if node.op == "state":
            name = probe(cell.states[node.attr["k"]])
            r.sides[name] = Side("step", str(node.width))
            r.replace(n, r.add("add", r.moved[n], r.add("side", width=node.width, name=name), width=node.width))
        elif node.op == "time":
            r.sides[INDEX] = Side("step", 1)
            r.replace(n, r.add("side", width=ONE, name=INDEX))
    return Transformed.of(r, How("probed", (), {}), "each state is read with a probe added")


class Probed:
    """A cell on tensors with probes, for the loop over steps."""

    def __init__(self, cell: TensorCell) -> None:
        self.inner, self.time = cell, None
        more = {probe(state): Side("step", 1) for state in cell.states}
        self.sides = {**cell.sides, **more, **({INDEX: Side("step", 1)} if cell.time else {})}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def advance(self, x: Tensor, *rest: Any, **sides: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As the cell's own, from states to which their probes are added."""
        *states, p = rest
        read = [value + sides.pop(probe(name)) for name, value in zip(self.inner.states, states, strict=True)]
        if self.inner.time is not None:
            sides[self.inner.time] = sides.pop(INDEX)
        return self.inner.advance(x, *read, p, **sides)


def probes(cell: AnyCell, sizes: Mapping[str, int], x: Tensor) -> tuple[Tensor, ...]:
    """For each state zeros (T, N, w) that want a gradient."""
    return tuple(x.new_zeros(*x.shape[:2], *shape).requires_grad_() for shape in cell.state_shapes(**sizes))


def scan(
    engine: str,
    cell: AnyCell,
    sizes: Mapping[str, int],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    params: Parameters | Mapping[str, Tensor],
    *,
    zeros: Sequence[Tensor],
    index: Tensor | None = None,
    sides: Mapping[str, Tensor],
    **options: Any,
) -> Any:
    """`carousel.engines.scan` with the probes `zeros`, at the steps `index` (T, N), or from 0 on."""
    own = probed(cell)
    more = {probe(state): zero for state, zero in zip(cell.states, zeros, strict=True)}
    if INDEX in own.sides:
        steps = torch.arange(len(x))[:, None] if index is None else index
        more[INDEX] = steps.to(x).expand(x.shape[:2]).unsqueeze(-1)
    name = "eager" if isinstance(cell, TensorCell) else engine
    return engines.scan(name, own, sizes, x, hx, params, sides={**sides, **more}, **options)


def jacobians(
    cell: AnyCell,
    sizes: Mapping[str, int],
    x: Tensor,
    states: Sequence[Tensor],
    params: Parameters | Mapping[str, Tensor],
    sides: Mapping[str, Tensor],
    index: Tensor,
) -> Tensor:
    """The Jacobians (S, n, n) of S single steps: of all n numbers of the new state with respect to those of the old.

    x (S, D), states (S, w), sides (S, w), index (S,). Row i holds the derivatives of number i of the new state. It
    takes n backward passes over one step of S rows.
    """
    zeros = probes(cell, sizes, x.unsqueeze(0))
    given = {n: v.unsqueeze(0) if cell.sides[n].kind == "step" else v for n, v in sides.items()}
    nothing: dict[str, Any] = {"lengths": None, "resets": None, "initial": None}
    _, new, _ = scan(
        "eager", cell, sizes, x.unsqueeze(0), states, params, zeros=zeros, index=index[None], sides=given, **nothing
    )
    total = torch.cat([state.flatten(1) for state in new], 1).sum(0)  # (n,): rows do not see each other
    rows = []
    for number in total:
        grads = torch.autograd.grad(
            number, zeros, retain_graph=True, allow_unused=True, materialize_grads=True
        ) if number.requires_grad else tuple(map(torch.zeros_like, zeros))  # fmt: skip
        rows.append(torch.cat([grad[0].flatten(1) for grad in grads], 1))
    return torch.stack(rows, 1)
