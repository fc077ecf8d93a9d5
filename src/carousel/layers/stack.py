"""The one driver of layers: it stacks layers and directions, whatever the parameters are called.

Legend: T time, B batch, N rows (B, or with images B times their positions), D input features, L layers x directions, w
the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from carousel import engines
from carousel.engines.params import Direction, Parameters, each
from carousel.engines.precision import asked, rounded
from carousel.layers import checkpoint
from carousel.layers.inputs import AXES, Lengths, read_input, read_resets, read_sides, read_states, without_autocast
from carousel.layers.masks import mask
from carousel.space import convolution, stepwise

if TYPE_CHECKING:
    from carousel.graph import AnyCell

States = tuple[Tensor, ...]


class Stack(NamedTuple):
    """What a layer module tells the driver. `weights` and `initial` give what belongs to a suffix such as `_l0`.

    `initial` also takes the layer's input, for dtype and device; None is zero. `dims` counts the axes of images, for
    layers whose products are convolutions. `scan` runs one direction of one layer. `connections` has for each layer
    above the first what makes its output of its input and what the cell made of that; it may be empty.
    """

    name: str
    cell: AnyCell
    sizes: Mapping[str, int]
    output_width: int
    state_shapes: Sequence[tuple[int, ...]]
    num_layers: int
    bidirectional: bool
    batch_first: bool
    dropout: float
    training: bool
    engine: str
    weights: Callable[[str], Parameters]
    initial: Callable[[str, Tensor], Sequence[Tensor] | None]
    masks: Mapping[str, float] = {}
    checkpoint_every: int | None = None
    dims: int = 0
    scan: Callable = engines.scan
    connections: Sequence[Callable[[Tensor, Tensor], Tensor]] = ()

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def layer_sizes(self, layer: int) -> Mapping[str, int]:
        """The cell's sizes in a layer: above the first, the input is the output of the layer below."""
        if layer == 0:
            return self.sizes
        return {**self.sizes, "input_size": self.directions * self.output_width}


def suffixes(num_layers: int, bidirectional: bool) -> list[str]:
    """PyTorch's endings of parameter names, in its order.

    >>> suffixes(2, True)
    ['_l0', '_l0_reverse', '_l1', '_l1_reverse']
    """
    ends = ["", "_reverse"] if bidirectional else [""]
    return [f"_l{layer}{end}" for layer in range(num_layers) for end in ends]


def forward(
    stack: Stack,
    x: Tensor | PackedSequence,
    hx: Sequence[Tensor] | None,
    lengths: Lengths | None,
    resets: Tensor | None,
    record: Sequence[str],
    sides: Mapping[str, Tensor],
) -> tuple[Tensor | PackedSequence, States, dict[str, Tensor]]:
    """Runs all layers and directions: y, for each state (L, B, w), and what was recorded, each (L, T, B, w)."""
    ends = suffixes(stack.num_layers, stack.bidirectional)
    weights = [stack.weights(end) for end in ends]
    weight = weights[0].tensors[0] if weights[0].tensors else None
    cell, sizes = stack.cell, stack.sizes
    check_record(stack.name, cell, record)
    form, x, lengths = read_input(stack.name, x, stack.batch_first, sizes["input_size"], weight, lengths, stack.dims)
    if weight is not None and x.dtype != weight.dtype:
        x = x.to(weight.dtype)  # autocast made it what it is
    precision, result = asked(x)
    if precision is not None:
        weights = [own.at(precision) for own in weights]
    states = read_states(form, hx, cell.states, stack.state_shapes, len(ends), x)
    cuts = read_resets(form, resets, x)
    widths = {name: cell.side_width(name, **sizes) for name in cell.sides}
    given = read_sides(form, cell.sides, widths, sides, x)
    if stack.dims:
        stack = stack._replace(scan=partial(convolution.scan, space=form.space))

    with without_autocast(x):
        y, final, seen = run(stack, weights, ends, x, states, form.each_row(lengths), cuts, record, given)
    if result is not None:
        y, final, seen = rounded(result, y, final, seen)
    y, final = form.images(y), tuple(map(form.images, final))
    if not form.batched:
        final = tuple(s.squeeze(1) for s in final)
    seen = {name: form.restore_seen(form.images(value)) for name, value in seen.items()}
    if form.packed is not None:
        assert lengths is not None
        return form.pack(y, lengths), final, seen
    return form.restore(y), final, seen


def run(
    stack: Stack,
    weights: Sequence[Parameters],
    ends: Sequence[str],
    x: Tensor,
    hx: States | None,
    lengths: Tensor | None,
    resets: Tensor | None,
    record: Sequence[str],
    sides: Mapping[str, Tensor],
) -> tuple[Tensor, States, dict[str, Tensor]]:
    """`forward` in the layout of the engines, with everything checked: in the place of B there are N rows."""
    served = stepwise.elementwise(stack.cell) if stack.dims else stack.cell
    engine = engines.choose(stack.engine, served, x, resets=resets, record=record)
    scan: Callable = partial(engines.scan_layer, engine)
    if stack.checkpoint_every is not None or stack.scan is not engines.scan:
        scan = each(partial(checkpoint.scan, stack.checkpoint_every, stack.scan, engine))
    finals, recorded, below = [], [], x
    for layer in range(stack.num_layers):
        sizes, first = stack.layer_sizes(layer), layer * stack.directions
        directions = []
        for k in range(first, first + stack.directions):
            start = None if hx is None else tuple(h[k] for h in hx)
            given = {**_masks(stack, sizes, x, sides), **sides} if stack.cell.sides else sides
            directions.append(Direction(weights[k], start, stack.initial(ends[k], x), given, k > first))
        y, final, seen = scan(stack.cell, sizes, x, directions, lengths=lengths, resets=resets, record=record)
        finals.append(final)
        recorded.append(seen)
        below = x = stack.connections[layer - 1](below, y) if stack.connections and layer else y
        if stack.dropout and stack.training and layer < stack.num_layers - 1:
            x = F.dropout(x, stack.dropout)
    state = tuple(_joined(rows) for rows in zip(*finals, strict=True))
    return x, state, {name: _joined([seen[name] for seen in recorded]) for name in record}


def _joined(rows: Sequence[Tensor]) -> Tensor:
    return rows[0] if len(rows) == 1 else torch.cat(list(rows))


def _masks(stack: Stack, sizes: Mapping[str, int], x: Tensor, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The masks that were not passed in, drawn anew for each layer and direction."""
    drawn = {}
    for name, side in stack.cell.sides.items():
        if name not in given:
            assert side.keep is not None
            width = stack.cell.side_width(name, **sizes)
            drawn[name] = mask(side, stack.masks.get(name, side.keep), width, x, stack.training)
    return drawn


def check_every(name: str, every: int | None) -> int | None:
    """`checkpoint_every` as it is; ValueError unless it is None or a positive whole number."""
    if every is not None and (not isinstance(every, int) or isinstance(every, bool) or every < 1):
        raise ValueError(f"{name}: checkpoint_every is {every!r}, expected a positive whole number of steps, or None.")
    return every


def check_record(name: str, cell: AnyCell, record: Sequence[str]) -> None:
    """ValueError unless every recorded name is a quantity of the cell."""
    if isinstance(record, str):
        raise TypeError(f"{name}: record is the string {record!r}, expected names in a tuple: ({record!r},).")
    for wanted in record:
        if wanted not in cell.recordable:
            known = ", ".join(cell.recordable)
            raise ValueError(f"{name}: record has {wanted!r}, which {cell.name} does not name; it names {known}.")


def step(stack: Stack, x: Tensor, state: Sequence[Tensor] | None, sides: Mapping[str, Tensor]) -> tuple[Tensor, States]:
    """One step of all layers: x (B, D) or (D,) and the states (L, B, w) or (L, w) give y (B, w) and the new states."""
    name, cell = stack.name, stack.cell
    if stack.bidirectional:
        raise ValueError(f"{name}: step() reads the past only, but this layer is bidirectional.")
    if x.dim() not in (1 + stack.dims, 2 + stack.dims):
        D, frame = stack.sizes["input_size"], ", ".join(["D", *AXES[stack.dims]])
        one = f"({frame})" if stack.dims else "(D,)"
        given = tuple(x.shape)
        raise ValueError(f"{name}: x has shape {given}, expected (B, {frame}) or {one} with D = {D}: one step.")
    if cell.time is not None:
        raise ValueError(f"{name}: {cell.name} reads the step index, which step() does not know.")
    for mask_name, side in cell.sides.items():
        if side.keep is not None and side.kind == "sequence" and stack.training and mask_name not in sides:
            raise ValueError(
                f"{name}: the mask {mask_name} holds for a whole sequence, but step() would draw it at every step. "
                f"Pass {mask_name}=, or call eval()."
            )
    once = {n: v.unsqueeze(0) if n in cell.sides and cell.sides[n].kind == "step" else v for n, v in sides.items()}
    y, new, _ = forward(stack._replace(batch_first=False), x.unsqueeze(0), state, None, None, (), once)
    assert isinstance(y, Tensor)
    return y.squeeze(0), new
