"""The NAS cell, which a recurrent controller found by composing operations in a tree over the input and the state.

Zoph & Le, "Neural architecture search with reinforcement learning", ICLR 2017, arXiv:1611.01578.

    a_t = tanh(sigmoid(W_0 x_t + U_0 h_{t-1} + b_0) * relu(W_1 x_t + U_1 h_{t-1} + b_1))
    d_t = tanh(sigmoid(W_2 x_t + U_2 h_{t-1} + b_2) + relu((W_3 x_t) * (U_3 h_{t-1})))
    e_t = tanh(tanh(W_4 x_t + U_4 h_{t-1} + b_4) * sigmoid(W_5 x_t + U_5 h_{t-1} + b_5))
    g_t = sigmoid(tanh(W_6 x_t + U_6 h_{t-1} + b_6) + sigmoid(W_7 x_t + U_7 h_{t-1} + b_7))
    c_t = tanh(a_t + c_{t-1}) * d_t
    h_t = tanh(c_t * tanh(e_t + g_t))

The paper shows the cell as a drawing; the equations are those of the cell in TensorFlow, which its authors published.
Known for: being the first cell found by a learned search; its word-level language model on Penn Treebank was the best
of its time.
Deviates from the paper: it draws no biases.
Oracle: torchrecurrent's NASCell, which adds in the one place where the paper multiplies, W_3 x_t by U_3 h_{t-1}: it is
given the product there.
"""

from carousel.graph import cell, relu, sigmoid, tanh


@cell
def nas_cell(x, h, c, p):
    """Cell found by neural architecture search (Zoph & Le, 2017)."""
    a = tanh(sigmoid(p.W_0 @ x + p.U_0 @ h + p.b_0) * relu(p.W_1 @ x + p.U_1 @ h + p.b_1))
    d = tanh(sigmoid(p.W_2 @ x + p.U_2 @ h + p.b_2) + relu((p.W_3 @ x) * (p.U_3 @ h)))
    e = tanh(tanh(p.W_4 @ x + p.U_4 @ h + p.b_4) * sigmoid(p.W_5 @ x + p.U_5 @ h + p.b_5))
    g = sigmoid(tanh(p.W_6 @ x + p.U_6 @ h + p.b_6) + sigmoid(p.W_7 @ x + p.U_7 @ h + p.b_7))
    c = tanh(a + c) * d
    h = tanh(c * tanh(e + g))
    return h, c
