"""The gated recurrent unit that knows what is missing and for how long.

Che, Purushotham, Cho, Sontag & Liu, "Recurrent neural networks for multivariate time series with missing values",
Scientific Reports 8, 2018, doi:10.1038/s41598-018-24271-9.

    a_t = exp(-max(0, w_x * dt_t + b_x))
    k_t = exp(-max(0, W_k dt_t + b_k))
    u_t = m_t * x_t + (1 - m_t) * (a_t * l_{t-1} + (1 - a_t) * x_mean)
    l_t = m_t * x_t + (1 - m_t) * l_{t-1}
    g_t = k_t * h_{t-1}
    r_t = sigmoid(W_r u_t + U_r g_t + V_r m_t + b_r)
    z_t = sigmoid(W_z u_t + U_z g_t + V_z m_t + b_z)
    n_t = tanh(W_n u_t + U_n (r_t * g_t) + V_n m_t + b_n)
    h_t = (1 - z_t) * g_t + z_t * n_t

m_t is 1 where x_t was observed and 0 where it is missing, dt_t the time since each variable was last observed; both are
as wide as x and given at every step. What is missing is taken to be the last observation l, which fades to the
variable's mean, and the state fades too (a and k are the paper's gamma_x and gamma_h). x_mean is not learned: it is 0,
for data that have mean 0; otherwise `layer.x_mean_l0.copy_(mean)`. A missing x_t may be any number, but not NaN.
Known for: clinical records, where what was not measured says as much as what was.
Deviates from the paper: l starts from 0, which the paper leaves open.
Oracle: torchrecurrent's MUT2Cell, which is a GRU with the reset before the product, one step at a time on (u_t, m_t)
from g_t; what fades, u, l and g, is written anew.
"""
# ruff: noqa: B008 (side inputs are declared by calls in the signature)

from carousel.graph import cell, exp, per_step, relu, sigmoid, tanh


@cell(widths={"l": "input_size", "h": "hidden_size"}, fixed={"x_mean": 0.0})
def gru_d(x, h, l, p, *, m=per_step("input_size"), dt=per_step("input_size")):
    """GRU with decay (Che, Purushotham, Cho, Sontag & Liu, 2018)."""
    a = exp(-relu(p.w_x * dt + p.b_x))
    k = exp(-relu(p.W_k @ dt + p.b_k))
    u = m * x + (1 - m) * (a * l + (1 - a) * p.x_mean)
    l = m * x + (1 - m) * l
    g = k * h
    r = sigmoid(p.W_r @ u + p.U_r @ g + p.V_r @ m + p.b_r)
    z = sigmoid(p.W_z @ u + p.U_z @ g + p.V_z @ m + p.b_z)
    n = tanh(p.W_n @ u + p.U_n @ (r * g) + p.V_n @ m + p.b_n)
    h = (1 - z) * g + z * n
    return h, l
