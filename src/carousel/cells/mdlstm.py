"""The multidimensional LSTM: a forget gate for each axis along which the data go on.

Graves, Fernandez & Schmidhuber, "Multi-dimensional recurrent neural networks", ICANN 2007, arXiv:0705.2011; Graves &
Schmidhuber, "Offline handwriting recognition with multidimensional recurrent neural networks", NIPS 2008.

    i = sigmoid(W_i x + sum_d U_i,d h_d + sum_d V_i,d * c_d + b_i)
    f_d = sigmoid(W_f,d x + sum_e U_f,d,e h_e + V_f,d * c_d + b_f,d)
    g = tanh(W_c x + sum_d U_c,d h_d + b_c)
    c = i * g + sum_d f_d * c_d
    o = sigmoid(W_o x + sum_d U_o,d h_d + V_o * c + b_o)
    h = o * tanh(c)

h_d and c_d are of the position one step back along the axis d. They stand side by side in the states h and c, one block
an axis, and so do U_i,1 and U_i,2 in U_i; the new states hold the same block for the next position along every axis.
In the function c and h of the position itself are s and y. `mdlstm.with_(axes=3)` has another number of axes than 2.
`carousel.MDLSTM` runs it over images; in `carousel.Recurrent` all axes are time.
Known for: Arabic handwriting recognised from pixels, 91.4 % of the words where the winner of an international
competition had 87.2 %, by authors who knew no word of Arabic.
Deviates from the paper: nothing; squashing functions are tanh.
Oracle: torch.nn.LSTMCell, asked for i * g, for each f_d * c_d, and for h from their sum, given the sums of the gates.
"""

from carousel.cells.options import check_count
from carousel.graph import cell, concat, sigmoid, split, tanh


@cell(widths={"g": "hidden_size"})
def mdlstm(x, h, c, p, *, axes=2):
    """Multidimensional LSTM (Graves, Fernandez & Schmidhuber, 2007), peepholes on all gates."""
    check_count("mdlstm", axes=axes)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    before, seen = split(c, *[g] * axes), split(p.V_i * c, *[g] * axes)
    i = sigmoid(p.W_i @ x + p.U_i @ h + sum(seen) + p.b_i)
    s = i * g
    for d in range(axes):
        W, U, V, b = (getattr(p, f"{letter}_f{d + 1}") for letter in "WUVb")
        f = sigmoid(W @ x + U @ h + V * before[d] + b)
        s = s + f * before[d]
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.V_o * s + p.b_o)
    y = o * tanh(s)
    h = concat(*[y] * axes)
    c = concat(*[s] * axes)
    return y, h, c
