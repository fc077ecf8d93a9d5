"""What a stream keeps of its layer: packed weights, and everything else that does not change from step to step.

Legend: T time, B batch, D input features, L layers, w the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from carousel import engines
from carousel.engines import native
from carousel.engines.native_call import DTYPES
from carousel.engines.native_stream import Prepared, PreparedLayer, prepare
from carousel.graph import Cell
from carousel.layers import stack as driver
from carousel.layers.inputs import Form, read_sides
from carousel.layers.masks import mask

PRECISIONS = {torch.float32: ("float32", "bfloat16", "int8"), torch.float64: ("float64",)}


class Snapshot:
    """The parameters of a layer as they are now, packed in some precision, for B sequences side by side.

    `initial` holds for each state its initial value (L, 1, w). `given` are the side inputs given once a sequence.
    Raises TypeError, ValueError for a layer that cannot be streamed, and side inputs that do not fit.
    """

    def __init__(self, layer: Any, B: int, precision: str | None, given: Mapping[str, Tensor]) -> None:
        stack: driver.Stack = layer._stack()
        self.stack, self.form = stack, Form(f"Stream({stack.name})", False)
        _check(self.form.name, stack, getattr(layer, "weight_dropout", None))
        ends = driver.suffixes(stack.num_layers, False)
        with torch.no_grad():
            weights = [stack.weights(end) for end in ends]
            like = weights[0].tensors[0] if weights[0].tensors else torch.empty(0)
            if reason := native.status() or native.serves(stack.cell, like):
                raise ValueError(f"{self.form.name}: {reason}.")
            if like.dtype not in DTYPES:
                raise ValueError(
                    f"{self.form.name}: a stream computes in float32 and float64, the layer is {like.dtype}."
                )
            assert isinstance(stack.cell, Cell)
            known = PRECISIONS[like.dtype]
            if precision not in (None, *known):
                raise ValueError(f"{self.form.name}: precision is {precision!r}, expected one of: {', '.join(known)}.")
            self.x = like.new_empty(1, B, stack.sizes["input_size"])
            read = self.read_sides(self.form, "sequence", given, self.x)
            self.once = {name: side.clone() for name, side in read.items()}
            self.layers = []
            for k, own in enumerate(weights):
                once = {**self._masks("sequence", k, self.x), **self.once}
                self.layers.append(PreparedLayer(stack.cell, stack.layer_sizes(k), own, once, self.x, precision))
            self.initial = [self.x.new_zeros(len(ends), 1, *shape) for shape in stack.state_shapes]
            for k, end in enumerate(ends):
                for state, start in zip(self.initial, stack.initial(end, self.x) or (), strict=False):
                    state[k] = start

    def declared(self, kind: str) -> dict[str, Any]:
        """The side inputs of a kind that have to be given."""
        return {n: side for n, side in self.stack.cell.sides.items() if side.kind == kind and side.keep is None}

    def read_sides(self, form: Form, kind: str, given: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """The side inputs of a kind, (T, B, w) or (B, w), checked."""
        declared = self.declared(kind)
        return read_sides(form, declared, {name: self._width(name, 0) for name in declared}, given, x)

    def prepare(self, T: int, states: Sequence[Tensor], threads: int) -> Prepared:
        """Calls for T steps, which change the states (L, B, w) in place."""
        x = self.x.new_empty(T, *self.x.shape[1:])
        rooms = {name: x.new_empty(*x.shape[:2], self._width(name, 0)) for name in self.declared("step")}
        masks = [{**self._masks("step", k, x), **self._masks("sequence", k, x)} for k in range(len(self.layers))]
        return prepare(self.layers, x, states, {**rooms, **self.once}, masks, threads)

    def _width(self, name: str, layer: int) -> int:
        return self.stack.cell.side_width(name, **self.stack.layer_sizes(layer))

    def _masks(self, kind: str, layer: int, x: Tensor) -> dict[str, Tensor]:
        """The masks of a kind in a layer, as they are in evaluation."""
        found = {}
        for name, side in self.stack.cell.sides.items():
            if side.kind == kind and side.keep is not None:
                keep = self.stack.masks.get(name, side.keep)
                found[name] = mask(side, keep, self._width(name, layer), x, training=False)
        return found


def _check(name: str, stack: driver.Stack, weight_dropout: Any) -> None:
    if stack.bidirectional:
        raise ValueError(f"{name}: a stream reads the past only, but the layer is bidirectional.")
    if stack.dims or stack.scan is not engines.scan:
        raise ValueError(f"{name}: the layer reads images, a stream rows.")
    if stack.connections:
        raise ValueError(f"{name}: a stream knows no connections around layers; the layer's step() does.")
    masked = any(side.keep is not None for side in stack.cell.sides.values())
    if stack.training and (masked or weight_dropout or (stack.dropout and stack.num_layers > 1)):
        raise ValueError(
            f"{name}: the layer is in training and drops units at random, a stream runs it as in evaluation. Call "
            f"eval() on the layer."
        )
