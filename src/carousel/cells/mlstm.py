"""The xLSTM's cell with a matrix for memory, which stores values under keys and is asked by queries.

Beck et al., "xLSTM: extended long short-term memory", 2024, arXiv:2405.04517.

    q_t = W_q x_t + b_q
    k_t = W_k x_t / sqrt(d) + b_k
    v_t = W_v x_t + b_v
    i_t = exp(W_i x_t + b_i)
    f_t = sigmoid(W_f x_t + b_f)
    o_t = sigmoid(W_o x_t + b_o)
    C_t = f_t C_{t-1} + i_t v_t k_t^T
    n_t = f_t n_{t-1} + i_t k_t
    h_t = o_t * (C_t q_t / max(|n_t^T q_t|, 1))

Each head, d = hidden_size / heads wide, has its own q, k, v, C, n and its own numbers i and f. The states are C and n
divided by exp(m_t), with m_t = max(log f_t + m_{t-1}, log i_t), which keeps the exponentials in range; the 1 is then
exp(-m_t). All three start from zero. Nothing of a step depends on the one before but C, n and m, so that a whole
sequence is computed by products of matrices: `form="chunkwise"`, "parallel" or "recurrent", with the same numbers to
rounding.
Known for: memory that grows with the square of the width, and training in parallel over the sequence.
Deviates from the paper: 1e-6 is added to what is divided by, as the authors' program does. f can be exp too, as in the
paper, by `forget="exp"`. Weights and biases of the gates start as in the authors' program: W_i and W_f at 0, b_f from 3
to 6 over the heads, b_i near 0.
Oracle: xlstm, the authors' package: its step of a single token, whose memory is the transposed of C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from carousel.cells.mlstm_forms import chunkwise, log_forget, parallel, recurrent, step
from carousel.graph.tensor_cell import tensor_cell

FORMS: dict[str, Callable[..., Any]] = {"chunkwise": chunkwise, "parallel": parallel, "recurrent": recurrent}
EPS = 1e-6


def forget_bias_(b: Tensor) -> Tensor:
    """From 3 to 6 over the heads: some forget sooner than others."""
    return b.copy_(torch.linspace(3, 6, len(b)))


def input_bias_(b: Tensor) -> Tensor:
    """Near 0."""
    return b.normal_(std=0.1)


@tensor_cell(
    states={
        "C": ("heads", "hidden_size / heads", "hidden_size / heads"),
        "n": ("heads", "hidden_size / heads"),
        "m": ("heads",),
    },
    shapes={
        "W_q": ("hidden_size", "input_size"),
        "W_k": ("hidden_size", "input_size"),
        "W_v": ("hidden_size", "input_size"),
        "W_i": ("heads", "input_size"),
        "W_f": ("heads", "input_size"),
        "W_o": ("hidden_size", "input_size"),
        "b_q": ("hidden_size",),
        "b_k": ("hidden_size",),
        "b_v": ("hidden_size",),
        "b_i": ("heads",),
        "b_f": ("heads",),
        "b_o": ("hidden_size",),
    },
    init={"W_[if]": 0.0, "b_f": forget_bias_, "b_i": input_bias_, "b_[qkvo]": 0.0},
)
def mlstm(x, C, n, m, p, *, heads=4, forget="sigmoid", form="chunkwise", chunk_size=64):
    """LSTM with matrix memory (Beck et al., 2024)."""
    q, k, v, i, f, o = project(x, p, heads)
    h, state = step(q, k / math.sqrt(k.shape[-1]), v, i, log_forget(f, forget), (C, n, m), EPS)
    return o * h.flatten(-2), *state


def project(x: Tensor, p: Any, heads: int) -> tuple[Tensor, ...]:
    """q, k sqrt(d) and v (..., heads, d), log i and f before its activation (..., heads), and o (..., hidden_size)."""
    d = p.b_q.value.shape[0] // heads
    q, k, v = p.W_q @ x + p.b_q, p.W_k @ x + math.sqrt(d) * p.b_k, p.W_v @ x + p.b_v
    q, k, v = (value.unflatten(-1, (heads, d)) for value in (q, k, v))
    return q, k, v, p.W_i @ x + p.b_i, p.W_f @ x + p.b_f, torch.sigmoid(p.W_o @ x + p.b_o)


@mlstm.whole
def mlstm_whole(x, C, n, m, p, *, cut, active, initial, heads, forget, form, chunk_size):
    """All steps of x (T, B, D), projected at once; in a step that is not active i is 0 and f is 1."""
    if form not in FORMS:
        raise ValueError(f"mlstm: form is {form!r}, expected one of: {', '.join(FORMS)}.")
    q, k, v, i, f, o = project(x, p, heads)
    q, k, v = (value.permute(1, 2, 0, 3) for value in (q, k, v))  # (B, heads, T, d)
    if active is not None:
        i = torch.where(active[..., None], i, -math.inf)
        f = torch.where(active[..., None], f, math.inf if forget == "sigmoid" else 0.0)
    i, f = i.permute(1, 2, 0), f.permute(1, 2, 0)  # (B, heads, T)
    more = {"chunk_size": chunk_size} if form == "chunkwise" else {}
    cut = None if cut is None else cut.T
    h, state = FORMS[form](q, k, v, i, f, (C, n, m), forget=forget, eps=EPS, cut=cut, initial=initial, **more)
    return o * h.permute(2, 0, 1, 3).flatten(-2), state
