"""FastRNN, a plain network with a weighted residual connection of two learned scalars.

Kusupati, Singh, Bhatia, Kumar, Jain & Varma, "FastGRNN: a fast, accurate, stable and tiny kilobyte sized gated
recurrent neural network", NeurIPS 2018, arXiv:1901.02358.

    g_t = f(W x_t + U h_{t-1} + b)
    h_t = sigmoid(alpha) * g_t + sigmoid(beta) * h_{t-1}

The paper writes the scalars as alpha and beta in (0, 1), which it learns through the sigmoid. They start at
sigmoid(-3) = 0.05 and sigmoid(3) = 0.95, and b at 1, as in the authors' library, EdgeML: little is new at each step.
Known for: stable training of a plain network with two more numbers, on devices with kilobytes of memory.
Deviates from the paper: nothing; f is tanh, or relu with `fast_rnn.with_(f=relu)`.
Oracle: torchrecurrent's FastRNNCell, whose two biases add up to b.
"""

from carousel.graph import cell, sigmoid, tanh


@cell(shapes={"alpha": (), "beta": ()}, init={"alpha": -3.0, "beta": 3.0, "b": 1.0})
def fast_rnn(x, h, p, *, f=tanh):
    """FastRNN (Kusupati et al., 2018)."""
    g = f(p.W @ x + p.U @ h + p.b)
    h = sigmoid(p.alpha) * g + sigmoid(p.beta) * h
    return h
