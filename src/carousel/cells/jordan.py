"""The network whose memory is its own output, kept by units that fade.

Jordan, "Serial order: a parallel distributed processing approach", Advances in Psychology 121, 1997,
doi:10.1016/S0166-4115(97)80111-2; first a report of 1986.

    h_t = f(W x_t + U s_{t-1} + b)
    y_t = out(V h_t + b_y)
    s_t = mu s_{t-1} + y_t

y_t, out_size wide, is the output; of h_t nothing is kept.
Known for: sequences of actions from a plan x that stays the same; with Elman's it is the simple recurrent network.
Deviates from the paper: s_t is what the next step sees, where the paper counts it to that step; f is tanh and out the
identity, or others with `jordan.with_(f=sigmoid, out=sigmoid)`; mu is 0.5, or another number with `jordan.with_(mu=0)`.
Oracle: torch.nn.RNNCell for h, on x_t from s_{t-1} in place of its state, and torch.nn.functional.linear for y.
"""

from carousel.graph import cell, identity, tanh


@cell(widths={"h": "hidden_size", "s": "out_size"})
def jordan(x, s, p, *, f=tanh, out=identity, mu=0.5):
    """Jordan's network (Jordan, 1986)."""
    h = f(p.W @ x + p.U @ s + p.b)
    y = out(p.V @ h + p.b_y)
    s = mu * s + y
    return y, s
