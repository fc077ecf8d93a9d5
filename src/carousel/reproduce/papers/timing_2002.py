"""The net of the experiments on precise timing: one cell whose gates see its state, or do not.

Gers, Schraudolph & Schmidhuber, "Learning precise timing with LSTM recurrent networks", Journal of Machine Learning
Research 3, 2002, https://www.jmlr.org/papers/v3/gers02a.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import carousel as ca
from carousel.reproduce.experiment import Measure
from carousel.reproduce.papers.lstm_1997_nets import draw_weights

SOLVED, STREAMS, TEST_LENGTH = (
    Measure("solved", "higher", "share"),
    Measure("streams", "lower"),
    Measure("test length", "higher"),
)
SUCCESSES, TESTED = 100, 1_000  # in a row: of a stream to learn from, of a test
CITATION = (
    "Gers, Schraudolph & Schmidhuber, Learning precise timing with LSTM recurrent networks, Journal of Machine "
    "Learning Research 3, 2002"
)


@ca.cell
def timing_cell(x, h, c, p, *, peepholes=True):
    """A linear cell with three gates; no error flows back from a gate, nor through its peephole."""
    h = ca.stop_gradient(h)
    net_i = p.W_i @ x + p.U_i @ h + p.b_i
    net_f = p.W_f @ x + p.U_f @ h + p.b_f
    net_o = p.W_o @ x + p.U_o @ h + p.b_o
    if peepholes:
        seen = ca.stop_gradient(c)
        net_i, net_f = net_i + p.V_i * seen, net_f + p.V_f * seen
    c = ca.sigmoid(net_f) * c + ca.sigmoid(net_i) * (p.W_c @ x + p.U_c @ h + p.b_c)
    if peepholes:
        net_o = net_o + p.V_o * ca.stop_gradient(c)
    h = ca.sigmoid(net_o) * c
    return h, c


def timing_net(seeds: Sequence[int], *, peepholes: bool, output: Any, rate: float, momentum: float) -> Any:
    """17 weights with peepholes, 14 without; they start between -0.1 and 0.1, and the gates' biases at 0, -2 and 2."""
    net = ca.Online(
        ca.readout(timing_cell.with_(peepholes=peepholes), output=output),
        input_size=1,
        hidden_size=1,
        output_size=1,
        rule=ca.SGD(rate, momentum=momentum),
        form="traces",
        nets=len(seeds),
    )
    draw_weights(net, seeds, 0.1, {"b_i": [0.0], "b_f": [-2.0], "b_o": [2.0]})
    return net
