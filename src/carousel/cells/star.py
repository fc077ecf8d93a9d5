"""STAR, the stackable recurrent cell: one gate, and the state squashed at every step.

Turkoglu, D'Aronco, Wegner & Schindler, "Gating revisited: deep multi-layer RNNs that can be trained", 2019,
arXiv:1911.11033.

    k_t = sigmoid(W_k x_t + U_k h_{t-1} + b_k)
    z_t = tanh(W_z x_t + b_z)
    h_t = tanh((1 - k_t) * h_{t-1} + k_t * z_t)

Known for: deep stacks that still train, as gradients neither vanish nor grow from one layer to the next.
Deviates from the paper: nothing.
Oracle: torchrecurrent's STARCell, whose weight_ih is (W_z, W_k) one below the other and whose weight_hh is U_k.
"""

from carousel.graph import cell, sigmoid, tanh


@cell
def star(x, h, p):
    """Stackable recurrent cell (Turkoglu et al., 2019)."""
    k = sigmoid(p.W_k @ x + p.U_k @ h + p.b_k)
    z = tanh(p.W_z @ x + p.b_z)
    h = tanh((1 - k) * h + k * z)
    return h
