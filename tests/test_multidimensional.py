"""MultiDimensional: scans over several axes, against loops over positions, laws, and what they reduce to."""

from __future__ import annotations

from itertools import product

import numpy
import pytest
import torch

import carousel as ca
from carousel import engines
from carousel.layers.multidimensional import ending
from oracles.onnx_operators import ORACLES as ONNX
from tolerances import assert_close

ENGINES = [name for name in ("eager", "native") if engines.status()[name] is None]
engine_wise = pytest.mark.parametrize("engine", ENGINES)
D, H = 3, 4


def logistic(z):
    return 1 / (1 + numpy.exp(-z))


def paper(p, x):
    """The MDLSTM of the paper in NumPy, one image x (*space, D), position by position from the first corner."""
    n, space = x.ndim - 1, x.shape[:-1]
    h, s = {}, {}
    out = numpy.zeros((*space, len(p["b_i"])))
    for at in product(*map(range, space)):
        back = [tuple(i - (e == d) for e, i in enumerate(at)) for d in range(n)]
        zero = numpy.zeros(len(p["b_i"]))
        h_, s_ = ([seen.get(position, zero) for position in back] for seen in (h, s))
        net = {}
        for name in ("i", "c", "o", *(f"f{d + 1}" for d in range(n))):
            U = numpy.split(p[f"U_{name}"], n, 1)
            net[name] = p[f"W_{name}"] @ x[at] + sum(U[d] @ h_[d] for d in range(n)) + p[f"b_{name}"]
        V_i = numpy.split(p["V_i"], n)
        s[at] = logistic(net["i"] + sum(V_i[d] * s_[d] for d in range(n))) * numpy.tanh(net["c"])
        for d in range(n):
            s[at] = s[at] + logistic(net[f"f{d + 1}"] + p[f"V_f{d + 1}"] * s_[d]) * s_[d]
        h[at] = logistic(net["o"] + p["V_o"] * s[at]) * numpy.tanh(s[at])
        out[at] = h[at]
    return out


def arrays(layer, end=""):
    return {name: getattr(layer, name + end).detach().numpy() for name in layer.cell.parameters}


def loop(layer, x, sizes=None):
    """y (B, R * H, *space) by the cell's own function, position by position, with autograd."""
    n, B, space = layer.axes, len(x), tuple(x.shape[2:])
    directions = []
    for turned in product((False, True), repeat=n) if layer.directions == "all" else [(False,) * n]:
        p = ca.plain({name: getattr(layer, name + ending(turned)) for name in layer.cell.parameters})
        fresh = [
            getattr(layer, f"initial_{s}{ending(turned)}", x.new_zeros(w)).view(n, -1)
            for s, w in zip(layer.cell.states, layer.cell.state_widths(**layer.sizes), strict=True)
        ]
        images = []
        for b in range(B):
            own, handed, ys = space if sizes is None else sizes[b], {}, {}
            for at in product(*map(range, own)):
                back = [tuple(i - (e == d) for e, i in enumerate(at)) for d in range(n)]
                state = [
                    torch.cat([handed[v][k][d] if v in handed else fresh[k][d] for d, v in enumerate(back)])[None]
                    for k in range(len(fresh))
                ]
                place = tuple(e - 1 - i if t else i for i, e, t in zip(at, own, turned, strict=True))
                y, *new = layer.cell.fn(x[(b, slice(None), *place)][None], *state, p, **layer.cell.options)
                handed[at], ys[place] = [v[0].view(n, -1) for v in new], y[0]
            empty = x.new_zeros(H)
            images.append(torch.stack([ys.get(at, empty) for at in product(*map(range, space))], -1).view(H, *space))
        directions.append(torch.stack(images))
    return torch.cat(directions, 1) if layer.merge == "concat" else sum(directions)


def gradients(y, inputs):
    weights = torch.sin(torch.arange(y.numel(), dtype=y.dtype)).view(y.shape)
    return torch.autograd.grad((y * weights).sum(), inputs)


@engine_wise
@pytest.mark.parametrize("space", [(5,), (4, 3), (2, 3, 4)])
def test_the_paper_position_by_position(space, engine):
    layer = ca.MDLSTM(D, H, len(space), directions="one", engine=engine, dtype=torch.float64)
    x = torch.randn(2, D, *space, dtype=torch.float64)
    want = torch.stack([torch.from_numpy(paper(arrays(layer), image.movedim(0, -1).numpy())) for image in x])
    assert_close(layer(x), want.movedim(-1, 1))


@engine_wise
@pytest.mark.parametrize("space", [(4, 3), (2, 3, 2)])
@pytest.mark.parametrize("merge", ["concat", "sum"])
def test_all_corners_sizes_and_gradients(space, merge, engine):
    n = len(space)
    layer = ca.MDLSTM(D, H, n, merge=merge, learn_initial=True, engine=engine, dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if name.startswith("initial"):
                parameter.normal_()
    x = torch.randn(3, D, *space, dtype=torch.float64)
    sizes = [list(space), [1, 3, 2][:n], [2] + [0] * (n - 1)]
    for image, own in zip(x, sizes, strict=True):
        kept = image[(slice(None), *map(slice, own))].clone()
        image.fill_(torch.nan)[(slice(None), *map(slice, own))] = kept
    inputs = [x.requires_grad_(), *layer.parameters()]
    y, want = layer(x, sizes=torch.tensor(sizes)), loop(layer, x, sizes)
    assert_close(y, want)
    assert_close(gradients(y, inputs), gradients(want, inputs))


@engine_wise
def test_gradients_are_finite_differences(engine):
    layer = ca.MDLSTM(2, 2, directions="one", engine=engine, dtype=torch.float64)
    x = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(layer, x)
    if engine == "eager":
        torch.autograd.gradgradcheck(layer, x)


# -- what it reduces to


@engine_wise
@pytest.mark.parametrize("axis", [0, 1])
def test_a_line_is_the_peephole_lstm(axis, engine):
    """Along an axis of length 1 there is no predecessor: the other axis is time, its f the forget gate."""
    layer = ca.MDLSTM(D, H, directions="one", engine=engine, dtype=torch.float64)
    x = torch.randn(6, 2, D, dtype=torch.float64)  # (T, B, D)
    image = x.permute(1, 2, 0).unsqueeze(3 - axis)  # (B, D, T, 1) or (B, D, 1, T)
    own = slice(axis * H, (axis + 1) * H)
    params = {}
    for gate, name in {"i": "i", "c": "c", "o": "o", "f": f"f{axis + 1}"}.items():
        params |= {f"{letter}_{gate}": getattr(layer, f"{letter}_{name}") for letter in "Wb"}
        params[f"U_{gate}"] = getattr(layer, f"U_{name}")[:, own]
    params |= {"V_i": layer.V_i[own], "V_f": getattr(layer, f"V_f{axis + 1}"), "V_o": layer.V_o}
    params = {name: value.detach() for name, value in params.items()}
    want, _ = ONNX["peephole_lstm"](params, x, [torch.zeros(2, H, dtype=torch.float64)] * 2)
    assert_close(layer(image).squeeze(3 - axis).permute(2, 0, 1), want)


@engine_wise
def test_transposing_the_image_swaps_the_axes(engine):
    layer, other = (ca.MDLSTM(D, H, engine=engine, dtype=torch.float64) for _ in range(2))
    swapped, swap = {}, {"1": "2", "2": "1"}
    for full, value in layer.state_dict().items():
        name, back, axes = full.partition("_reverse")
        name = name[:-1] + swap[name[-1]] if name[-1] in swap else name
        parts = value.chunk(2, -1) if name.startswith("U_") or name == "V_i" else ()
        swapped[name + back + "".join(sorted(swap[a] for a in axes))] = torch.cat(parts[::-1], -1) if parts else value
    other.load_state_dict(swapped)
    x = torch.randn(2, D, 3, 5, dtype=torch.float64)
    first, second, third, fourth = other(x.mT).mT.chunk(4, 1)
    assert_close(layer(x), torch.cat([first, third, second, fourth], 1))


@engine_wise
def test_turning_the_image_round_turns_the_direction_round(engine):
    layer = ca.MDLSTM(D, H, engine=engine, dtype=torch.float64)
    x = torch.randn(2, D, 3, 5, dtype=torch.float64)
    y = layer(x).chunk(4, 1)
    one = ca.MDLSTM(D, H, directions="one", engine=engine, dtype=torch.float64)
    for k, axes in enumerate([(), (3,), (2,), (2, 3)]):
        end = ending((2 in axes, 3 in axes))
        one.load_state_dict({name: getattr(layer, name + end) for name in layer.cell.parameters})
        assert_close(one(x.flip(axes)).flip(axes), y[k])


def test_any_cell_with_a_block_for_each_axis():
    """The grid LSTM's idea: each axis has a state of its own."""

    @ca.cell(widths={"down": "hidden_size", "right": "hidden_size"})
    def grid(x, h, p):
        above, left = ca.split(h, p.b_d, p.b_r)
        down = ca.tanh(p.W_d @ x + p.U_d @ left + p.b_d) + above
        right = ca.tanh(p.W_r @ x + p.U_r @ down + p.b_r) + left
        h = ca.concat(down, right)
        return h

    layer = ca.MultiDimensional(grid, D, H, directions="one", dtype=torch.float64)
    y = layer(torch.randn(2, D, 3, 4, dtype=torch.float64))
    assert y.shape == (2, 2 * H, 3, 4)


# -- what every layer has


@engine_wise
def test_forms_of_input(engine):
    layer = ca.MDLSTM(D, H, engine=engine)
    x = torch.randn(2, D, 3, 4)
    y, seen = layer(x, record=("i",))
    assert y.shape == (2, 4 * H, 3, 4) and seen["i"].shape == (4, 2, H, 3, 4)
    alone, inside = layer(x[1], record=("i",))
    assert_close((alone, inside["i"]), (y[1], seen["i"][:, 1]))
    assert_close(layer(x, sizes=[[3, 2], [3, 4]])[0, ..., :2], layer(x[:1, ..., :2])[0])
    assert layer(x[:0]).shape == (0, 4 * H, 3, 4)
    assert layer.to(torch.float64)(x.double()).dtype == torch.float64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ca.MDLSTM(D, H, 0), "axes is 0"),
        (lambda: ca.MDLSTM(D, H, directions="both"), "expected one of: all, one"),
        (lambda: ca.MDLSTM(D, H, merge="mean"), "expected one of: concat, sum"),
        (lambda: ca.MultiDimensional(ca.cells.lstm, D, 3), "state h is 3 wide, expected one block for each of 2 axes"),
        (lambda: ca.MultiDimensional(ca.cells.time_aware_lstm, D, 4), "reads dt, which is given over time"),
        (lambda: ca.MDLSTM(0, H), "input_size is 0, expected at least 1"),
        (lambda: ca.MDLSTM(D, H)(torch.zeros(2, 4, 3, 3)), r"expected \(B, D, \*space\) with D = 3"),
        (
            lambda: ca.MDLSTM(D, H)(torch.zeros(2, D, 3, 3).double()),
            "x is float64, the parameters are float32",
        ),
        (lambda: ca.MDLSTM(D, H)(torch.zeros(2, D, 3, 3), sizes=[3, 3]), "for each sample its size along each axis"),
        (lambda: ca.MDLSTM(D, H)(torch.zeros(1, D, 3, 3), sizes=[[3, 4]]), r"expected numbers from 0 to \(3, 3\)"),
        (lambda: ca.MDLSTM(D, H)(torch.zeros(1, D, 3, 3), record=("q",)), "record has 'q'"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@engine_wise
def test_autocast_keeps_the_precision_of_the_recurrence(engine):
    layer, x = ca.MDLSTM(D, H, engine=engine), torch.randn(2, D, 4, 5)
    want = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(layer(x), want)
        assert layer(x.bfloat16()).dtype == torch.float32
