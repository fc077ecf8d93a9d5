"""The lattice of the transducer: at frame t with u labels written, a blank goes on to frame t + 1, a label to u + 1.

Legend: T frames, B batch, U labels of the longest transcript.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from carousel.labelling.core import core

IMPOSSIBLE = -1e30  # a log-probability; minus infinity would make NaN of derivatives


def lattice_losses(blank: Tensor, label: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """-ln p (B,), of all paths from (0, 0) to the blank at the last frame with all labels written.

    Args:
        blank, label: (T, B, U + 1) log-probabilities at [t, b, u] to go on, and to write label u + 1.
        lengths, target_lengths: (B,) int64 on the CPU; every sample has a frame.

    On the CPU the core computes it, with the derivative; on other devices, and in plain Python, it goes along the
    diagonals t + u.
    """
    on_cpu = blank.device.type == "cpu"
    if on_cpu and core("transducer_loss") is not None:
        return _Compiled.apply(blank, label, lengths, target_lengths)
    return _by_diagonals(blank, label, lengths, target_lengths)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, blank: Tensor, label: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
        grads = [value.detach().clone(memory_format=torch.contiguous_format) for value in (blank, label)]
        T, B, U1 = blank.shape
        losses = blank.new_empty(B)
        name = "float64" if blank.dtype == torch.float64 else "float32"
        run = getattr(core("transducer_loss"), f"transducer_losses_{name}")
        pointers = [value.data_ptr() for value in (lengths.contiguous(), target_lengths.contiguous(), losses)]
        run(grads[0].data_ptr(), grads[1].data_ptr(), T, B, U1, *pointers, torch.get_num_threads())
        ctx.save_for_backward(*grads)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        blank, label = ctx.saved_tensors
        return blank * gradient[:, None], label * gradient[:, None], None, None


def _by_diagonals(blank: Tensor, label: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """alpha of all (t, u) with t + u = d at once, Graves (2012), equation 16; derivatives are PyTorch's."""
    T, B, U1 = blank.shape
    u = torch.arange(U1, device=blank.device)
    ends, labels = lengths.to(blank.device), target_lengths.to(blank.device)
    last = blank[ends - 1, torch.arange(B, device=blank.device), labels]
    alpha = torch.where(u == 0, 0.0, IMPOSSIBLE).to(blank).expand(B, U1)
    diagonals = [alpha]
    for d in range(1, T + U1 - 1):
        on = alpha + _at(blank, d - 1 - u)
        written = alpha[:, :-1] + _at(label, d - 1 - u)[:, :-1]
        written = torch.nn.functional.pad(written, (1, 0), value=IMPOSSIBLE)
        alpha = torch.logaddexp(on.clamp(min=IMPOSSIBLE), written.clamp(min=IMPOSSIBLE))
        diagonals.append(alpha)
    reached = torch.stack(diagonals)[ends - 1 + labels, torch.arange(B, device=blank.device), labels]
    return -(reached + last)


def _at(values: Tensor, t: Tensor) -> Tensor:
    """values[t[u], :, u] (B, U + 1), impossible where there is no such frame."""
    inside = (t >= 0) & (t < len(values))
    index = t.clamp(0, len(values) - 1).expand(1, values.shape[1], -1)
    return values.gather(0, index)[0].masked_fill(~inside, IMPOSSIBLE)


def lattice_alignment(blank: Tensor, label: Tensor) -> tuple[list[int], float]:
    """The frames at which the best path writes the labels, and its log-probability. blank, label: (T, U + 1), float64.

    Within a frame, best[u] is the best of having come from the frame before with u' <= u labels and written the others
    here: with the labels' sums taken off, a running maximum.
    """
    T, U1 = blank.shape
    came = torch.where(torch.arange(U1) == 0, 0.0, -torch.inf).to(blank)
    origins = []
    for t in range(T):
        written = torch.cat([label.new_zeros(1), label[t, :-1].cumsum(0)])
        value, origin = (came - written).cummax(0)
        origins.append(origin.tolist())
        came = value + written + blank[t]
    times: list[int] = []
    u = U1 - 1
    for t in reversed(range(T)):
        times += [t] * (u - origins[t][u])
        u = origins[t][u]
    return times[::-1], float(came[-1])
