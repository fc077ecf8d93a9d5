"""LSTM programs written by hand: fixtures for the executor of programs, and what a planner may look up to."""

GATES = "ifgo"  # the order of torch.nn.LSTM


class Builder:
    """Collects externals and values of a program and hands out their numbers by name."""

    def __init__(self):
        self.externals, self.values, self.number_of, self.external_of = [], [], {}, {}

    def external(self, shape, role, *names):
        for name in names:
            self.external_of[name] = len(self.externals)
            self.externals.append([shape, role, name])

    def value(self, kind, width, extra, name):
        self.number_of[name] = len(self.values)
        self.values.append([kind, width, extra])

    def __getitem__(self, name):
        return self.number_of[name]

    def code(self, *lines):
        """Instructions from lines such as "fma c f c_prev tmp"."""
        rows = []
        for line in lines:
            op, *operands = line.split()
            rows.append([op, *(self[name] for name in operands), *[-1] * (4 - len(operands))])
        return rows


def lstm_forward(D, H, keep=True):
    """Externals in order: x, h0, c0, W_*, U_*, b_*, h_n, c_n, y, c and, with keep, the gates i f g o."""
    p = Builder()
    e = p.external_of
    p.external("step", "in", "x")
    p.external("batch", "in", "h0", "c0")
    p.external("matrix", "in", *(f"W_{g}" for g in GATES), *(f"U_{g}" for g in GATES))
    p.external("vector", "in", *(f"b_{g}" for g in GATES))
    p.external("batch", "out", "h_n", "c_n")
    p.external("step", "out", "y")
    if keep:
        p.external("step", "keep", "c", *GATES)
    p.value("step", D, e["x"], "x")
    p.value("previous", H, 0, "h_prev")
    p.value("previous", H, 1, "c_prev")
    p.value("new", H, 0, "h")
    p.value("new", H, 1, "c")
    p.value("temp", H, None, "tmp")
    for g in GATES:
        p.value("vector", H, e[f"b_{g}"], f"b_{g}")
        p.value("block", H, None, f"a_{g}")
        p.value(*(("step", H, e[g]) if keep else ("temp", H, None)), g)
    before = [[p[f"a_{g}"], p[f"b_{g}"], [[e[f"W_{g}"], 0, p["x"]]]] for g in GATES]
    products = [[p[g], p[f"a_{g}"], [[e[f"U_{g}"], 0, p["h_prev"]]]] for g in GATES]
    code = p.code(
        "sigmoid i i", "sigmoid f f", "tanh g g", "sigmoid o o",
        "mul tmp i g", "fma c f c_prev tmp", "tanh tmp c", "mul h o tmp",
    )  # fmt: skip
    return {
        "externals": p.externals,
        "values": p.values,
        "states": [[H, e["h0"], -1, e["h_n"], e["y"]], [H, e["c0"], -1, e["c_n"], e["c"] if keep else -1]],
        "before": [["tile", H, before, []]],
        "loop": [["tile", H, products, code]],
        "after": [],
    }


def lstm_backward(D, H):
    """Externals in order: x, h0, c0, W_*, U_*, y, c, i, f, g, o, d_y, d_h_n, d_c_n, then d_x, d_h0, d_c0, d_W_*, d_U_*,
    d_b_*, d_hi, d_ci (gradient of the initial states that resets bring in)."""
    p = Builder()
    e = p.external_of
    p.external("step", "in", "x")
    p.external("batch", "in", "h0", "c0")
    p.external("matrix", "in", *(f"W_{g}" for g in GATES), *(f"U_{g}" for g in GATES))
    p.external("step", "in", "y", "c", *GATES, "d_y")
    p.external("batch", "in", "d_h_n", "d_c_n")
    p.external("step", "out", "d_x")
    p.external("batch", "out", "d_h0", "d_c0")
    p.external("matrix", "sum", *(f"d_W_{g}" for g in GATES), *(f"d_U_{g}" for g in GATES))
    p.external("vector", "sum", *(f"d_b_{g}" for g in GATES))
    p.external("batch", "sum", "d_hi", "d_ci")
    for name, width in {"x": D, "d_y": H, "d_x": D, **dict.fromkeys(GATES, H)}.items():
        p.value("step", width, e[name], name)
    for k, name in enumerate("hc"):
        p.value("previous", H, k, f"{name}_prev")
        p.value("new", H, k, name)
        p.value("carry", H, k, f"carry_{name}")
        p.value("carry_out", H, k, f"back_{name}")
    for name in ("d_h", "d_c", "tc"):
        p.value("temp", H, None, name)
    for g in GATES:
        p.value("block", H, None, f"d_{g}")
    code = p.code(
        "add d_h carry_h d_y", "tanh tc c", "mul d_c d_h o", "dtanh d_c d_c tc", "add d_c d_c carry_c",
        "mul d_o d_h tc", "dsigmoid d_o d_o o", "mul d_i d_c g", "dsigmoid d_i d_i i",
        "mul d_f d_c c_prev", "dsigmoid d_f d_f f", "mul d_g d_c i", "dtanh d_g d_g g", "mul back_c d_c f",
    )  # fmt: skip
    back = [[p["back_h"], -1, [[e[f"U_{g}"], 1, p[f"d_{g}"]] for g in GATES]]]
    after = [[p["d_x"], -1, [[e[f"W_{g}"], 1, p[f"d_{g}"]] for g in GATES]]]
    reduce = [["matrix", e[f"d_W_{g}"], p[f"d_{g}"], p["x"]] for g in GATES]
    reduce += [["matrix", e[f"d_U_{g}"], p[f"d_{g}"], p["h_prev"]] for g in GATES]
    reduce += [["vector", e[f"d_b_{g}"], p[f"d_{g}"], -1] for g in GATES]
    return {
        "externals": p.externals,
        "values": p.values,
        "states": [
            [H, e["h0"], -1, e["y"], e["d_h_n"], e["d_h0"], e["d_hi"], 1],
            [H, e["c0"], -1, e["c"], e["d_c_n"], e["d_c0"], e["d_ci"], 1],
        ],
        "before": [],
        "loop": [["tile", H, [], code], ["tile", H, back, []]],
        "after": [["tile", D, after, []]],
        "reduce": reduce,
    }
