"""A cell unrolled in depth: its time axis read as layers, each with weights of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from carousel import engines
from carousel.engines.params import Parameters
from carousel.graph import Cell
from carousel.graph.patterns import lookup
from carousel.layers.initial import start
from carousel.layers.inputs import check_kind, without_autocast


class InDepth(nn.Module):
    """A feed-forward net whose layers are steps of a cell: highway and residual networks.

    What is a memory cell in time is a skip connection in depth: h_l = f * h_{l-1} + i * g. The net's input is the
    first layer's state, so the cell must not read x.

    Args:
        cell: one state and no input, such as `carousel.cells.highway` or `carousel.cells.residual`.
        size: the width of the input and of every layer.
        depth: how many layers.
        engine: as for `Recurrent`.

    Parameters carry the equations' names with the layer's number: `W_t_l0`, `W_t_l1`.

    Raises:
        TypeError: for what is no cell made by `carousel.cell`.
        ValueError: for a cell that reads x, has side inputs, or more than one state.

    Source: Srivastava, Greff & Schmidhuber (2015), arXiv:1505.00387, section 2.

    >>> import carousel as ca
    >>> net = InDepth(ca.cells.highway, size=8, depth=50)
    >>> net(torch.randn(3, 8)).shape
    torch.Size([3, 8])
    """

    def __init__(self, cell: Cell, size: int, depth: int, *, engine: str = "auto") -> None:
        super().__init__()
        if not isinstance(cell, Cell):
            raise TypeError(f"InDepth: cell is a {type(cell).__name__}, expected a cell made by @carousel.cell.")
        if len(cell.states) != 1 or cell.sides or cell.time is not None or cell.reads_input:
            raise ValueError(
                f"InDepth: {cell.name} has the states {', '.join(cell.states)}, expected a cell of one state that "
                f"reads neither {cell.input} nor side inputs: in depth, the net's input is the state that the first "
                f"layer starts from. The registered ones are highway and residual."
            )
        if size < 1 or depth < 1:
            raise ValueError(f"InDepth: size is {size} and depth {depth}, expected at least 1 each.")
        self.cell, self.size, self.depth, self.engine = cell, size, depth, engines.check_name(engine)
        self._sizes = {"input_size": 1, "hidden_size": size}
        shapes = cell.shapes(**self._sizes)
        self._layout = tuple((name, k, 0, 0) for k, name in enumerate(shapes))
        for l in range(depth):
            for name, shape in shapes.items():
                fixed = cell.fixed_value(name)
                if fixed is None:
                    self.register_parameter(f"{name}_l{l}", nn.Parameter(torch.empty(shape)))
                else:
                    self.register_buffer(f"{name}_l{l}", torch.full(shape, float(fixed)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws all parameters anew: as the cell's `init` says, otherwise uniformly within 1/sqrt(size)."""
        for name, _, _, _ in self._layout:
            fixed = self.cell.fixed_value(name)
            how = lookup(self.cell.init, name) if fixed is None else fixed
            for l in range(self.depth):
                start(getattr(self, f"{name}_l{l}"), how, self.size)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., size) through all layers, in the same shape. Raises ValueError for another width, dtype or device."""
        if x.dim() == 0 or x.shape[-1] != self.size:
            raise ValueError(f"InDepth: x has shape {tuple(x.shape)}, expected (..., {self.size}).")
        h = x.reshape(-1, self.size)
        if self._layout:
            weight = getattr(self, f"{self._layout[0][0]}_l0")
            check_kind("InDepth", x, weight)
            h = h.to(weight.dtype)
        unread = h.new_zeros(1, len(h), 1)
        name = engines.choose(self.engine, self.cell, unread)
        with without_autocast(x):
            for l in range(self.depth):
                weights = Parameters([getattr(self, f"{name}_l{l}") for name, _, _, _ in self._layout], self._layout)
                _, (h,), _ = engines.scan(
                    name, self.cell, self._sizes, unread, (h,), weights,
                    sides={}, lengths=None, resets=None, initial=None,
                )  # fmt: skip
        return h.reshape(x.shape)

    def extra_repr(self) -> str:
        return f"{self.cell.name}, size={self.size}, depth={self.depth}"
