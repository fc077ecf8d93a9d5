"""The closed-form continuous-time cell: a liquid network without a solver.

Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl & Rus, "Closed-form continuous-time neural networks",
Nature Machine Intelligence 4, 2022, doi:10.1038/s42256-022-00556-7, arXiv:2106.13898.

    s_t = 1.7159 tanh(0.666 (W x_t + U h_{t-1} + b))
    g_t = tanh(W_g s_t + b_g)
    k_t = tanh(W_k s_t + b_k)
    f_t = sigmoid((W_f s_t + b_f) dt_t + W_e s_t + b_e)
    h_t = (1 - f_t) * g_t + f_t * k_t

dt_t is the time since the step before, given at every step. The gate f leads from g, where no time has passed, to k,
and how fast is learned. s, backbone_size wide, is what the paper calls the backbone, shared by the heads.
Known for: driving and flying from a camera with few units; irregularly sampled series, at the price of a plain cell.
Deviates from the paper: its gate, sigmoid(-f dt) on g, has no part without time; W_e s + b_e is from the authors'
package. One layer of backbone. Matrices start by Glorot's uniform distribution, as there.
Oracle: the authors' package ncps, whose CfCCell calls the heads ff1, ff2, time_a and time_b.
"""

from torch.nn.init import xavier_uniform_

from carousel.graph import cell, sigmoid, tanh


@cell(widths={"s": "backbone_size"}, init={"W*": xavier_uniform_, "U": xavier_uniform_})
def cfc(x, h, p, *, dt):
    """Closed-form continuous-time cell (Hasani et al., 2022)."""
    s = 1.7159 * tanh(0.666 * (p.W @ x + p.U @ h + p.b))
    g = tanh(p.W_g @ s + p.b_g)
    k = tanh(p.W_k @ s + p.b_k)
    f = sigmoid((p.W_f @ s + p.b_f) * dt + p.W_e @ s + p.b_e)
    h = (1 - f) * g + f * k
    return h
