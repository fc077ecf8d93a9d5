"""Cells to test with: published ones and made-up ones that together use everything the equations can say."""
# ruff: noqa: B008 (side inputs are declared by calls in the signature)

import torch

from carousel.cells import (
    clockwork_rnn,
    context_unit,
    elman,
    entity_aware_lstm,
    fast_grnn_low_rank,
    gated_antisymmetric_rnn,
    gru,
    gru_reset_before,
    indrnn,
    intersection_rnn,
    layer_norm_lstm,
    lipschitz_rnn,
    lstm,
    lstm_1997,
    lstm_cifg,
    lstm_fgr,
    lstmp,
    min_gru,
    peephole_lstm,
    peephole_lstm_c,
    phased_lstm,
    projected_lstm,
    recurrent_highway,
    scrn,
    slstm,
    sru,
    time_aware_lstm,
)
from carousel.graph import (
    Cell,
    abs,
    cell,
    clip,
    concat,
    cos,
    exp,
    floor,
    identity,
    log,
    mask,
    maximum,
    mean,
    minimum,
    normalize,
    per_step,
    plain,
    relu,
    sigmoid,
    sin,
    slice,
    softmax,
    softplus,
    split,
    sqrt,
    static,
    step_index,
    sum,
    tanh,
    where,
)

# -- published cells, or close to them


@cell
def zoneout_lstm(x, h, c, p, *, z_h=mask("hidden_size", scaled=False), z_c=mask("hidden_size", scaled=False)):
    """Units keep their old value at random (Krueger et al., 2017)."""
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c_new = f * c + i * g
    h_new = o * tanh(c_new)
    c = z_c * c_new + (1 - z_c) * c
    h = z_h * h_new + (1 - z_h) * h
    return h, c


@cell
def dropout_lstm(x, h, c, p, *, m_x=mask("input_size", per="sequence"), m_h=mask("hidden_size", per="sequence")):
    """One mask a sequence (Gal & Ghahramani, 2016)."""
    x = m_x * x
    h = m_h * h
    i = sigmoid(p.W_i @ x + p.U_i @ h + p.b_i)
    f = sigmoid(p.W_f @ x + p.U_f @ h + p.b_f)
    g = tanh(p.W_c @ x + p.U_c @ h + p.b_c)
    o = sigmoid(p.W_o @ x + p.U_o @ h + p.b_o)
    c = f * c + i * g
    h = o * tanh(c)
    return h, c


# -- made up


@cell
def shared_transpose(x, h, p):
    """One matrix both ways, squashed, with blocks."""
    up = tanh(sigmoid(p.W) @ x + p.b)
    down = tanh(sigmoid(p.W).T @ (up + h))
    return relu(p.R.blocks(2) @ up - (2 * p.R.blocks(2)) @ h) + p.V @ down


@cell(widths={"read": "slot_size", "keys": "slots"})
def soft_lookup(x, h, p):
    """softmax over slots, and its weighted read."""
    keys = softmax(p.K @ h + p.Q @ x)
    read = p.M @ keys
    return tanh(p.W @ concat(x, h, read) + p.b)


@cell
def fused_gates(x, h, c, p):
    """One matrix for all gates, split."""
    i, f, g, o = split(p.W @ x + p.U @ h + p.b, h, h, h, h)
    c = sigmoid(f) * c + sigmoid(i) * tanh(g)
    h = sigmoid(o) * tanh(c)
    return h, c


@cell(widths={"n": 1})
def counting(x, h, n, p, *, t=step_index()):
    """Rows one wide: a state, means, sums, the index of the step."""
    n = 0.5 * n + mean(h) + sum(x * x) / 7
    wave = sin(p.omega * t + p.phi) + cos(0.1 * t)
    spread = sqrt(mean((h - mean(h)) ** 2) + 0.1)
    h = tanh(p.W @ x + p.U @ h + p.v * n) * wave / spread
    return h, n


@cell
def kinks(x, h, c, p, *, e=per_step("event_size"), s=static("static_size")):
    """Everything that has a kink, and comparisons."""
    a = p.W @ x + p.U @ h + p.E @ e + p.S @ s
    b = minimum(maximum(a, c), 0.5 * p.b)
    inside = where(a >= b, abs(a), -0.3 * b)
    either = where((a > 0.7) * (c <= 0.1), 0.2 * a, clip(a, -0.6, 0.9))
    c = 0.5 * c + 0.1 * inside + floor(3 * b) * 0.01 * a
    h = relu(either) - 0.5 * softplus(c) + where(h != c, 0.1 * h, h)
    return h, c


@cell(fixed={"b": 0.0}, init={"W_*": torch.nn.init.orthogonal_, "gain": [1.0, 0.5]}, initial={"h": 0.25})
def observer(x, h, c, p):
    """An output that does not recur, a fixed bias, an initial state that is not zero."""
    c = tanh(p.W_c @ x + p.U_c @ h + p.b) + 0.3 * c
    h = normalize(c + p.U_h @ h) * p.gain
    y = log(1 + exp(p.W_y @ h)) - x
    return y, h, c


@cell(widths={"head": 2, "tail": "hidden_size"})
def sliced(x, h, c, p):
    """Parts of rows, by number and by the width of another row."""
    joined = concat(p.W_2 @ x, h, c)
    head = slice(joined, 0, 2)
    tail = slice(joined, head, concat(head, h))
    rest = slice(joined, concat(head, h))
    c = tanh(p.A @ head + p.U @ tail + rest)
    h = sigmoid(p.V @ joined) * c
    return h, c


@cell
def zoneout_gru(x, h, p, *, z=mask("hidden_size", keep=0.8, scaled=False)):
    """A cell called inside a cell."""
    new = gru(x, h, p)
    return z * new + (1 - z) * h


@cell
def residual_slstm(x, h, c, n, m, p):
    """A cell called inside a cell, with options and its own initial states."""
    y, c, n, m = slstm(x, h, c, n, m, p, heads=2)
    h = y + 0.1 * h
    return h, c, n, m


@cell
def autonomous(x, h, c, p):
    """A state that is read but hardly changes, another that only the output reads."""
    c = c * sigmoid(p.d)
    h = tanh(p.W @ x + p.U @ c + 0.1 * h * p.g)
    return h, c


PUBLISHED = [elman, elman.with_(f=relu), lstm, peephole_lstm, gru, projected_lstm]
# Each with something in it that the others lack:
REGISTERED = [
    clockwork_rnn,
    context_unit,
    entity_aware_lstm,
    fast_grnn_low_rank,
    gated_antisymmetric_rnn,
    gru_reset_before,
    indrnn,
    intersection_rnn,
    layer_norm_lstm,
    lipschitz_rnn,
    lstm_1997,
    lstm_cifg,
    lstm_fgr,
    lstmp,
    min_gru,
    peephole_lstm_c,
    phased_lstm,
    recurrent_highway,
    scrn,
    slstm,
    sru,
    time_aware_lstm,
]
ALL = list(dict.fromkeys([*PUBLISHED, *REGISTERED, *(v for v in list(globals().values()) if isinstance(v, Cell))]))
ALL += [peephole_lstm.with_(truncate=True, out=identity), lstm_1997.with_(truncate=True), slstm.with_(heads=2)]
IDS = [f"{c.name}{k}" if any(c.name == d.name and c is not d for d in ALL) else c.name for k, c in enumerate(ALL)]

DEFAULT_SIZES = {
    **{"input_size": 5, "hidden_size": 8, "proj_size": 4, "nonrecurrent_size": 3, "static_size": 7, "blocks": 4},
    **{"slots": 6, "slot_size": 2, "event_size": 3, "context_size": 3, "input_rank": 3, "hidden_rank": 2},
}


def sizes_of(c, **changes):
    """Concrete sizes for a cell; `observer` needs its output as wide as its input, which unification says."""
    return {name: changes.get(name, DEFAULT_SIZES[name]) for name in c.sizes}


def parameters_of(c, sizes, dtype=torch.float64, scale=0.5, generator=None):
    """Random parameters of a cell, with numbers of init= and fixed= respected."""
    found = {}
    for name, shape in c.shapes(**sizes).items():
        start = {**c.init, **c.fixed}.get(name)
        if isinstance(start, float):
            found[name] = start + 0.1 * torch.rand(shape, dtype=dtype, generator=generator)
        else:
            found[name] = scale * torch.randn(shape, dtype=dtype, generator=generator)
    return found


def states_of(c, sizes, B, dtype=torch.float64, generator=None):
    """Random states (B, w); positive where the cell divides by one."""
    found = []
    for name, width in zip(c.states, c.state_widths(**sizes), strict=True):
        state = 0.5 * torch.randn(B, width, dtype=dtype, generator=generator)
        if name == "n":
            state = state.abs() + 0.5
        found.append(torch.full_like(state, c.initial[name]) if c.initial[name] else state)
    return tuple(found)


def sides_of(c, sizes, T, B, dtype=torch.float64, generator=None):
    """Random side inputs: (T, B, w) at each step, (B, w) once a sequence; masks drawn as a layer would."""
    found = {}
    for name, side in c.sides.items():
        width = c.side_width(name, **sizes)
        shape = (T, B, width) if side.kind == "step" else (B, width)
        value = torch.rand(shape, dtype=dtype, generator=generator)
        if side.keep is not None:
            value = (value < side.keep).to(dtype) / (side.keep if side.scaled else 1)
        elif name in ("dt", "time"):
            value = 9 * value
        found[name] = value
    return found


def run_plain(c, x, states, parameters, sides):
    """The cell's own function on plain tensors, step after step: y (T, B, w), and the final states."""
    p, ys = plain(parameters), []
    S = len(c.states)
    for t in range(x.shape[0]):
        now = {name: value[t] if c.sides[name].kind == "step" else value for name, value in sides.items()}
        if c.time is not None:
            now[c.time] = torch.full((1, 1), float(t), dtype=x.dtype)
        returned = c(x[t], *states, p, **now)
        returned = returned if isinstance(returned, tuple) else (returned,)
        ys.append(returned[0])
        states = returned[-S:]
    return torch.stack(ys), tuple(states)
