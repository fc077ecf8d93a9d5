"""The Mogrifier LSTM, whose input and state gate each other in turns before the LSTM sees them.

Melis, Kocisky & Blunsom, "Mogrifier LSTM", ICLR 2020, arXiv:1909.01792.

    x_t = 2 sigmoid(Q_k h_{t-1}) * x_t        in rounds k = 1, 3, 5
    h_{t-1} = 2 sigmoid(R_k x_t) * h_{t-1}    in rounds k = 2, 4
    h_t, c_t = LSTM(x_t, h_{t-1}, c_{t-1})

`mogrifier_lstm.with_(rounds=4)` has another number of rounds; with none it is the LSTM.
Known for: the best word-level language models among recurrent networks of its time.
Deviates from the paper: Q_k and R_k have full rank, where the paper may factor them.
Oracle: torch.nn.LSTMCell, on the input and state that the rounds have made; the rounds are written anew, by tanh.
"""

from carousel.cells.lstm import lstm
from carousel.cells.options import check_count
from carousel.graph import cell, sigmoid


@cell
def mogrifier_lstm(x, h, c, p, *, rounds=5):
    """LSTM whose input and state gate each other first (Melis, Kocisky & Blunsom, 2020)."""
    check_count("mogrifier_lstm", rounds=rounds, least=0)
    for k in range(1, rounds + 1):
        if k % 2:
            x = 2 * sigmoid(getattr(p, f"Q_{k}") @ h) * x
        else:
            h = 2 * sigmoid(getattr(p, f"R_{k}") @ x) * h
    h, c = lstm(x, h, c, p)
    return h, c
