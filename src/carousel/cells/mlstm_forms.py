"""The matrix memory of the mLSTM over a whole sequence, in three forms that are one function.

Beck et al., "xLSTM: extended long short-term memory", 2024, arXiv:2405.04517, section 2.3 and its appendix.

    C_t = f_t C_{t-1} + i_t v_t (k_t / sqrt(d))^T
    n_t = f_t n_{t-1} + i_t k_t / sqrt(d)
    h_t = C_t q_t / max(|n_t^T q_t|, 1)

with i_t = exp(i) and f_t = sigmoid(f) or exp(f). Kept are not C and n but C exp(-m) and n exp(-m), where
m_t = max(log f_t + m_{t-1}, log i_t), so that nothing overflows; the 1 then becomes exp(-m_t). `eps` is added to what
is divided by, as the authors' program does.

`recurrent` goes step by step. `chunkwise` walks from chunk to chunk and does the steps of a chunk at once, by products
of matrices: what it keeps for the backward pass grows with T x chunk_size. `parallel` is a single chunk.
Legend: B batch, T time, d the size of a head, N chunks, L steps of a chunk.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, Tensor, Tensor]


def recurrent(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State | None = None,
    *,
    forget: str = "sigmoid",
    eps: float = 1e-6,
    cut: Tensor | None = None,
    initial: State | None = None,
) -> tuple[Tensor, State]:
    """Step by step, as the equations say.

    Args:
        q, k, v: queries, keys and values (B, heads, T, d); keys are divided by sqrt(d) here.
        i, f: the gates before their activation (B, heads, T).
        state: C (B, heads, d, d) with the values along its rows and the keys along its columns, n (B, heads, d) and
            m (B, heads); None is zero.
        forget: "sigmoid" or "exp", the activation of f.
        cut: (B, T) bool; before a step that is set, the state becomes `initial`, which is zero if None.

    Returns:
        h (B, heads, T, d), and the state after the last step.

    Raises:
        ValueError: for another `forget`.

    >>> q, k, v = torch.randn(3, 2, 4, 10, 8)
    >>> h, (C, n, m) = recurrent(q, k, v, torch.randn(2, 4, 10), torch.randn(2, 4, 10))
    >>> h.shape, C.shape, n.shape, m.shape
    (torch.Size([2, 4, 10, 8]), torch.Size([2, 4, 8, 8]), torch.Size([2, 4, 8]), torch.Size([2, 4]))
    """
    log_f, k = log_forget(f, forget), k / math.sqrt(k.shape[-1])
    zero = _zero(q, v)
    state, fresh = state or zero, initial or zero
    h = []
    for t in range(q.shape[2]):
        if cut is not None:
            state = _choose(cut[:, t, None], fresh, state)
        y, state = step(q[:, :, t], k[:, :, t], v[:, :, t], i[:, :, t], log_f[:, :, t], state, eps)
        h.append(y)
    return torch.stack(h, 2) if h else v.new_zeros(v.shape), state


def step(q: Tensor, k: Tensor, v: Tensor, i: Tensor, log_f: Tensor, state: State, eps: float) -> tuple[Tensor, State]:
    """One step: q, scaled k and v (B, heads, d), log i and log f (B, heads) give h (B, heads, d) and the new state."""
    C, n, m_before = state
    m = torch.maximum(log_f + m_before, i)  # (B, heads)
    f, i = torch.exp(log_f + m_before - m)[..., None], torch.exp(i - m)[..., None]  # (B, heads, 1)
    C = f[..., None] * C + (i * v)[..., :, None] * k[..., None, :]  # (B, heads, d, d)
    n = f * n + i * k  # (B, heads, d)
    return _read((C @ q[..., None]).squeeze(-1), (n * q).sum(-1), m, eps), (C, n, m)


def parallel(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, state: State | None = None, **options: Any
) -> tuple[Tensor, State]:
    """All steps at once, each looking back at all before it: arguments and results as those of `recurrent`.

    Time and memory grow with the square of T.

    >>> q, k, v = torch.randn(3, 2, 4, 10, 8)
    >>> i, f = torch.randn(2, 2, 4, 10)
    >>> torch.allclose(parallel(q, k, v, i, f)[0], recurrent(q, k, v, i, f)[0], atol=1e-5)
    True
    """
    return chunkwise(q, k, v, i, f, state, max(1, q.shape[2]), **options)


def chunkwise(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    i: Tensor,
    f: Tensor,
    state: State | None = None,
    chunk_size: int = 64,
    *,
    forget: str = "sigmoid",
    eps: float = 1e-6,
    cut: Tensor | None = None,
    initial: State | None = None,
) -> tuple[Tensor, State]:
    """Chunk by chunk: arguments and results as those of `recurrent`. T need not be a multiple of chunk_size.

    Raises ValueError for a chunk_size below 1.

    >>> q, k, v = torch.randn(3, 2, 4, 10, 8)
    >>> i, f = torch.randn(2, 2, 4, 10)
    >>> torch.allclose(chunkwise(q, k, v, i, f, chunk_size=4)[0], recurrent(q, k, v, i, f)[0], atol=1e-5)
    True
    """
    if chunk_size < 1:
        raise ValueError(f"mlstm: chunk_size is {chunk_size}, expected at least 1.")
    T, zero = q.shape[2], _zero(q, v)
    state, fresh, chunk_size = state or zero, initial or zero, min(chunk_size, max(T, 1))
    log_f, k = log_forget(f, forget), k / math.sqrt(k.shape[-1])
    if T == 0:
        return v.new_zeros(v.shape), state
    q, k, v = (_chunks(value, chunk_size) for value in (q, k, v))  # (B, heads, N, L, d)
    i, log_f = _chunks(i, chunk_size, -math.inf), _chunks(log_f, chunk_size)  # (B, heads, N, L)
    marks = None if cut is None else _chunks(cut[:, None], chunk_size)  # (B, 1, N, L)
    gates = _gates(i, log_f, marks)
    starts, state = _between(k, v, gates, state, fresh)
    h = _within(q, k, v, gates, starts, fresh, eps)
    return h.flatten(2, 3)[:, :, :T], state


class _Gates(NamedTuple):
    """The logarithms of what remains at step t of what came in at step s, within a chunk.

    kept: of the value of step s, (B, heads, N, L, L), -inf where s is after t or before a cut.
    carried: of the state before the chunk, or before the last cut up to t, (B, heads, N, L).
    since_cut: whether a cut of the chunk lies at t or before it, (B, 1, N, L), or None without cuts.
    """

    kept: Tensor
    carried: Tensor
    since_cut: Tensor | None


def _gates(i: Tensor, log_f: Tensor, cut: Tensor | None) -> _Gates:
    L, total = i.shape[-1], log_f.cumsum(-1)
    kept = total[..., :, None] - total[..., None, :] + i[..., None, :]
    before = torch.ones(L, L, dtype=torch.bool, device=i.device).tril()
    if cut is None:
        return _Gates(torch.where(before, kept, -math.inf), total, None)
    pieces = cut.cumsum(-1)  # (B, 1, N, L)
    before = before & (pieces[..., :, None] == pieces[..., None, :])
    last = torch.where(cut, torch.arange(L, device=i.device), 0).cummax(-1).values.expand_as(total)
    lost = (total - log_f).gather(-1, last)  # up to the last cut; nothing where there is none
    return _Gates(torch.where(before, kept, -math.inf), total - lost, pieces > 0)


def _between(k: Tensor, v: Tensor, gates: _Gates, state: State, fresh: State) -> tuple[State, State]:
    """The states before each chunk, (B, heads, N, ...), and the one after the last."""
    kept, carried, since_cut = gates.kept[..., -1, :], gates.carried[..., -1], gates.since_cut
    newest, ends = kept.amax(-1), []  # (B, heads, N)
    m = state[2]
    for chunk in range(k.shape[2]):
        start = m if since_cut is None else torch.where(since_cut[:, :, chunk, -1], fresh[2], m)
        m = torch.maximum(carried[:, :, chunk] + start, newest[:, :, chunk])
        ends.append((start, m))
    taken, after = (torch.stack(values, 2) for values in zip(*ends, strict=True))  # (B, heads, N)
    weights = torch.exp(kept - after[..., None])[..., None]  # (B, heads, N, L, 1)
    new_C, new_n = (v * weights).transpose(-1, -2) @ k, (weights * k).sum(-2)
    decays = torch.exp(carried + taken - after)
    found = []
    for chunk in range(k.shape[2]):
        found.append(state)
        before = state if since_cut is None else _choose(since_cut[:, :, chunk, -1], fresh, state)
        decay = decays[:, :, chunk, None]
        state = (
            decay[..., None] * before[0] + new_C[:, :, chunk],
            decay * before[1] + new_n[:, :, chunk],
            after[:, :, chunk],
        )
    C, n, m_before = (torch.stack(values, 2) for values in zip(*found, strict=True))
    return (C, n, m_before), state


def _within(q: Tensor, k: Tensor, v: Tensor, gates: _Gates, starts: State, fresh: State, eps: float) -> Tensor:
    """h of every step (B, heads, N, L, d), from the chunk's steps up to it and from the state before the chunk."""
    C, n, m = starts
    Cq, nq, m = q @ C.transpose(-1, -2), (q @ n[..., None]).squeeze(-1), m[..., None]
    if gates.since_cut is not None:
        fresh_C, fresh_n, fresh_m = (value.unsqueeze(2) for value in fresh)
        Cq = torch.where(gates.since_cut[..., None], q @ fresh_C.transpose(-1, -2), Cq)
        nq = torch.where(gates.since_cut, (q @ fresh_n[..., None]).squeeze(-1), nq)
        m = torch.where(gates.since_cut, fresh_m[..., None], m)
    old = gates.carried + m  # (B, heads, N, L)
    m = torch.maximum(old, gates.kept.amax(-1))
    old = torch.exp(old - m)
    weights = (q @ k.transpose(-1, -2)) * torch.exp(gates.kept - m[..., None])  # (B, heads, N, L, L)
    return _read(weights @ v + old[..., None] * Cq, weights.sum(-1) + old * nq, m, eps)


def _read(Cq: Tensor, nq: Tensor, m: Tensor, eps: float) -> Tensor:
    """h = C q / max(|n^T q|, exp(-m))."""
    floor = torch.exp(-m.clamp(min=1 - math.log(torch.finfo(m.dtype).max)))  # finite: no gradient is 0 * inf
    return Cq / (torch.maximum(nq.abs(), floor) + eps)[..., None]


def log_forget(f: Tensor, forget: str) -> Tensor:
    """log f_t. Raises ValueError for an activation that the paper does not have."""
    if forget not in ("sigmoid", "exp"):
        raise ValueError(f'mlstm: forget is {forget!r}, expected "sigmoid" or "exp".')
    return F.logsigmoid(f) if forget == "sigmoid" else f


def _zero(q: Tensor, v: Tensor) -> State:
    (B, heads, _, d), width = q.shape, v.shape[-1]
    return q.new_zeros(B, heads, width, d), q.new_zeros(B, heads, d), q.new_zeros(B, heads)


def _choose(cut: Tensor, fresh: State, state: State) -> State:
    """`fresh` where `cut` (B, heads or 1) is set."""
    C, n, m = (torch.where(cut[(..., *[None] * (a.dim() - 2))], a, b) for a, b in zip(fresh, state, strict=True))
    return C, n, m


def _chunks(value: Tensor, size: int, fill: float = 0) -> Tensor:
    """(B, heads, T, ...) as (B, heads, N, L, ...), filled up with steps that change no state: i is 0 there, f is 1."""
    missing = -value.shape[2] % size
    if missing:
        rest = value.new_full((*value.shape[:2], missing, *value.shape[3:]), fill)
        value = torch.cat([value, rest], 2)
    return value.unflatten(2, (-1, size))
