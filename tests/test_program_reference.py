"""The executor of programs that the core is tested against, itself against torch.nn.LSTM."""

import numpy as np
import pytest
import torch

from program_lstm import GATES, lstm_backward, lstm_forward
from program_reference import run_program


def segments(lengths, resets, reverse, b):
    """The stretches of row b between resets, as lists of steps in the order in which they are processed."""
    cuts = [0, *(t for t in range(1, lengths[b]) if resets[t, b]), lengths[b]]
    parts = [list(range(s, e)) for s, e in zip(cuts, cuts[1:], strict=False) if e > s]
    return [p[::-1] for p in parts[::-1]] if reverse else parts


def torch_lstm(lstm, x, hx, lengths, resets, reverse):
    """nn.LSTM row by row and stretch by stretch; returns y and the final states."""
    T, B, _ = x.shape
    rows, finals = [], []
    for b in range(B):
        state = tuple(s[b][None] for s in hx)
        out = {}
        for n, steps in enumerate(segments(lengths, resets, reverse, b)):
            if n or (not reverse and resets[0, b]):
                state = tuple(torch.zeros_like(s) for s in state)
            y, state = lstm(x[steps, b], state)
            out.update(zip(steps, y, strict=True))
        rows.append(torch.stack([out.get(t, torch.zeros(lstm.hidden_size, dtype=x.dtype)) for t in range(T)]))
        finals.append(state)
    return torch.stack(rows, 1), tuple(torch.cat(s) for s in zip(*finals, strict=True))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("with_resets", [False, True])
def test_lstm(reverse, ragged, with_resets):
    T, B, D, H = 6, 4, 3, 5
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(D, H).double()
    x = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
    hx = tuple(torch.randn(B, H, dtype=torch.float64, requires_grad=True) for _ in range(2))
    lengths = np.array([6, 0, 3, 5]) if ragged else np.full(B, T)
    resets = np.random.default_rng(1).random((T, B)) < 0.3 if with_resets else np.zeros((T, B), bool)
    y, final = torch_lstm(lstm, x, hx, lengths, resets, reverse)
    d_y, *d_final = (torch.randn_like(v) for v in (y, *final))
    torch.autograd.backward((y, *final), (d_y, *d_final))

    split = {n: p.detach().numpy().reshape(4, H, -1) for n, p in lstm.named_parameters()}
    W, U = split["weight_ih_l0"], split["weight_hh_l0"]
    b = (split["bias_ih_l0"] + split["bias_hh_l0"])[:, :, 0]
    xs = x.detach().numpy().copy()
    for row in range(B):
        xs[lengths[row] :, row] = np.nan

    def fresh(*shape):
        return np.full(shape, np.nan)

    h0, c0 = (s.detach().numpy() for s in hx)
    outs = [fresh(B, H), fresh(B, H), fresh(T, B, H)]
    kept = [fresh(T, B, H) for _ in range(5)]
    for keep in (False, True):
        arrays = [xs, h0, c0, *W, *U, *b, *outs, *(kept if keep else [])]
        run_program(lstm_forward(D, H, keep), T, B, arrays, reverse, lengths, resets)
        for got, want in zip(outs, (*final, y), strict=True):
            np.testing.assert_allclose(got, want.detach().numpy(), atol=1e-12)
    grads = [fresh(T, B, D), fresh(B, H), fresh(B, H)]
    grads += [fresh(*m.shape) for m in (*W, *U, *b)] + [fresh(B, H), fresh(B, H)]
    d_ys = d_y.numpy().copy()
    for row in range(B):
        d_ys[lengths[row] :, row] = np.nan
    arrays = [xs, h0, c0, *W, *U, outs[2], *kept, d_ys, *(d.numpy() for d in d_final), *grads]
    run_program(lstm_backward(D, H), T, B, arrays, reverse, lengths, resets)
    wanted = [x.grad, *(s.grad for s in hx)]
    for p in (lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0):
        wanted += list(p.grad.reshape(len(GATES), H, *p.shape[1:]))
    for got, want in zip(grads, wanted, strict=False):
        np.testing.assert_allclose(got, want.numpy(), atol=1e-12)
