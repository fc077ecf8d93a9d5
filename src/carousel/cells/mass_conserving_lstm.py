"""The LSTM that keeps the sum of what it stores: what came in is stored or has gone out, nothing else.

Hoedt et al., "MC-LSTM: mass-conserving LSTM", ICML 2021, arXiv:2101.05186.

    x_t = (m_t, a_t)
    s_t = c_{t-1} / (|c_{t-1}|_1 + 1e-5)
    I_t = softmax(W_i a_t + U_i s_t + b_i)
    R_t = softmax(W_r a_t + U_r s_t + b_r)
    o_t = sigmoid(W_o a_t + U_o s_t + b_o)
    w_t = R_t c_{t-1} + I_t m_t
    c_t = (1 - o_t) * w_t
    h_t = o_t * w_t

The first `masses` entries of x_t are mass, the others, a_t, only say where it goes. I_t is a matrix (hidden_size,
masses), R_t a matrix (hidden_size, hidden_size), both made anew at each step, with columns that sum to 1: so
sum(c_t) + sum(h_t) = sum(c_{t-1}) + sum(m_t). In place of the softmax there can be sigmoids divided by the sum of the
column, `spread="sigmoid"`, or positive parts, `move="relu"`. In a stack, mass is what the lower layer puts out in its
first `masses` units.
Known for: rainfall and runoff, where water does not vanish, and arithmetic on sequences.
Deviates from the paper: 1e-5 is added to the sum that c is divided by, as the authors' hydrology program does, since c
may be zero; `normalize=False` lets the gates see c itself.
Oracle: neuralhydrology, the hydrology library of two of the authors: its MC-LSTM, with exp in the place of its
sigmoid and of its positive part, sees one row at a time (it divides c by the sum over the whole batch) and no mass in
its gates.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from carousel.graph.tensor_cell import tensor_cell

POSITIVE = {"sigmoid": torch.sigmoid, "relu": torch.relu}


def orthogonal_(w: Tensor) -> Tensor:
    """A matrix with as many columns as its last axis is long."""
    if w.numel():
        torch.nn.init.orthogonal_(w.flatten(0, -2))
    return w


def identity_(b: Tensor) -> Tensor:
    """What is stored tends to stay where it is."""
    return b.copy_(torch.eye(len(b)))


@tensor_cell(
    states={"c": ("hidden_size",)},
    shapes={
        "W_i": ("hidden_size", "masses", "input_size - masses"),
        "U_i": ("hidden_size", "masses", "hidden_size"),
        "b_i": ("hidden_size", "masses"),
        "W_r": ("hidden_size", "hidden_size", "input_size - masses"),
        "U_r": ("hidden_size", "hidden_size", "hidden_size"),
        "b_r": ("hidden_size", "hidden_size"),
        "W_o": ("hidden_size", "input_size - masses"),
        "U_o": ("hidden_size", "hidden_size"),
        "b_o": ("hidden_size",),
    },
    init={"[WU]_*": orthogonal_, "b_i": 0.0, "b_r": identity_, "b_o": -3.0},
)
def mass_conserving_lstm(x, c, p, *, masses=1, spread="softmax", move="softmax", normalize=True):
    """Mass-conserving LSTM (Hoedt et al., 2021)."""
    m, a = x[:, :masses], x[:, masses:]  # (B, masses), (B, D - masses)
    s = c / (c.abs().sum(-1, keepdim=True) + 1e-5) if normalize else c  # (B, H)
    i = columns(product(p.W_i, a) + product(p.U_i, s) + p.b_i, spread=spread)  # (B, H, masses)
    r = columns(product(p.W_r, a) + product(p.U_r, s) + p.b_r, move=move)  # (B, H, H)
    o = torch.sigmoid(p.W_o @ a + p.U_o @ s + p.b_o)  # (B, H)
    w = (r @ c[..., None] + i @ m[..., None]).squeeze(-1)  # (B, H)
    return o * w, (1 - o) * w


def product(weights: Any, row: Tensor) -> Tensor:
    """(rows, columns, D) by (B, D): a matrix (B, rows, columns) for each row."""
    return torch.einsum("rcd,bd->brc", weights, row)


def columns(values: Tensor, **option: str) -> Tensor:
    """(B, rows, columns) made positive in the way that the one option says, with columns that sum to 1."""
    ((name, how),) = option.items()
    if how == "softmax":
        return values.softmax(-2)
    if how not in POSITIVE:
        expected = ", ".join(("softmax", *POSITIVE))
        raise ValueError(f"mass_conserving_lstm: {name} is {how!r}, expected one of: {expected}.")
    positive = POSITIVE[how](values) + 1e-12  # a column without a positive part spreads evenly, and loses nothing
    return positive / positive.sum(-2, keepdim=True)
