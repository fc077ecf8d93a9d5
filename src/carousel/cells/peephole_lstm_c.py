"""The peephole LSTM in which the gates see the states of all cells, and nothing sees the outputs.

After Gers, Schraudolph & Schmidhuber, "Learning precise timing with LSTM recurrent networks", Journal of Machine
Learning Research 3, 2002, https://www.jmlr.org/papers/v3/gers02a.html, in the form of
https://en.wikipedia.org/wiki/Long_short-term_memory.

    f_t = sigmoid(W_f x_t + U_f c_{t-1} + b_f)
    i_t = sigmoid(W_i x_t + U_i c_{t-1} + b_i)
    o_t = sigmoid(W_o x_t + U_o c_{t-1} + b_o)
    c_t = f_t * c_{t-1} + i_t * tanh(W_c x_t + b_c)
    h_t = o_t * tanh(c_t)

The matrices U are full, the output gate sees the state before the step, h does not recur. The page's other s_h, the
identity, is `peephole_lstm_c.with_(out=identity)`.
Known for: being the peephole LSTM of the encyclopedia, from which many learn the name.
Deviates from the paper: that has one peephole for each cell and gate, outputs that recur, and an output gate that sees
the new state: the peephole_lstm cell.
Oracle: torch.nn.LSTMCell, given c_{t-1} in the place of h_{t-1}.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def peephole_lstm_c(x, c, p, *, out=tanh):
    """Peephole LSTM whose gates see c in place of h (after Gers et al., 2002)."""
    f = sigmoid(p.W_f @ x + p.U_f @ c + p.b_f)
    i = sigmoid(p.W_i @ x + p.U_i @ c + p.b_i)
    o = sigmoid(p.W_o @ x + p.U_o @ c + p.b_o)
    c = f * c + i * tanh(p.W_c @ x + p.b_c)
    h = o * out(c)
    return h, c
