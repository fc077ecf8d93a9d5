"""The intersection network, +RNN: one gate in time, and one in depth.

Collins, Sohl-Dickstein & Sussillo, "Capacity and trainability in recurrent neural networks", ICLR 2017,
arXiv:1611.09913.

    u_t = relu(W_y x_t + U_y h_{t-1} + b_y)
    v_t = tanh(W_h x_t + U_h h_{t-1} + b_h)
    d_t = sigmoid(W_d x_t + U_d h_{t-1} + b_d)
    g_t = sigmoid(W_g x_t + U_g h_{t-1} + b_g)
    y_t = d_t * x_t + (1 - d_t) * u_t
    h_t = g_t * h_{t-1} + (1 - g_t) * v_t

y does not recur and is the output, which the next layer sees: it is as wide as the input. The paper writes y^in, h^in,
g^y and g^h for u, v, d and g.
Known for: being the easiest of the paper's cells to train in deep stacks.
Deviates from the paper: it takes input and state equally wide and projects the input of the first layer; here they may
differ, and the projection is left to what stands before.
Oracle: torchrecurrent's IntersectionRNNCell, which has input and state equally wide: the narrower of the two is filled
up with zeros.
"""

from carousel.graph import cell, relu, sigmoid, tanh


@cell
def intersection_rnn(x, h, p):
    """Intersection RNN, +RNN (Collins, Sohl-Dickstein & Sussillo, 2017)."""
    u = relu(p.W_y @ x + p.U_y @ h + p.b_y)
    v = tanh(p.W_h @ x + p.U_h @ h + p.b_h)
    d = sigmoid(p.W_d @ x + p.U_d @ h + p.b_d)
    g = sigmoid(p.W_g @ x + p.U_g @ h + p.b_g)
    y = d * x + (1 - d) * u
    h = g * h + (1 - g) * v
    return y, h
