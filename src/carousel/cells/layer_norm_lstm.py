"""The LSTM whose sums are normalised over the layer's units.

Ba, Kiros & Hinton, "Layer normalization", 2016, arXiv:1607.06450, supplement.

    (f_t, i_t, o_t, g_t) = LN(U h_{t-1}; alpha_1, beta_1) + LN(W x_t; alpha_2, beta_2) + b
    c_t = sigmoid(f_t) * c_{t-1} + sigmoid(i_t) * tanh(g_t)
    h_t = sigmoid(o_t) * tanh(LN(c_t; alpha_3, beta_3))

LN(a; alpha, beta) is alpha * (a - mean(a)) / sqrt(var(a) + eps) + beta. The four gates are normalised together, as one
row four times as wide as h, not one by one as some libraries have it. Gains start at 1, biases at 0. beta_1, beta_2 and
b add up, as printed: two of the three could go.
Known for: recurrent nets that train faster and stand sequences longer than those they were trained on.
Deviates from the paper: a small number, eps = 1e-5, is added to the variance as in PyTorch.
Oracle: torch.nn.LSTMCell, among calls of torch.nn.functional.layer_norm, asked twice a step: for c with the normalised
sums for its input; for h with the forget gate open, the input gate shut and c normalised.
"""

from carousel.graph import cell, layer_norm, sigmoid, split, tanh


@cell(init={"alpha_*": 1.0, "beta_*": 0.0, "b": 0.0})
def layer_norm_lstm(x, h, c, p, *, eps=1e-5):
    """Layer-normalised LSTM (Ba, Kiros & Hinton, 2016)."""
    of_h = layer_norm(p.U @ h, p.alpha_1, p.beta_1, eps)
    of_x = layer_norm(p.W @ x, p.alpha_2, p.beta_2, eps)
    f, i, o, g = split(of_h + of_x + p.b, h, h, h, h)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(layer_norm(c, p.alpha_3, p.beta_3, eps))
    return h, c
