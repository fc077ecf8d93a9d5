"""`error_flow`: how much error reaches each earlier step and state of a net.

Legend: T time, N rows of the batch, n numbers in all states of a row, w the shape of what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from carousel.engines.params import starts
from carousel.engines.rows import cuts, within
from carousel.graph import AnyCell
from carousel.watch import probing
from carousel.watch.result import ErrorFlow, LayerFlow
from carousel.watch.watching import Scanned, call, lengths_of, sequences, watched


def error_flow(
    model: nn.Module, batch: Any, *, loss: Callable[[Any], Tensor] | None = None, jacobians: int = 20
) -> ErrorFlow:
    """How much of an error reaches each earlier step and state of every recurrent layer in a net.

    At each step a state is read that the step before has handed on. Measured is the norm of the gradient with respect
    to it, by lag: lag 1 is read by the last step of a row (in a reverse direction by its first), lag 2 by the one
    before. Over rows of the batch it is the root mean square. And of the recurrent Jacobian, the derivative of all
    states after a step with respect to all states before it, the spectral radius and the largest singular value, in the
    longest row of the batch.

    Everything is exact, for every cell, as far as the numbers of the net's dtype reach: a gradient below 1e-38 is zero
    in float32, below 1e-308 after `model.double()`. It takes one forward pass as in training with all states kept, and
    one backward pass (without `loss`, one for each layer and direction). For the Jacobians it takes n backward passes
    of a single step, and an eigenvalue problem of n x n at each lag, where n numbers are in all states of a layer
    (2 H for an LSTM).

    A copy of the model is measured, in the mode that it is in; its parameters, gradients, buffers and hooks and the
    random state stay as they are.

    Args:
        model: a net that contains `Recurrent`, `LSTM`, `GRU` or `RNN` layers, or such of `torch.nn`, or is one.
        batch: what the net is called with: its input, or a tuple of arguments, or a mapping of keywords.
        loss: makes a number of what the net returns. A loss at all steps gives sums of errors of many lags. None looks
            at each layer and direction by itself: an error of 1 on each unit of its output at each row's last step.
        jacobians: at how many lags, evenly spread, the Jacobian is taken; 0 for none.

    Returns:
        An `ErrorFlow`: print it, `plot()` it, or read its numbers.

    Raises:
        TypeError, ValueError: for a model without such layers, or a loss that is not one number.

    Source: Hochreiter, "Untersuchungen zu dynamischen neuronalen Netzen", diploma thesis, TU Munich, 1991; Hochreiter &
    Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735, section 3.

    >>> import torch
    >>> import carousel as ca
    >>> layer = ca.Recurrent(ca.cells.context_unit, input_size=3, hidden_size=1, init={"d": 0.5})
    >>> flow = ca.error_flow(layer, torch.randn(6, 2, 3))
    >>> [float(norm) for norm in flow["l0"].norms["c"]]
    [0.5, 0.25, 0.125, 0.0625, 0.03125]
    >>> flow["l0"].spectral_radius.max()
    np.float64(0.5)
    """
    if jacobians < 0:
        raise ValueError(f"error_flow: jacobians is {jacobians}, expected the number of lags, 0 or more.")
    watch = Watch()
    with watched("error_flow", model, watch.scan) as net:
        result = call(net, batch)
        found = {name: pieces for name, pieces in sequences(watch.pieces).items() if _longest(pieces) > 1}
        if not found:
            raise ValueError("error_flow: no recurrent layer took two steps on this batch, so no state was handed on.")
        if loss is None:
            grads = {name: _gradients(_last(pieces), pieces) for name, pieces in found.items()}
        else:
            error = loss(result)
            _check(error)
            own = _gradients(error, [piece for pieces in found.values() for piece in pieces])
            grads = {name: [own.pop(0) for _ in pieces] for name, pieces in found.items()}
        return ErrorFlow(
            {
                name: LayerFlow(name, pieces[0].cell.name, _norms(pieces, grads[name]), *_radii(pieces, jacobians))
                for name, pieces in found.items()
            }
        )


def _last(pieces: Sequence[Piece]) -> Tensor:
    """The sum of a layer's output at each row's last step."""
    total = pieces[0].y.new_zeros(())
    later = torch.zeros_like(pieces[0].lengths)
    for piece in reversed(pieces):
        (rows,) = torch.nonzero((piece.lengths > 0) & (later == 0), as_tuple=True)
        last = torch.zeros_like(rows) if piece.reverse else piece.lengths[rows] - 1
        total = total + piece.y[last.to(total.device), rows.to(total.device)].sum()
        later = later + piece.lengths
    return total


def _gradients(error: Tensor, pieces: Sequence[Piece]) -> list[list[Tensor]]:
    """For each piece and state (T, N, w): the gradient of the error with respect to what each step reads."""
    zeros = [zero for piece in pieces for zero in piece.zeros]
    found = iter(torch.autograd.grad(error, zeros, retain_graph=True, allow_unused=True, materialize_grads=True))
    return [[next(found) for _ in piece.zeros] for piece in pieces]


def _check(error: Tensor) -> None:
    if not isinstance(error, Tensor) or error.numel() != 1:
        given = f"of shape {tuple(error.shape)}" if isinstance(error, Tensor) else f"a {type(error).__name__}"
        raise ValueError(f"error_flow: the loss is {given}, expected a tensor with one number.")
    if torch.isnan(error):
        raise ValueError("error_flow: the loss is not a number.")
    if not error.requires_grad:
        raise ValueError("error_flow: the loss does not depend on any recurrent layer of the model.")


@dataclass(kw_only=True)
class Piece(Scanned):
    """One scan with probes, and what is needed to run its steps again.

    For each state: `hx` (N, w) is its value before the first step, `initial` (N, w) the one that the cell starts from,
    `states` (T, N, w) are those after each step, `zeros` (T, N, w) its probes. `cut` (T, N): steps that start afresh.
    """

    cell: AnyCell
    sizes: Mapping[str, int]
    x: Tensor
    params: Any
    sides: Mapping[str, Tensor]
    cut: Tensor | None
    hx: tuple[Tensor, ...]
    initial: tuple[Tensor, ...]
    zeros: tuple[Tensor, ...]
    y: Tensor
    states: dict[str, Tensor]

    def steps(self, row: int) -> Tensor:
        """The steps of a row in the order in which they are taken."""
        steps = torch.arange(int(self.lengths[row]))
        return steps.flip(0) if self.reverse else steps

    def read(self, row: int) -> list[Tensor]:
        """For each state (n, w): what the steps of a row have read, in their order."""
        steps = self.steps(row).to(self.x.device)
        found = []
        for name, first, fresh in zip(self.cell.states, self.hx, self.initial, strict=True):
            after = self.states[name][:, row][steps]
            before = torch.cat([first[row : row + 1], after])[: len(steps)].detach()
            if self.cut is not None:
                cut = self.cut[steps, row].view(-1, *[1] * (before.dim() - 1))
                before = torch.where(cut, fresh[row], before)
            found.append(before)
        return found


class Watch:
    """Runs every scan of a net with probes, and keeps the pieces."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def scan(self, name, engine, cell, sizes, x, hx, params, *, sides, lengths, resets, initial, reverse, record):
        """As `carousel.engines.scan`, of the direction of a layer that has this name."""
        zeros = probing.probes(cell, sizes, x)
        given = {"lengths": lengths, "resets": resets, "initial": initial, "reverse": reverse}
        names = tuple(dict.fromkeys((*record, *cell.states)))
        y, final, seen = probing.scan(
            engine, cell, sizes, x, hx, params, zeros=zeros, sides=sides, record=names, **given
        )  # fmt: skip
        begun, fresh = starts(cell, sizes, x, hx, initial)
        cut = cuts(resets, None if lengths is None else within(lengths, len(x), x.device), reverse)
        piece = Piece(
            name=name, given=hx, final=final, lengths=lengths_of(lengths, x), reverse=reverse, cell=cell, sizes=sizes,
            x=x.detach(), params=params, sides=sides, cut=None if cut is None else cut.squeeze(-1), hx=begun,
            initial=fresh, zeros=zeros, y=y, states=seen,
        )  # fmt: skip
        self.pieces.append(piece)
        return y, final, {name: seen[name] for name in record}


def _longest(pieces: Sequence[Piece]) -> int:
    """The number of steps of the longest row."""
    return int(torch.stack([piece.lengths for piece in pieces]).sum(0).max())


def _norms(pieces: Sequence[Piece], grads: Sequence[Sequence[Tensor]]) -> dict[str, np.ndarray]:
    """For each state the norm of its gradient by lag, the root mean square over the rows that are longer."""
    lengths = torch.stack([piece.lengths for piece in pieces])  # (pieces, N)
    handed = lengths.sum(0) - 1  # (N,): the state from which a row begins no step has handed on
    found = {}
    for k, state in enumerate(pieces[0].cell.states):
        squares = torch.full((_longest(pieces) - 1, lengths.shape[1]), torch.nan, dtype=torch.float64)
        for number, (piece, grad) in enumerate(zip(pieces, grads, strict=True)):
            norms = grad[k].detach().cpu().double().flatten(2).norm(dim=2)  # (T, N)
            t = torch.arange(len(norms))[:, None]
            lag = (t if piece.reverse else lengths[number:].sum(0) - 1 - t).expand_as(norms)  # counted from 0
            steps, rows = torch.nonzero((t < piece.lengths) & (lag < handed), as_tuple=True)
            squares[lag[steps, rows], rows] = norms[steps, rows] ** 2
        found[state] = squares.nanmean(1).sqrt().numpy()
    return found


def _radii(pieces: Sequence[Piece], count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lags, and there the spectral radius and the largest singular value of the Jacobian in the longest row."""
    row = int(torch.stack([piece.lengths for piece in pieces]).sum(0).argmax())
    steps = [piece.steps(row) for piece in pieces]
    total = sum(map(len, steps))
    lags = np.unique(np.linspace(1, total - 1, min(count, total - 1)).round().astype(int))
    if not len(lags):
        return lags, np.empty(0), np.empty(0)
    first, at = pieces[0], torch.from_numpy(total - lags).to(pieces[0].x.device)
    states = [torch.cat(parts)[at] for parts in zip(*(piece.read(row) for piece in pieces), strict=True)]
    sides = {
        name: torch.cat([_side(piece, name, row, own) for piece, own in zip(pieces, steps, strict=True)])[at]
        for name in first.sides
    }
    x = torch.cat([piece.x[:, row][own.to(at.device)] for piece, own in zip(pieces, steps, strict=True)])[at]
    found = probing.jacobians(
        first.cell, first.sizes, x, states, first.params, sides, torch.cat(steps).to(at.device)[at]
    ).double().cpu()  # fmt: skip
    fits = found.isfinite().all(-1).all(-1)
    known = torch.where(fits[:, None, None], found, 0.0)
    radius = torch.linalg.eigvals(known).abs().amax(1).masked_fill(~fits, torch.inf)
    largest = torch.linalg.matrix_norm(known, 2).masked_fill(~fits, torch.inf)
    return lags, radius.numpy(), largest.numpy()


def _side(piece: Piece, name: str, row: int, steps: Tensor) -> Tensor:
    """A side input of a row at its steps, (n, w)."""
    value = piece.sides[name].detach()
    if piece.cell.sides[name].kind == "step":
        return value[:, row][steps.to(value.device)]
    return value[row].expand(len(steps), -1)
