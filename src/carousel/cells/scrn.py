"""SCRN, the structurally constrained network: a plain net beside slow context units.

Mikolov, Joulin, Chopra, Mathieu & Ranzato, "Learning longer memory in recurrent neural networks", 2014,
arXiv:1412.7753.

    s_t = (1 - alpha) * B x_t + alpha * s_{t-1}
    h_t = sigmoid(P s_t + A x_t + R h_{t-1})
    y_t = (h_t, s_t)

The context s, of size `context_size`, is a moving average of the projected input; alpha is 0.95.
Known for: language models near those of the LSTM from a plain network and one fixed number.
Deviates from the paper: its output layer, f(U h_t + V s_t), is left to what follows; both parts stand in the output for
it. alpha is fixed, not learned.
Oracle: torchrecurrent's SCRNCell, which feeds back an output layer of its own, tanh, against the paper: with the
identity as that layer's weights, its inverse gives h.
"""

from carousel.graph import cell, concat, sigmoid


@cell(widths={"h": "hidden_size", "s": "context_size"})
def scrn(x, h, s, p, *, alpha=0.95):
    """Structurally constrained recurrent network (Mikolov et al., 2014)."""
    s = (1 - alpha) * (p.B @ x) + alpha * s
    h = sigmoid(p.P @ s + p.A @ x + p.R @ h)
    y = concat(h, s)
    return y, h, s
