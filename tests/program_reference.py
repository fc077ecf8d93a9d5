"""A plain numpy executor of the native program format: what the C++ core has to compute, in the clearest way.

It is slow on purpose and works in float64. Scratch starts as NaN, and `line` and `temp` values are poisoned again
at every step and phase, so that a program which reads what it has not written shows it.
"""

import numpy as np

ELEMENTWISE = {
    "copy": lambda a: a,
    "neg": lambda a: -a,
    "sigmoid": lambda a: np.where(a >= 0, 1.0, np.exp(-abs(a))) / (1.0 + np.exp(-abs(a))),
    "tanh": np.tanh,
    "exp": np.exp,
    "log": np.log,
    "softplus": lambda a: np.maximum(a, 0.0) + np.log1p(np.exp(-abs(a))),
    "relu": lambda a: np.maximum(a, 0.0),
    "abs": abs,
    "sign": lambda a: (a > 0) * 1.0 - (a < 0) * 1.0,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "recip": lambda a: 1.0 / a,
    "positive": lambda a: (a > 0) * 1.0,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "lt": lambda a, b: (a < b) * 1.0,
    "le": lambda a, b: (a <= b) * 1.0,
    "gt": lambda a, b: (a > b) * 1.0,
    "ge": lambda a, b: (a >= b) * 1.0,
    "eq": lambda a, b: (a == b) * 1.0,
    "ne": lambda a, b: (a != b) * 1.0,
    "fma": lambda a, b, c: a * b + c,
    "fms": lambda a, b, c: a * b - c,
    "fnma": lambda a, b, c: c - a * b,
    "where": lambda a, b, c: np.where(a != 0, b, c),
    "clip": lambda a, b, c: np.minimum(np.maximum(a, b), c),
    "dsigmoid": lambda a, b: a * b * (1.0 - b),
    "dtanh": lambda a, b: a * (1.0 - b * b),
}


def _mean(a):
    return a.mean(axis=1, keepdims=True)


def _sum(a):
    return a.sum(axis=1, keepdims=True)


def _softmax(a):
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / _sum(e)


def _pad(a, n, width):
    out = np.zeros((len(a), width))
    out[:, n : n + a.shape[1]] = a
    return out


# row operations: (sources, n, eps, width of the result) -> rows
ROW = {
    "mean": lambda s, n, eps, w: _mean(s[0]),
    "sum": lambda s, n, eps, w: _sum(s[0]),
    "softmax": lambda s, n, eps, w: _softmax(s[0]),
    "normalize": lambda s, n, eps, w: (s[0] - _mean(s[0])) / np.sqrt(s[0].var(axis=1, keepdims=True) + eps),
    "rstd": lambda s, n, eps, w: 1.0 / np.sqrt(s[0].var(axis=1, keepdims=True) + eps),
    "normalize_grad": lambda s, n, eps, w: s[2] * (s[0] - _mean(s[0]) - s[1] * _mean(s[0] * s[1])),
    "softmax_grad": lambda s, n, eps, w: s[1] * (s[0] - _sum(s[0] * s[1])),
    "expand": lambda s, n, eps, w: np.repeat(s[0], n, axis=1),
    "blocksum": lambda s, n, eps, w: s[0].reshape(len(s[0]), w, n).sum(axis=2),
    "slice": lambda s, n, eps, w: s[0][:, n : n + w],
    "pad": lambda s, n, eps, w: _pad(s[0], n, w),
    "concat": lambda s, n, eps, w: np.concatenate(s, axis=1),
}


def to_bfloat16(a):
    """Rounded to the nearest bfloat16, ties to even."""
    bits = a.astype(np.float32).view(np.uint32).astype(np.uint64)
    kept = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return np.where(np.isnan(a), np.nan, kept.astype(np.uint32).view(np.float32).astype(np.float64))


def parts_of(a, precision):
    """The numbers whose sum stands for a factor of a product, the largest first."""
    if precision == "split":
        high = to_bfloat16(a)
        return [high, to_bfloat16(a - high)]
    return [to_bfloat16(a) if precision == "bfloat16" else a]


def product(a, b, precision):
    """a @ b, without the products of smaller parts alone."""
    one, other = parts_of(a, precision), parts_of(b, precision)
    return sum(p @ q for i, p in enumerate(one) for q in other[: len(other) - i])


class Execution:
    """One run of a program over arrays, which are written in place (None: a missing input, which means zeros)."""

    def __init__(self, program, T, B, reverse, arrays, lengths=None, resets=None, precision=None):
        self.program, self.T, self.B, self.reverse, self.arrays = program, T, B, reverse, arrays
        self.precision = precision
        self.lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
        self.resets = np.zeros((T, B), bool) if resets is None else np.asarray(resets).astype(bool)
        self.backward = bool(program["states"]) and len(program["states"][0]) == 8
        self.scratch = {i: np.full((T, B, w), np.nan) for i, (_, w, _) in enumerate(program["values"])}
        self.ring = [np.full((T, B, s[0]), np.nan) for s in program["states"]]
        self.carried = [np.full((T, B, s[0]), np.nan) for s in program["states"]]

    # ---- which steps
    def active(self, t):
        return np.nonzero(t < self.lengths)[0]

    def first(self, t, b):
        """Whether t is the step that row b processes first."""
        return t == (self.lengths[b] - 1 if self.reverse else 0)

    def last(self, t, b):
        return t == (0 if self.reverse else self.lengths[b] - 1)

    def reset(self, t, b):
        """Whether row b starts anew before processing t; in reverse the cut of resets[t + 1] lies there."""
        if self.reverse:
            return t + 1 < self.lengths[b] and self.resets[t + 1, b]
        return self.resets[t, b]

    def neighbour(self, t, by):
        """The step processed `by` steps later."""
        return t - by if self.reverse else t + by

    # ---- operands
    def batch_row(self, external, b, width):
        array = self.arrays[external] if external >= 0 else None
        return np.zeros(width) if array is None else array if array.ndim == 1 else array[b]

    def state_array(self, k):
        kept = self.program["states"][k][3 if self.backward else 4]
        missing = kept >= 0 and self.arrays[kept] is None
        return np.zeros_like(self.ring[k]) if missing else self.ring[k] if kept < 0 else self.arrays[kept]

    def previous(self, k, t, b):
        width, hx, initial = self.program["states"][k][:3]
        if self.reset(t, b):
            return self.batch_row(initial, b, width)
        if self.first(t, b):
            return self.batch_row(hx, b, width)
        return self.state_array(k)[self.neighbour(t, -1), b]

    def carry(self, k, t, b):
        width, _, _, _, d_final, _, _, carried = self.program["states"][k]
        if self.last(t, b):
            return self.batch_row(d_final, b, width)
        after = self.neighbour(t, 1)
        return np.zeros(width) if self.reset(after, b) or not carried else self.carried[k][after, b]

    def read(self, value, t, rows):
        """The rows of a value at step t, (n, width)."""
        kind, width, extra = self.program["values"][value]
        if kind == "view":
            return self.read(extra[0], t, rows)[:, extra[1] : extra[1] + width]
        if kind == "number":
            return np.full((len(rows), width), float(extra))
        if kind in ("step", "batch", "vector") and self.arrays[extra] is None:
            return np.zeros((len(rows), width))
        if kind == "vector":
            return np.broadcast_to(self.arrays[extra], (len(rows), width))
        if kind in ("previous", "carry"):
            one = self.previous if kind == "previous" else self.carry
            return np.array([one(extra, t, b) for b in rows]).reshape(len(rows), width)
        return self.place(value)[t, rows] if kind != "batch" else self.arrays[extra][rows]

    def place(self, value):
        """The (T, B, width) array in which a value that may be written lives."""
        kind, width, extra = self.program["values"][value]
        if kind == "view":
            return self.place(extra[0])[:, :, extra[1] : extra[1] + width]
        if kind == "step":
            return self.arrays[extra]
        if kind == "new":
            return self.state_array(extra)
        if kind == "carry_out":
            return self.carried[extra]
        assert kind in ("block", "line", "temp"), f"{kind} cannot be written"
        return self.scratch[value]

    # ---- phases
    def poison(self, kind):
        for i, value in enumerate(self.program["values"]):
            if value[0] == kind:
                self.scratch[i][:] = np.nan

    def matrix(self, external, transposed, shape):
        m = self.arrays[external]
        if m is None:
            return np.zeros(shape)
        m = m.T if transposed else m
        assert m.shape == shape, f"matrix {external} has shape {m.shape}, the product needs {shape}"
        return m

    def tile(self, W, products, code, t, rows):
        self.poison("temp")
        for dst, init, segments in products:
            total = np.zeros((len(rows), W)) if init < 0 else np.broadcast_to(self.read(init, t, rows), (len(rows), W))
            for external, transposed, src in segments:
                a = self.read(src, t, rows)
                matrix = self.matrix(external, transposed, (W, a.shape[1]))
                total = total + product(a, matrix.T, self.precision)
            self.place(dst)[t, rows] = total
        for op, dst, *sources in code:
            args = [self.read(v, t, rows) for v in sources if v >= 0]
            self.place(dst)[t, rows] = np.broadcast_to(ELEMENTWISE[op](*args), (len(rows), W))

    def row(self, op, results, sources, n, eps, t, rows):
        args = [self.read(v, t, rows) for v in sources]
        for one, dst in zip((op, "rstd"), results, strict=False):
            self.place(dst)[t, rows] = ROW[one](args, n, eps, self.program["values"][dst][1])

    def section(self, name, t):
        rows = self.active(t)
        for kind, *rest in self.program[name] if len(rows) else []:
            (self.tile if kind == "tile" else self.row)(*rest, t, rows)

    def reduce(self, t):
        rows = self.active(t)
        for kind, external, *rest in self.program.get("reduce", []):
            a, *b = (self.read(v, t, rows) for v in rest if v >= 0)
            if kind == "matrix":
                self.arrays[external] += product(a.T, b[0], self.precision)
            elif kind == "vector":
                self.arrays[external] += (a * b[0] if b else a).sum(axis=0)
            else:
                self.arrays[external][rows] += a

    # ---- the run
    def run(self):
        roles = [role for _, role, _ in self.program["externals"]]
        for array, role, (shape, *_) in zip(self.arrays, roles, self.program["externals"], strict=True):
            if role == "sum":
                array[:] = 0.0
            if role == "out" and shape == "step":
                for b in range(self.B):
                    array[self.lengths[b] :, b] = 0.0
        order = range(self.T)[::-1] if self.reverse != self.backward else range(self.T)
        for t in order:
            self.section("before", t)
        for t in order:
            self.poison("line")
            self.section("loop", t)
            if self.backward:
                self.deliver(t)
        for t in order:
            self.section("after", t)
            self.reduce(t)
        self.finish()

    def deliver(self, t):
        """Hands the carry of rows that start at t to the gradient of what they started from."""
        for k, (_, _, _, _, _, d_hx, d_initial, carried) in enumerate(self.program["states"]):
            for b in self.active(t) if carried else []:
                if self.reset(t, b):
                    if d_initial >= 0:
                        self.arrays[d_initial][b] += self.carried[k][t, b]
                elif self.first(t, b) and d_hx >= 0:
                    self.arrays[d_hx][b] = self.carried[k][t, b]

    def finish(self):
        for k, state in enumerate(self.program["states"]):
            for b in range(self.B):
                start = self.lengths[b] - 1 if self.reverse else 0
                if not self.backward and state[3] >= 0:
                    end = 0 if self.reverse else self.lengths[b] - 1
                    from_hx = self.batch_row(state[1], b, state[0])
                    self.arrays[state[3]][b] = self.state_array(k)[end, b] if self.lengths[b] else from_hx
                if self.backward and state[5] >= 0:
                    if self.lengths[b] == 0:
                        self.arrays[state[5]][b] = self.batch_row(state[4], b, state[0])
                    elif self.reset(start, b) or not state[7]:
                        self.arrays[state[5]][b] = 0.0


def run_program(program, T, B, arrays, reverse=False, lengths=None, resets=None, precision=None):
    """Runs a program over float64 arrays, one an external: (T,B,w), (B,w), (w,) or (rows, columns), or None.

    With `precision` "bfloat16" the factors of products are rounded to that, with "split" to the sum of two of those."""
    with np.errstate(all="ignore"):
        Execution(program, T, B, reverse, arrays, lengths, resets, precision).run()
