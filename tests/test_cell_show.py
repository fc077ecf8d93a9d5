"""`print(cell)` and `cell.latex()`."""

import re

import matplotlib
import pytest
from matplotlib.mathtext import MathTextParser

from carousel.cells import lstm
from carousel.graph import cell, tanh
from zoo import ALL, IDS, fused_gates, observer, slstm, zoneout_lstm

matplotlib.use("Agg")
every_cell = pytest.mark.parametrize("cell", ALL, ids=IDS)

LSTM = r"""
\begin{align}
f_t &= \sigma(W_f x_t + U_f h_{t-1} + b_f) \\
i_t &= \sigma(W_i x_t + U_i h_{t-1} + b_i) \\
o_t &= \sigma(W_o x_t + U_o h_{t-1} + b_o) \\
g_t &= \tanh(W_c x_t + U_c h_{t-1} + b_c) \\
c_t &= f_t \odot c_{t-1} + i_t \odot g_t \\
h_t &= o_t \odot \tanh(c_t)
\end{align}
""".strip()


def test_latex_of_the_lstm():
    assert lstm.latex() == LSTM


@every_cell
def test_latex_is_balanced_and_parses(cell):
    text = cell.latex()
    assert text.count("{") == text.count("}") and text.count("(") == text.count(")")
    assert text.count(r"\left(") == text.count(r"\right)")
    assert text.count(r"\begin{") == text.count(r"\end{")
    lines = text.splitlines()[1:-1]
    left = [line.partition(" &= ")[0] for line in lines]
    assert len(set(left)) == len(left), "a symbol is defined twice"
    for name in cell.states:
        assert re.search(rf"^{name}_t", text, re.M)
    for line in lines:
        if "cases" not in line:  # matplotlib knows no environments
            MathTextParser("agg").parse(f"${line.removesuffix(chr(92) * 2).replace('&', '')}$")


def test_latex_of_special_cases():
    @cell
    def special(x, h, c, p, *, f=tanh):
        x = p.m * x
        h_new = (1 - h) / (2 - 3e-7 * c) ** 2
        return f(p.W @ x) - (h_new - c), c

    assert special.latex().splitlines()[1:-1] == [
        r"x^{\prime}_t &= m \odot x_t \\",
        r"h_{\mathrm{new},t} &= \frac{1 - h_{t-1}}{{(2 - 3 \cdot 10^{-7} c_{t-1})}^2} \\",
        r"h_t &= \tanh(W x^{\prime}_t) - (h_{\mathrm{new},t} - c_{t-1}) \\",
        r"c_t &= c_{t-1}",
    ]
    assert "]_{H:2H}" in fused_gates.latex()


@every_cell
def test_print(cell):
    text = str(cell)
    assert text.startswith(cell.name)
    for name in cell.step.parameters:
        assert re.search(rf"\b{name} \(", text)
    assert repr(cell).startswith(f"<cell {cell.name}(x, ")


def test_print_shows_what_is_declared():
    text = str(observer)
    assert "c = tanh(p.W_c @ x + p.U_c @ h + p.b) + 0.3 * c" in text
    assert "h (hidden_size), starts from 0.25" in text
    assert "b (hidden_size,), fixed at 0" in text
    assert "output       (input_size), does not recur" in text
    assert "z_h (hidden_size), at each step, a mask that keeps 0.9" in str(zoneout_lstm)
    assert "heads=4" in str(slstm) and "R_z (4, hidden_size/4, hidden_size/4)" in str(slstm)


def test_print_shows_what_is_derived():
    text = str(lstm)
    assert "before the loop: W_f, W_i, W_o, W_c @ x" in text
    assert "kept for backward" in text


def test_print_without_source():
    namespace = {}
    exec("def typed(x, h, p):\n    return h + p.W @ x", namespace)
    assert r"h_t &= h_{t-1} + W x_t" in str(cell(namespace["typed"]))
