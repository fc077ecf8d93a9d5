"""The recurrent highway network: several highway layers within each step.

Zilly, Srivastava, Koutnik & Schmidhuber, "Recurrent highway networks", ICML 2017, arXiv:1607.03474.

    s_0 = y_{t-1}
    h_l = tanh(W_h x_t [l = 1] + R_hl s_{l-1} + b_hl)
    t_l = sigmoid(W_t x_t [l = 1] + R_tl s_{l-1} + b_tl)
    c_l = 1 - t_l
    s_l = h_l * t_l + s_{l-1} * c_l
    y_t = s_L

for l from 1 to L, the recurrence depth, which is 3 unless `recurrent_highway.with_(depth=5)` says otherwise. The input
enters at l = 1 only. With `coupled=False` the carry gate c has weights of its own. b_t starts at -2, so that the state
is mostly carried at first.
Known for: language models that became better as the depth of a step grew from 1 to 10.
Deviates from the paper: nothing; it couples the gates in its experiments, and starts b_t at another negative number for
each task.
Oracle: torch.nn.LSTMCell, given s as h and as c: with t as its i, c as its f and h as its g, its new c is one layer.
"""

from carousel.cells.options import check_count
from carousel.graph import cell, sigmoid, tanh


@cell(init={"b_t*": -2.0})
def recurrent_highway(x, y, p, *, depth=3, coupled=True):
    """Recurrent highway network (Zilly et al., 2017)."""
    check_count("recurrent_highway", depth=depth)

    def net(k, layer):
        a = getattr(p, f"R_{k}{layer}") @ y + getattr(p, f"b_{k}{layer}")
        return getattr(p, f"W_{k}") @ x + a if layer == 1 else a

    for layer in range(1, depth + 1):
        h, t = tanh(net("h", layer)), sigmoid(net("t", layer))
        c = 1 - t if coupled else sigmoid(net("c", layer))
        y = h * t + y * c
    return y
