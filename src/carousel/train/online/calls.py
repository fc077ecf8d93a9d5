"""What a call of on-line learning is given, checked and brought into the core's form.

Legend: T time, N nets side by side, D input features, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Widths:
    """N, D, K and the dtype of a net."""

    nets: int
    inputs: int
    outputs: int
    dtype: torch.dtype


@dataclass
class Tensors:
    """The tensors of a call, None where there is none. They live as long as this does. A tolerance below 0: none."""

    steps: int
    inputs: Tensor | None = None
    hot_inputs: Tensor | None = None
    targets: Tensor | None = None
    hot_targets: Tensor | None = None
    when: Tensor | None = None
    starts: Tensor | None = None
    lengths: Tensor | None = None
    begins: Tensor | None = None
    tolerance: float = -1.0

    def addresses(self, outputs: Tensor, taken: Tensor) -> list[int]:
        """As the core wants them, with where the outputs go, and which steps were taken."""
        numbers = self.inputs, self.hot_inputs, self.targets, self.hot_targets
        steps = self.when, self.starts, self.lengths, self.begins
        return [0 if t is None else t.data_ptr() for t in (*numbers, *steps, outputs, taken)]


def check_call(
    widths: Widths,
    inputs: Tensor,
    targets: Tensor | None = None,
    when: Tensor | None = None,
    starts: Tensor | None = None,
    lengths: Tensor | None = None,
    tolerance: float | None = None,
    begins: Tensor | None = None,
) -> Tensors:
    """The tensors of a call. Raises TypeError or ValueError for what does not fit the net."""
    dense, hot = _numbers_or_indices("inputs", inputs, widths, widths.inputs, "D")
    steps = len(inputs)
    made = Tensors(steps, dense, hot)
    if targets is not None:
        made.targets, made.hot_targets = _numbers_or_indices("targets", targets, widths, widths.outputs, "K", steps)
    made.when = _flags("when", when, steps, widths.nets)
    made.starts = _flags("starts", starts, steps, widths.nets)
    if lengths is not None:
        made.lengths = _lengths(lengths, steps, widths.nets)
    made.begins = _flags("begins", begins, steps, widths.nets)
    if tolerance is not None:
        made.tolerance = _tolerance(tolerance, targets)
        made.begins = made.starts if begins is None else made.begins
    elif begins is not None:
        raise ValueError("Online: begins are given without a tolerance, so none rests; give one, or leave them out.")
    return made


def _tolerance(given: Any, targets: Tensor | None) -> float:
    if isinstance(given, bool) or not isinstance(given, float | int) or not given >= 0:
        raise ValueError(f"Online: tolerance is {given!r}, expected a number from 0 on.")
    if targets is None:
        raise ValueError(f"Online: tolerance is {given!r}, but without targets there are no errors; give targets too.")
    return float(given)


def _numbers_or_indices(
    name: str, given: Any, widths: Widths, width: int, letter: str, steps: int | None = None
) -> tuple[Tensor | None, Tensor | None]:
    if not isinstance(given, Tensor):
        raise TypeError(f"Online: {name} is a {type(given).__name__}, expected a tensor.")
    shape, T = tuple(given.shape), "T" if steps is None else steps
    whole = not given.is_floating_point() and given.dtype != torch.bool
    wanted = (T, widths.nets) if whole else (T, widths.nets, width)
    if len(shape) != len(wanted) or shape[1:] != wanted[1:] or (steps is not None and shape[0] != steps):
        kind = "integers (T, N)" if whole else f"numbers (T, N, {letter})"
        raise ValueError(f"Online: {name} are {kind} of shape {shape}, expected ({', '.join(map(str, wanted))}).")
    if not whole:
        return given.detach().to("cpu", widths.dtype).contiguous(), None
    if given.numel() and (int(given.min()) < -1 or int(given.max()) >= width):
        raise ValueError(
            f"Online: {name} are indices from {int(given.min())} to {int(given.max())}, expected -1 to {width - 1}."
        )
    return None, given.to("cpu", torch.int32).contiguous()


def _flags(name: str, given: Tensor | None, steps: int, nets: int) -> Tensor | None:
    if given is None:
        return None
    if not isinstance(given, Tensor) or given.dtype != torch.bool or tuple(given.shape) != (steps, nets):
        found = f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else type(given).__name__
        raise ValueError(f"Online: {name} is {found}, expected torch.bool ({steps}, {nets}).")
    return given.to("cpu").contiguous()


def _lengths(given: Any, steps: int, nets: int) -> Tensor:
    made = torch.as_tensor(given)
    if made.is_floating_point() or tuple(made.shape) != (nets,):
        raise ValueError(f"Online: lengths is {made.dtype} {tuple(made.shape)}, expected integers ({nets},).")
    if int(made.min()) < 0 or int(made.max()) > steps:
        raise ValueError(f"Online: lengths are from {int(made.min())} to {int(made.max())}, expected 0 to {steps}.")
    return made.to("cpu", torch.int64).contiguous()
