"""The slim LSTM, whose gates do not see the input.

Lu & Salem, "Simplified gating in long short-term memory (LSTM) recurrent neural networks", 2017, arXiv:1701.03441.

    f_t = sigmoid(U_f h_{t-1} + b_f)
    i_t = sigmoid(U_i h_{t-1} + b_i)
    o_t = sigmoid(U_o h_{t-1} + b_o)
    g_t = tanh(W_c x_t + U_c h_{t-1} + b_c)
    c_t = f_t * c_{t-1} + i_t * g_t
    h_t = o_t * tanh(c_t)

This is the paper's LSTM1. Without the biases of the gates it is LSTM2, `slim_lstm.with_(gates="h")`; with nothing but
them, so that gates are constants that are learned, LSTM3, `slim_lstm.with_(gates="b")`.
Known for: showing how little the gates need to see on short sequences.
Deviates from the paper: nothing.
Oracle: torch.nn.LSTM, whose weight_ih_l0 is zero in the rows of the gates, as weight_hh_l0 or the bias is in LSTM3 and
LSTM2.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def slim_lstm(x, h, c, p, *, gates="hb"):
    """LSTM with simplified gates (Lu & Salem, 2017)."""
    if gates not in ("hb", "h", "b"):
        raise ValueError(f'slim_lstm: gates is {gates!r}, expected "hb", "h" or "b".')

    def net(k):
        if gates == "b":
            return getattr(p, f"b_{k}")
        a = getattr(p, f"U_{k}") @ h
        return a if gates == "h" else a + getattr(p, f"b_{k}")

    f, i, o = sigmoid(net("f")), sigmoid(net("i")), sigmoid(net("o"))
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c
