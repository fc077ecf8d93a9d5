"""The last reference: the cell's own function on plain tensors, row by row, reading nothing past a row's end."""

import torch

import carousel as ca


def naive_scan(cell, sizes, x, hx, params, *, sides, lengths, resets, initial, reverse=False, record=()):
    """`carousel.engines.scan` in the most obvious way; records states only. It shares neither tracing nor passes."""
    T, B = x.shape[:2]
    p = ca.plain({name: params[name] for name in params})
    ends = [T] * B if lengths is None else lengths.tolist()
    rows = [_row(cell, p, x, hx, sides, ends[b], resets, initial, reverse, b) for b in range(B)]

    def padded(steps, *shape):
        empty = x.new_zeros(1, *shape)
        return torch.cat([steps.get(t, empty) for t in range(T)]) if T else x.new_zeros(0, *shape)

    y = torch.stack([padded(row[0], cell.output_width(**sizes)) for row in rows], 1)
    final = tuple(torch.cat(state) for state in zip(*(row[1] for row in rows), strict=True))
    shapes = cell.state_shapes(**sizes)
    seen = {}
    for name in record:
        k = cell.states.index(name)
        seen[name] = torch.stack([padded({t: s[k] for t, s in row[2].items()}, *shapes[k]) for row in rows], 1)
    return y, final, seen


def _row(cell, p, x, hx, sides, length, resets, initial, reverse, b):
    """One row: its outputs and states by time, each (1, w), and its final state."""
    ours = slice(b, b + 1)
    state = tuple(h[ours] for h in hx)
    fresh = tuple(s[ours] if s.dim() == h.dim() else s[None] for s, h in zip(initial, hx, strict=True))
    ys, states = {}, {}
    steps = range(length)
    for t in reversed(steps) if reverse else steps:
        cut = t + 1 if reverse else t
        if resets is not None and cut < length and resets[cut, b]:
            state = fresh
        given = {n: v[t, ours] if cell.sides[n].kind == "step" else v[ours] for n, v in sides.items()}
        if cell.time is not None:
            given[cell.time] = x.new_full((1, 1), t)
        out = cell(x[t, ours], *state, p, **given)
        out = out if isinstance(out, tuple) else (out,)
        state = tuple(s.expand_as(h) for s, h in zip(out[len(out) - len(state) :], state, strict=True))
        ys[t], states[t] = out[0], state
    return ys, state, states
