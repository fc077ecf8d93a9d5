"""Random native programs, forward and backward: all operations, widths, kinds of values and states, with values that
stay tame (every phase ends what it writes in a tanh or a bounded operation), so that results can be compared."""

import numpy as np

WIDTHS = [1, 3, 16, 25, 63, 64, 65, 130]
SMOOTH = ["copy", "neg", "sigmoid", "tanh", "softplus", "relu", "abs", "sin", "cos", "add", "sub", "mul", "maximum"]
SMOOTH += ["minimum", "fma", "fms", "fnma", "clip", "dsigmoid", "dtanh"]
STEPS = ["sign", "floor", "positive", "lt", "le", "gt", "ge", "eq", "ne", "where"]
RISKY = {"exp": [], "log": ["softplus"], "sqrt": ["abs"], "recip": ["softplus"]}  # with what makes their input safe
ARITY = dict.fromkeys(
    ["add", "sub", "mul", "maximum", "minimum", "lt", "le", "gt", "ge", "eq", "ne", "dsigmoid", "dtanh"], 2
)
ARITY |= dict.fromkeys(["fma", "fms", "fnma", "where", "clip"], 3)


class RandomProgram:
    """`.program`, and `.shapes(T, B)` and `.inputs(rng, T, B)` for its externals."""

    def __init__(self, rng, backward):
        self.rng, self.backward = rng, backward
        self.externals, self.values, self.sizes = [], [], []
        self.states, self.readable = [], {"before": [], "loop": [], "after": []}
        self.widths = [int(w) for w in rng.choice(WIDTHS, 2, replace=False)]
        self.leaves()
        self.make_states()
        sections = {name: self.section(name) for name in ("before", "loop", "after")}
        self.program = {"externals": self.externals, "values": self.values, "states": self.states, **sections}
        if backward:
            self.program["reduce"] = self.reductions()

    # ---- the tables
    def external(self, shape, role, *size):
        self.externals.append([shape, role, f"{shape} {role} {len(self.externals)}"])
        self.sizes.append(size)
        return len(self.externals) - 1

    def value(self, kind, width, extra, sections=("before", "loop", "after")):
        self.values.append([kind, width, extra])
        for name in sections:
            self.readable[name].append(len(self.values) - 1)
        return len(self.values) - 1

    def leaves(self):
        for w in {1, *self.widths}:
            for shape in ("step", "step", "batch", "vector"):
                self.value(shape, w, self.external(shape, "in", w))
            self.value("number", w, float(self.rng.normal()))
        wide = max(self.widths)
        base = self.value("step", wide, self.external("step", "in", wide))
        narrow = min(self.widths)
        self.value("view", narrow, [base, int(self.rng.integers(0, wide - narrow + 1))])

    def make_states(self):
        for k in range(self.rng.integers(1, 3)):
            w = int(self.rng.choice(self.widths))
            hx = self.external("batch", "in", w)
            initial = self.rng.choice([-1, 0, 1])
            initial = initial if initial < 0 else self.external("batch" if initial else "vector", "in", w)
            everywhere, loop = ("before", "loop", "after"), ("loop",)
            if self.backward:
                kept, carried = self.external("step", "in", w), int(self.rng.random() < 0.8)
                d_final = self.external("batch", "in", w) if self.rng.random() < 0.8 else -1
                d_hx, d_initial = self.external("batch", "out", w), self.external("batch", "sum", w)
                self.states.append([w, hx, int(initial), kept, d_final, d_hx, d_initial, carried])
                self.value("carry", w, k, loop)
                self.value("new", w, k)
            else:
                kept = self.external("step", self.rng.choice(["out", "keep"]), w) if self.rng.random() < 0.5 else -1
                self.states.append([w, hx, int(initial), self.external("batch", "out", w), kept])
            self.value("previous", w, k, everywhere if self.backward else loop)

    # ---- phases
    def pick(self, section, width, also=()):
        """A value that may be read in a phase of some width."""
        fit = [v for v in self.readable[section] if self.values[v][1] in (1, width)]
        fit = [v for v in fit if self.values[v][1] == width or self.rng.random() < 0.3] or fit
        return int(self.rng.choice([*fit, *also]))

    def instruction(self, section, dst, width, temps):
        smooth = self.rng.random() < 0.6
        op = str(self.rng.choice(SMOOTH if smooth else STEPS + list(RISKY)))
        args = [self.pick(section, width, temps) for _ in range(ARITY.get(op, 1))]
        if op == "clip":
            args[1:] = [self.value("number", 1, -0.4), self.value("number", 1, 0.6)]
        code = []
        for safe in RISKY.get(op, []):
            code.append([safe, dst, args[0], -1, -1])
            args = [dst]
            if op != "sqrt":
                code.append(["add", dst, dst, self.value("number", 1, 0.5), -1])
        return [*code, [op, dst, *args, *[-1] * (3 - len(args))], ["tanh", dst, dst, -1, -1]]

    def tile(self, section, dsts, width):
        temps, products, code = [], [], []
        for _ in range(self.rng.integers(0, 3)):
            temps.append(self.value("temp", width, None, ()))
            init = -1 if self.rng.random() < 0.4 else self.pick(section, width)
            terms = []
            for _ in range(self.rng.integers(1, 3)):
                src = int(self.rng.choice(self.readable[section]))
                size, transposed = (width, self.values[src][1]), int(self.rng.random() < 0.5)
                terms.append([self.external("matrix", "in", *(size[::-1] if transposed else size)), transposed, src])
            products.append([temps[-1], init, terms])
        for _ in range(self.rng.integers(1, 4)):
            fresh = self.value("temp", width, None, ())
            code += self.instruction(section, fresh, width, temps)
            temps.append(fresh)
        for dst in dsts:
            code += self.instruction(section, dst, width, temps)
        return ["tile", width, products, code]

    def row(self, section, dst):
        """A row operation into dst, from something of a width that fits."""
        width = self.values[dst][1]
        by_width = {}
        for v in self.readable[section]:
            by_width.setdefault(self.values[v][1], []).append(v)
        any_row = int(self.rng.choice(self.readable[section]))
        options = [("softmax", [int(self.rng.choice(by_width[width]))], 0), ("pad", [by_width[1][0]], width - 1)]
        options += [("normalize", [int(self.rng.choice(by_width[width]))], 0)] if width > 1 else []
        options += [("expand", [by_width[1][0]], width), ("concat", [by_width[1][0]] * width, 0)]
        for w, values in by_width.items():
            options += [("slice", [values[-1]], (w - width) // 2)] if w >= width else []
            options += [("blocksum", [values[-1]], w // width)] if w % width == 0 else []
        if width == 1:
            options += [("mean", [any_row], 0), ("sum", [any_row], 0), ("rstd", [any_row], 0)]
        full = [int(self.rng.choice(by_width[width])) for _ in range(2)]
        options += [("softmax_grad", full, 0), ("normalize_grad", [*full, int(self.rng.choice(by_width[1]))], 0)]
        op, sources, n = options[self.rng.integers(len(options))]
        results = [dst]
        if op == "normalize" and self.rng.random() < 0.5:
            results.append(self.value("line" if section == "loop" else "block", 1, None, ()))
        return ["row", op, results, sources, n, 0.1]

    def scratch(self, section, kind):
        """A fresh value to write, readable from the next phase on."""
        width = int(self.rng.choice([1, *self.widths]))
        if kind == "step":
            return self.value("step", width, self.external("step", str(self.rng.choice(["out", "keep"])), width), ())
        return self.value(kind, width, None, ())

    def section(self, section):
        phases = []

        def publish(dst):
            kind = self.values[dst][0]
            later = {"before": ("before", "loop", "after"), "loop": ("loop", "after"), "after": ("after",)}[section]
            for name in ("loop",) if kind in ("line", "carry_out") else later:
                self.readable[name].append(dst)

        for _ in range(self.rng.integers(0, 3)):
            dst = self.scratch(section, str(self.rng.choice(["block", "step", *["line"] * (section == "loop")])))
            if self.rng.random() < 0.4:
                phases.append(self.row(section, dst))
                for result in phases[-1][2]:
                    publish(result)
            else:
                phases.append(self.tile(section, [dst], self.values[dst][1]))
                publish(dst)
        if section == "loop":
            for k, state in enumerate(self.states):
                if self.backward and not state[-1]:
                    continue
                kind = "carry_out" if self.backward else "new"
                dst = self.value(kind, state[0], k, ())
                phases.append(self.tile(section, [dst], state[0]))
                if self.backward or state[4] < 0:
                    self.readable["loop"].append(dst)
                else:
                    publish(dst)
        return phases

    def reductions(self):
        loop_only = ("carry", "carry_out", "line", "temp")
        good = [v for v in self.readable["after"] if self.values[v][0] not in loop_only]
        out = []
        for _ in range(3):
            d, src = (int(self.rng.choice(good)) for _ in range(2))
            out.append(["matrix", self.external("matrix", "sum", self.values[d][1], self.values[src][1]), d, src])
        for v in self.rng.choice(good, 2):
            w = self.values[v][1]
            same = [i for i in good if self.values[i][1] in (1, w)]
            other = int(self.rng.choice([-1, *same]))
            out.append(["vector", self.external("vector", "sum", w), int(v), other])
            out.append(["batch", self.external("batch", "sum", w), int(v)])
        return out

    # ---- arrays
    def shapes(self, T, B):
        front = {"step": (T, B), "batch": (B,), "vector": (), "matrix": ()}
        return [(*front[e[0]], *size) for e, size in zip(self.externals, self.sizes, strict=True)]

    def inputs(self, rng, T, B, lengths=None):
        arrays = []
        for (shape, role, _), size in zip(self.externals, self.shapes(T, B), strict=True):
            missing = role != "in" or rng.random() < 0.05
            arrays.append(
                None if missing else rng.normal(size=size, scale=size[-1] ** -0.5 if shape == "matrix" else 1)
            )
            if shape == "step" and not missing and lengths is not None:
                for b, n in enumerate(lengths):
                    arrays[-1][n:, b] = np.nan
        return arrays
