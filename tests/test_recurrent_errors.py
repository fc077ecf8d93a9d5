"""What Recurrent says to a user's mistakes: what was given, what was expected, and the fix."""

import re

import pytest
import torch

import carousel as ca
import zoo

T, B, D, H = 3, 2, 5, 8
X = torch.zeros(T, B, D)


def layer_of(cell=zoo.lstm, **options):
    return ca.Recurrent(cell, D, H, **options)


def says(error, message):
    return pytest.raises(error, match=re.escape(message))


CONSTRUCTION = [
    ({"num_layers": 0}, ValueError, "lstm: num_layers is 0, expected at least 1."),
    ({"num_layers": 1.5}, TypeError, "lstm: num_layers is 1.5, expected a whole number."),
    ({"dropout": 2}, ValueError, "lstm: dropout is 2, expected a probability from 0 to 1."),
    ({"engine": "gpu"}, ValueError, "engine is 'gpu', expected one of: auto, native, torch, whole, eager."),
    ({"checkpoint_every": 0}, ValueError, "lstm: checkpoint_every is 0, expected a positive whole number of steps"),
    ({"proj_size": 3}, TypeError, "lstm: there is no argument or size 'proj_size'."),
    ({"cell": zoo.projected_lstm}, TypeError, "projected_lstm: proj_size missing"),
    ({"cell": zoo.slstm, "hidden_size": 7}, ValueError, "not divisible into the 4 blocks"),
    ({"masks": {"m": 0.5}}, ValueError, "lstm: masks has 'm', but the cell's masks are: none."),
    ({"cell": zoo.zoneout_lstm, "masks": {"z_h": 0}}, ValueError, "masks['z_h'] is 0, expected a probability above 0"),
    ({"cell": zoo.counting, "checkpoint_every": 3}, ValueError, "counting reads the step index, so checkpoint_every"),
    ({"cell": lambda x, h, p: h}, TypeError, "Recurrent: cell is a function, expected a cell made by @carousel.cell."),
    ({"cell": "lstm"}, TypeError, "a cell made by @carousel.cell. The registered one is carousel.cells.load('lstm')"),
    ({"num_layer": 2}, TypeError, "lstm: there is no argument or size 'num_layer'. Did you mean 'num_layers'?"),
]


@pytest.mark.parametrize(("options", "error", "message"), CONSTRUCTION, ids=lambda v: str(v)[:30])
def test_construction(options, error, message):
    with says(error, message):
        ca.Recurrent(**{"cell": zoo.lstm, "input_size": D, "hidden_size": H, **options})


def states(*shape):
    return tuple(torch.zeros(*shape, H) for _ in range(2))


CALLS = [
    ({"x": [1.0]}, TypeError, "x is a list, expected a tensor or a PackedSequence."),
    ({"x": X[..., 1:]}, ValueError, "x has shape (3, 2, 4), expected (T, B, D) with D = 5 (this layer's input_size)."),
    ({"x": X[0, 0]}, ValueError, "x has shape (5,), expected (T, B, D) with D = 5"),
    ({"x": X[0, :, 1:]}, ValueError, "x has shape (2, 4), expected (T, D) with D = 5"),
    ({"x": X.double()}, ValueError, "x is float64, the parameters are float32. Convert x with x.to(torch.float32), or"),
    ({"hx": torch.zeros(1, B, H)}, TypeError, "hx is a tensor, expected a tuple of 2: (h, c)."),
    ({"hx": (None, None)}, TypeError, "hx's h is a NoneType, expected a tensor."),
    ({"hx": states(1, B)[:1]}, TypeError, "hx is a tuple of 1, expected a tuple of 2: (h, c)."),
    (
        {"hx": states(2, B)},
        ValueError,
        "hx's h has shape (2, 2, 8), expected (L, B, 8) with L = 1 (layers x directions)",
    ),
    ({"x": X[:, 0], "hx": states(1, 1)}, ValueError, "hx's h has shape (1, 1, 8), expected (L, 8) with L = 1"),
    ({"hx": [s.double() for s in states(1, B)]}, ValueError, "hx's h is float64, x is float32. Convert one of them."),
    ({"lengths": [1, 2, 3]}, ValueError, "lengths has shape (3,), expected (2,): one for each row of x."),
    ({"lengths": [1, 4]}, ValueError, "lengths lie between 1 and 4, expected 0 to 3 (x has 3 steps)."),
    ({"lengths": [-1, 2]}, ValueError, "lengths lie between -1 and 2, expected 0 to 3"),
    ({"lengths": [1.0, 2.0]}, TypeError, "lengths has dtype float32, expected whole numbers."),
    ({"resets": torch.zeros(T, B)}, TypeError, "resets is float32, expected a bool tensor of shape (T, B)."),
    ({"resets": torch.zeros(B, T) > 0}, ValueError, "resets has shape (2, 3), expected (T, B) with T = 3 and B = 2."),
    ({"record": "f"}, TypeError, "record is the string 'f', expected names in a tuple: ('f',)."),
    ({"record": ("f", "q")}, ValueError, "record has 'q', which lstm does not name; it names x, h, c, f, i, o, g."),
    ({"dt": X}, TypeError, "there is no side input 'dt'; this cell's side inputs: none."),
]


@pytest.mark.parametrize(("options", "error", "message"), CALLS, ids=lambda v: str(v)[:30])
def test_call(options, error, message):
    with says(error, f"Recurrent(lstm): {message}"):
        layer_of()(**{"x": X, **options})


def test_the_layout_of_the_layer_is_the_one_that_is_told():
    layer = layer_of(batch_first=True)
    with says(ValueError, "expected (B, T, D) with D = 5"):
        layer(X[..., 1:])
    with says(ValueError, "resets has shape (2, 3), expected (B, T) with T = 2 and B = 3."):
        layer(X, resets=torch.zeros(2, 3, dtype=torch.bool))


def test_side_inputs():
    layer = layer_of(zoo.kinks, event_size=3, static_size=7)
    e, s = torch.zeros(T, B, 3), torch.zeros(B, 7)
    with says(TypeError, "Recurrent(kinks): the side input e is missing; pass e= with shape (T, B, 3)."):
        layer(X, s=s)
    with says(TypeError, "Recurrent(kinks): the side input s is missing; pass s= with shape (B, 7)."):
        layer(X, e=e)
    with says(ValueError, "Recurrent(kinks): e has shape (3, 2), expected (T, B, 3) with T = 3 and B = 2."):
        layer(X, e=e[..., 0], s=s)
    with says(ValueError, "Recurrent(kinks): s has shape (3, 2, 7), expected (B, 7) with B = 2, once a sequence."):
        layer(X, e=e, s=s.expand(T, B, 7))
    with says(TypeError, "Recurrent(kinks): s is a float, expected a tensor."):
        layer(X, e=e, s=1.0)


def test_packed_sequences():
    packed = torch.nn.utils.rnn.pack_padded_sequence(X, [3, 2])
    with says(ValueError, "lengths was given with a PackedSequence, which has its own. Leave it out."):
        layer_of()(packed, lengths=[3, 2])


def test_steps():
    with says(ValueError, "step() reads the past only, but this layer is bidirectional."):
        layer_of(bidirectional=True).step(X[0])
    with says(ValueError, "x has shape (3, 2, 5), expected (B, D) or (D,) with D = 5: one step."):
        layer_of().step(X)
    with says(ValueError, "counting reads the step index, which step() does not know."):
        layer_of(zoo.counting).step(X[0])
    with says(ValueError, "the mask m_x holds for a whole sequence, but step() would draw it at every step."):
        layer_of(zoo.dropout_lstm).step(X[0])
    layer_of(zoo.dropout_lstm).eval().step(X[0])


def test_too_long_a_list_of_starts():
    @ca.cell(init={"b": [1, 2, 3]})
    def short(x, h, p):
        return ca.tanh(p.W @ x + p.b + h)

    with says(ValueError, "3 values were given to start a parameter of width 2, expected at most that."):
        ca.Recurrent(short, 1, 2)


def test_an_engine_that_cannot_serve():
    layer = layer_of(zoo.peephole_lstm, engine="torch")
    with says(ValueError, 'peephole_lstm: engine="torch" cannot run this: PyTorch has no operator for the cell'):
        layer(X)
