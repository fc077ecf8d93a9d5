"""Mistakes in the equations: each is told at definition, with the user's line, a caret, and the fix."""
# ruff: noqa: B008, F841 (side inputs are declared by calls in the signature; some values are to be unused)

import math

import numpy
import pytest
import torch

from carousel import cells
from carousel.errors import CellError
from carousel.graph import cell, clip, concat, expand, mask, relu, sigmoid, slice, softmax, split, static, tanh, where


def message(function, **declared) -> str:
    with pytest.raises(CellError) as error:
        cell(**declared)(function)
    return str(error.value)


def marked(text: str) -> str:
    """What the carets of a message point at."""
    lines = text.splitlines()
    at = next(k for k, line in enumerate(lines) if line.strip() and not line.strip().strip("^"))
    return lines[at - 1][lines[at].index("^") : lines[at].rindex("^") + 1]


def vector_for_matrix(x, h, c, p):
    f = sigmoid(p.W @ x + p.U * x)
    g = 2 * f
    return g * h, f * c


def test_star_for_at_tells_the_line_that_fixed_the_width():
    text = message(vector_for_matrix)
    assert marked(text) == "g * h"
    assert "input_size on the left" in text and "hidden_size on the right" in text
    assert "f = sigmoid(p.W @ x + p.U * x)" in text
    assert 'widths={"x": "hidden_size"}' in text
    assert f"{__file__}:" in text and text.startswith("vector_for_matrix: ")


def test_caret_in_a_line_of_several_operations():
    def leak(x, h, p):
        r = sigmoid(p.W @ x)
        h = r * h + (1 - r) * x
        return h

    assert marked(message(leak)) == "(1 - r) * x"
    assert cell(widths={"x": "hidden_size"})(leak).sizes == ("input_size", "hidden_size")


def test_precedence():
    def product_then_star(x, h, p):
        r = sigmoid(p.W_r @ x)
        return tanh(p.W @ x + p.U @ r * h)

    def star_then_product(x, h, p):
        r = sigmoid(p.W_r @ x)
        return tanh(p.W @ x + r * p.U @ h)

    def parameter_star_product(x, h, p):
        return tanh(p.W @ x + p.v * p.U @ h)

    text = message(product_then_star)
    assert marked(text) == "p.U @ r * h" and "(p.U @ h) * r" in text and "p.U @ (h * r)" in text
    text = message(star_then_product)
    assert marked(text) == "r * p.U @ h" and "r * (p.U @ h) with parentheses" in text
    assert "parentheses" in message(parameter_star_product)


def test_precedence_accepts_what_is_clear():
    @cell
    def clear(x, h, p):
        a = (p.U @ h) * h + 0.5 * p.V @ x + p.W @ x * 2 + (p.U @ (h * h)) / (1 + h * h)
        return tanh(a)

    assert list(clear.step.parameters) == ["U", "V", "W"]


def test_states_in_another_order():
    def swapped(x, h, c, p):
        f = sigmoid(p.W @ x + p.U @ h)
        c = f * c
        h = tanh(c)
        return c, h

    text = message(swapped)
    assert "state h is returned as c" in text and "fix: return h, c" in text


@pytest.mark.parametrize("count", [1, 4])
def test_number_of_returned_values(count):
    def wrong(x, h, c, p):
        return (tanh(p.W @ x + h * c),) * count

    text = message(wrong)
    assert f"{count} returned, for 2 states" in text and "h, c, in this order" in text


def test_values_that_reach_no_output():
    def named(x, h, p):
        gate = sigmoid(p.W @ x)
        return tanh(p.U @ x + h)

    def overwritten(x, h, p):
        a = p.W @ x
        a = tanh(p.U @ x + h)
        return a

    def unnamed(x, h, p):
        tanh(p.W @ x)
        return tanh(p.U @ x + h)

    def of_parameters(x, h, p):
        A = p.A - p.B
        return tanh(p.U @ x + h)

    assert "gate reaches no output" in message(named) and marked(message(named)) == "sigmoid(p.W @ x)"
    assert "a reaches no output" in message(overwritten) and marked(message(overwritten)) == "p.W @ x"
    assert "this value reaches no output" in message(unnamed)
    assert "reaches no output" in message(of_parameters) or "not used" in message(of_parameters)


def test_unused_arguments():
    def side(x, h, p, *, dt):
        return tanh(p.W @ x + h)

    def parameter(x, h, p):
        p.Q  # noqa: B018
        return tanh(p.W @ x + h)

    assert "dt is not used" in message(side)
    assert "parameter Q is named but not used" in message(parameter)


def test_state_that_depends_on_nothing():
    def learned(x, h, c, p):
        return tanh(p.W @ x + h * c), softmax(p.b)

    def number(x, h, c, p):
        return tanh(p.W @ x + h * c), 1.0

    def parameter(x, h, c, p):
        return tanh(p.W @ x + h * c), tanh(p.b)

    assert "the new value of state c depends on nothing that changes" in message(learned)
    assert "state c is returned as a float" in message(number)
    assert "state c is returned as (tanh of parameters)" in message(parameter)


def test_python_control_flow():
    def branch(x, h, p):
        if h > 0:
            h = h + 1
        return p.W @ x + h

    def both(x, h, p):
        return p.W @ x + (h and x)

    text = message(branch)
    assert marked(text) == "h > 0" and "ca.where(condition, a, b)" in text
    assert "truth value" in message(both)


FOREIGN = {
    "torch.cumsum is not known": lambda x, h, p: torch.cumsum(p.W @ x + h, 0),
    "torch.cat is not known": lambda x, h, p: torch.cat([h, x]),
    "a traced value is not a number": lambda x, h, p: p.W @ x + math.exp(h),
    "math and numpy cannot work": lambda x, h, p: p.W @ x + numpy.exp(h),
    "cannot be unpacked": lambda x, h, p: [a for a in h],
    "cannot be indexed": lambda x, h, p: (p.W @ x)[0] + h,
    "has no length": lambda x, h, p: (p.W @ x) * len(h),
    "found: .tanh": lambda x, h, p: (p.W @ x + h).tanh(),
    "a Tensor cannot stand": lambda x, h, p: h + torch.ones(4),
    "a ndarray cannot stand": lambda x, h, p: h + numpy.ones(4),
    "a str cannot stand": lambda x, h, p: h + "1",
    "a list cannot stand": lambda x, h, p: [1.0] * h,
    "x @ p.W": lambda x, h, p: x @ p.W + h,
    "a Tensor @ h": lambda x, h, p: torch.ones(2, 2) @ h + x,
    "p.U @ p.V": lambda x, h, p: p.U @ p.V + h,
    "p.W @ a float": lambda x, h, p: p.W @ 1.0 + h,
    "** 3.5": lambda x, h, p: (p.W @ x) ** 3.5 + h,
    "** -1": lambda x, h, p: (p.W @ x) ** -1 + h,
    "the bounds of clip must be numbers": lambda x, h, p: clip(h, x, 1.0),
    "an edge of a slice": lambda x, h, p: slice(h, "a"),
    "split of h into its parts": lambda x, h, p: concat(*split(h, x, h)),
    "p cannot be assigned to": lambda x, h, p: setattr(p, "W", 1),
    "cannot be called W_l0": lambda x, h, p: p.W_l0 @ x + h,
    "cannot be called U_reverse": lambda x, h, p: p.U_reverse @ x + h,
    "cannot be called _W": lambda x, h, p: p._W @ x + h,
    "with 2 and with 4 blocks": lambda x, h, p: p.R.blocks(2) @ h + p.R.blocks(4) @ h,
    "with 1 and with 2 blocks": lambda x, h, p: p.R @ h + p.R.blocks(2) @ h,
    "must be a positive whole number": lambda x, h, p: p.R.blocks(0) @ h,
    "only a parameter has blocks": lambda x, h, p: (2 * p.R).blocks(2) @ h,
    "a transposed matrix is used as a vector": lambda x, h, p: p.W.T * h,
    "parameter U is used as a vector here": lambda x, h, p: tanh(p.W @ x + p.U @ h + p.U),
    "parameter U is used as a matrix here": lambda x, h, p: tanh(p.W @ x + p.U * h + p.U @ h),
}


@pytest.mark.parametrize("expected", FOREIGN)
def test_what_the_equations_cannot_say(expected):
    text = message(FOREIGN[expected])
    assert expected in text
    assert "^" in text and f"{__file__}:" in text


def test_a_number_of_numpy_is_a_number():
    @cell
    def scaled(x, h, p):
        return numpy.float64(0.5) * tanh(p.W @ x + h * numpy.float32(2))

    assert scaled.shapes(input_size=2, hidden_size=3) == {"W": (3, 2)}


def test_torch_functions_that_are_known():
    @cell
    def torched(x, h, p):
        return torch.tanh(torch.add(p.W @ x, h)) * torch.sigmoid(torch.maximum(p.b, h))

    assert [n.op for n in torched.step.nodes][-4:] == ["parameter", "maximum", "sigmoid", "mul"]


def test_several_lines_and_letters_beyond_ascii():
    def long(x, h, p):
        φ = sigmoid(p.W @ x)
        return tanh(
            φ + p.U @ h
            + p.V * x
        )  # fmt: skip

    text = message(long)
    assert "widths differ" in text and "+ p.V * x" in text


ARGUMENTS = {
    "not an input, one state or more, and p": lambda x, p: tanh(p.W @ x),
    "let p be the last": lambda x, p, h: tanh(p.W @ x),
    "is open": lambda x, h, p, *rest: tanh(p.W @ x),
    "has a default but is not keyword-only": lambda x, h, c=None, *, p: tanh(x),
    "a side input cannot be called lengths": lambda x, h, p, *, lengths: tanh(p.W @ x + lengths * h),
}


@pytest.mark.parametrize("expected", ARGUMENTS)
def test_arguments(expected):
    assert expected in message(ARGUMENTS[expected])


def elman(x, h, p, *, f=tanh):
    return f(p.W @ x + p.U @ h + p.b)


DECLARATIONS = [
    ({"widths": {"q": "rank"}}, "widths= names q"),
    ({"widths": {"h": -3}}, "a width was given as -3"),
    ({"widths": {"h": "2 hidden"}}, "a width was given as '2 hidden'"),
    ({"widths": {"h": "dropout"}}, "a size cannot be called dropout"),
    ({"shapes": {"q": ()}}, "shapes= names q"),
    ({"shapes": {"b": 3}}, "expected () for a scalar"),
    ({"shapes": {"W": ()}}, "is a scalar"),
    ({"shapes": {"W": ("hidden_size",)}}, "parameter W is used as a matrix here, but as a vector elsewhere"),
    ({"shapes": {"b": ("input_size",)}}, "widths differ"),
    ({"initial": {"q": 1.0}}, "initial= names 'q', which is no state"),
    ({"initial": {"h": "a"}}, "expected a number"),
    ({"init": {"B": 1.0}}, "init= has 'B', which matches no parameter. Did you mean 'b'?"),
    ({"fixed": {"c_*": 1.0}}, "matches no parameter"),
]


@pytest.mark.parametrize("declared,expected", DECLARATIONS)
def test_declarations(declared, expected):
    assert expected in message(elman, **declared)


def test_what_is_not_a_function():
    with pytest.raises(TypeError, match="expected a function"):
        cell(3)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        cell(bias=False)(elman)
    with pytest.raises(ValueError, match="keep is 0"):
        mask("hidden_size", keep=0)
    with pytest.raises(ValueError, match="per is 'batch'"):
        mask("hidden_size", per="batch")
    with pytest.raises(ValueError, match="a width was given as 0"):
        static(0)


def test_options_and_sizes():
    made = cell(elman)
    with pytest.raises(TypeError, match="no option 'g'"):
        made.with_(g=relu)
    with pytest.raises(TypeError, match="option f is 'tanh', expected a function such as carousel.tanh"):
        cells.elman.with_(f="tanh")
    with pytest.raises(TypeError, match="no size 'hiden_size'. Did you mean 'hidden_size'"):
        made.shapes(input_size=3, hiden_size=4)
    with pytest.raises(TypeError, match="hidden_size missing"):
        made.shapes(input_size=3)
    with pytest.raises(ValueError, match="hidden_size is 0"):
        made.shapes(input_size=3, hidden_size=0)
    with pytest.raises(ValueError, match="hidden_size is 2.5"):
        made.shapes(input_size=3, hidden_size=2.5)


def test_sizes_that_do_not_fit():
    @cell(widths={"g": "blocks"})
    def blocked(x, h, p):
        g = sigmoid(p.W @ x)
        return tanh(p.R.blocks(3) @ h) * expand(g, h)

    @cell
    def sliced(x, h, p):
        return tanh(p.U @ slice(h, 2, 5) + p.W @ x)

    @cell(widths={"x": "hidden_size"})
    def residual(x, h, p):
        return x + p.U @ h

    with pytest.raises(ValueError, match="not divisible into the 3 blocks of R"):
        blocked.shapes(input_size=2, hidden_size=8, blocks=4)
    with pytest.raises(ValueError, match="not a multiple of blocks = 4"):
        blocked.shapes(input_size=2, hidden_size=9, blocks=4)
    assert blocked.shapes(input_size=2, hidden_size=9, blocks=3)["R"] == (3, 3, 3)
    with pytest.raises(ValueError, match="columns 2 to 5 are sliced from a row of 4"):
        sliced.shapes(input_size=2, hidden_size=4)
    with pytest.raises(ValueError, match="input_size is 2, but the equations need x"):
        residual.shapes(input_size=2, hidden_size=4)


def test_calls():
    made = cell(elman)
    x, h = torch.zeros(1, 3), torch.zeros(1, 4)

    def without_p(x, h, p):
        return made(x, h, x)

    def where_only(x, h, p, *, s=static("static_size")):
        return where(h > 0, h, entity(x, h, p))

    @cell
    def entity(x, h, p, *, s=static("static_size")):
        return tanh(p.W @ x + p.S @ s + h)

    with pytest.raises(TypeError, match="2 arguments were given"):
        made(x, h)
    with pytest.raises(TypeError, match="no argument 'lengths'"):
        made(x, h, None, lengths=3)
    with pytest.raises(TypeError, match="s is missing"):
        cell(where_only)
    assert "called without p" in message(without_p)
