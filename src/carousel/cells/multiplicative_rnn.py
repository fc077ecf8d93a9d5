"""The multiplicative recurrent network, whose recurrent matrix is another one for each input.

Sutskever, Martens & Hinton, "Generating text with recurrent neural networks", ICML 2011,
https://icml.cc/2011/papers/524_icmlpaper.pdf.

    m_t = (W_m x_t) * (U_m h_{t-1})
    h_t = tanh(U_h m_t + W_h x_t + b_h)

U_h diag(W_m x_t) U_m is the recurrent matrix that x_t chooses.
Known for: the first long texts that a network wrote letter by letter; the multiplicative LSTM is made from it.
Deviates from the paper: m is as wide as h.
Oracle: torch.nn.RNNCell, from m_t, a product written anew, in place of its state.
"""

from carousel.graph import cell, tanh


@cell
def multiplicative_rnn(x, h, p):
    """Multiplicative recurrent network (Sutskever, Martens & Hinton, 2011)."""
    m = (p.W_m @ x) * (p.U_m @ h)
    h = tanh(p.U_h @ m + p.W_h @ x + p.b_h)
    return h
