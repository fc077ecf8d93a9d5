"""The clockwork network: modules of units that tick with periods of their own.

Koutnik, Greff, Gomez & Schmidhuber, "A clockwork RNN", ICML 2014, arXiv:1402.3511.

    h_t^k = tanh(W_k x_t + U_k (h_{t-1}^k, ..., h_{t-1}^g) + b_k)   where t mod T_k = 0
    h_t^k = h_{t-1}^k                                              elsewhere

for modules k = 1 to g with periods T_k, 1, 2, 4 and 8 unless `clockwork_rnn.with_(periods=(1, 3, 9))` says otherwise,
in rising order. A module sees itself and the slower ones: the U_k below each other are a block-triangular matrix.
`hidden_size` is the size of one module; h is g times as wide. The first step is t = 0, at which all modules tick.
Known for: long memory in slow modules at fewer parameters than a plain network of the same size.
Deviates from the paper: there is a bias. A module at rest is computed too, and not taken.
Oracle: torch.nn.RNNCell, whose weight_hh is block-triangular and whose result is taken where a module's period divides
the step; with all periods 1, torch.nn.RNN.
"""

from carousel.graph import cell, concat, floor, slice, split, step_index, tanh, where


def check(periods):
    """ValueError unless these are periods, the slower ones last."""
    if not periods or any(not isinstance(T, int) or T < 1 for T in periods) or list(periods) != sorted(periods):
        raise ValueError(
            f"clockwork_rnn: periods is {periods!r}, expected whole numbers from 1 on in rising order, as (1, 2, 4, 8)."
        )


@cell(widths={"a": "hidden_size"})
def clockwork_rnn(x, h, p, *, t=step_index(), periods=(1, 2, 4, 8)):  # noqa: B008 (declares that t is the step's index)
    """Clockwork RNN (Koutnik et al., 2014)."""
    check(periods)
    inputs = []
    for k in range(1, len(periods) + 1):
        a = getattr(p, f"W_{k}") @ x + getattr(p, f"b_{k}")
        inputs.append(a)
    modules, new = split(h, *inputs), []
    for k, period in enumerate(periods):
        s = slice(h, concat(*inputs[:k])) if k else h  # from module k on
        n = tanh(inputs[k] + getattr(p, f"U_{k + 1}") @ s)
        r = t - period * floor((t + 0.5) / period)  # the half keeps rounding away from the edge
        new.append(where(r < 0.5, n, modules[k]))
    h = concat(*new)
    return h
