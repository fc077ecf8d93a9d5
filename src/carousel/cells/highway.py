"""The highway layer: the LSTM's cell update with its time axis read as depth.

Srivastava, Greff & Schmidhuber, "Highway networks", 2015, arXiv:1505.00387.

    t_l = sigmoid(W_t h_{l-1} + b_t)
    g_l = tanh(W_h h_{l-1} + b_h)
    h_l = (1 - t_l) * h_{l-1} + t_l * g_l

l counts layers, each of which has weights of its own; the net's input is h_0, and x is not read. With f = 1 - t and
i = t the last line is the LSTM's c = f * c + i * g.
Known for: the first feed-forward nets of a hundred layers that learn.
Deviates from the paper: nothing; of its choices it takes the carry gate 1 - t, tanh, and a bias of -2 for the gate, so
that layers begin by passing on what they get.
Oracle: torch.nn.LSTMCell, whose c is h: its i has the sum of t, its f the same with the opposite sign, since 1 -
sigmoid(a) is sigmoid(-a).
"""

from carousel.graph import cell, sigmoid, tanh


@cell(init={"b_t": -2.0})
def highway(x, h, p):
    """Highway layer (Srivastava, Greff & Schmidhuber, 2015)."""
    t = sigmoid(p.W_t @ h + p.b_t)
    g = tanh(p.W_h @ h + p.b_h)
    return (1 - t) * h + t * g
