"""The last reference for cells on images: their own function, one sample at a time, with `@` a convolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Kernel:
    """A parameter whose `@` convolves images (B, *space, C)."""

    def __init__(self, value: Tensor, dims: int) -> None:
        self.value, self.dims = value, dims

    def blocks(self, heads: int) -> Kernel:
        return self

    def __matmul__(self, image: Tensor) -> Tensor:
        groups = self.value.shape[0] if self.value.dim() > 2 + self.dims else 1
        kernel = self.value.flatten(0, 1) if groups > 1 else self.value
        around = [n for k in reversed(kernel.shape[2:]) for n in ((k - 1) // 2, k // 2)]
        made = CONVOLUTIONS[self.dims](F.pad(image.movedim(-1, 1), around), kernel, groups=groups)
        return made.movedim(1, -1)


class Parameters:
    """`p` for a cell on images: kernels, vectors (w,), and vectors with a value for each position, (w, *space)."""

    def __init__(self, layer, end: str) -> None:
        self.layer, self.end = layer, end

    def __getattr__(self, name: str):
        value = getattr(self.layer, name + self.end)
        if self.layer.cell.step.parameters[name].kind == "matrix":
            return Kernel(value, self.layer.dims)
        return value.movedim(0, -1) if value.dim() > 1 else value


def run(layer, x, hx=None, *, lengths=None, resets=None, **sides):
    """y (T, B, w, *space) and the states (L, B, w, *space) of a layer, computed in the most obvious way."""
    B = x.shape[1]
    found = []
    for b in range(B):
        T = len(x) if lengths is None else int(lengths[b])
        own = {n: v[:T, b] if layer.cell.sides[n].kind == "step" else v[b] for n, v in sides.items()}
        cuts = [] if resets is None else resets[:T, b].tolist()
        start = None if hx is None else [h[:, b].movedim(1, -1) for h in hx]
        found.append(_sample(layer, x[:T, b].movedim(1, -1), start, cuts, own))
    ys = [F.pad(y.movedim(-1, 1), [0, 0] * (y.dim() - 1) + [0, len(x) - len(y)]) for y, _ in found]
    states = [torch.stack(rows, 1).movedim(-1, 2) for rows in zip(*(s for _, s in found), strict=True)]
    return torch.stack(ys, 1), tuple(states)


def _sample(layer, x, start, cuts, sides):
    """One sample x (T, *space, C), through all layers and directions."""
    directions, finals = 2 if layer.bidirectional else 1, []
    for number in range(layer.num_layers):
        outputs = []
        for direction in range(directions):
            k = number * directions + direction
            hx = None if start is None else [h[k] for h in start]
            end = f"_l{number}" + ("_reverse" if direction else "")
            y, final = _direction(layer, end, x, hx, cuts, sides, direction == 1)
            outputs.append(y)
            finals.append(final)
        x = torch.cat(outputs, -1)
    return x, [torch.stack(rows) for rows in zip(*finals, strict=True)]


def _direction(layer, end, x, hx, cuts, sides, reverse):
    cell, p, space = layer.cell, Parameters(layer, end), x.shape[1:-1]
    sizes = {**layer.sizes, "input_size": x.shape[-1]}
    widths = cell.state_widths(**sizes)
    learned = [getattr(layer, f"initial_{s}{end}", None) for s in cell.states]
    fresh = [
        x.new_full((1, *space, w), cell.initial[s]) if own is None else own.expand(1, *space, w)
        for s, w, own in zip(cell.states, widths, learned, strict=True)
    ]
    state, ys, T = fresh if hx is None else [h[None] for h in hx], {}, len(x)
    for t in reversed(range(T)) if reverse else range(T):
        cut = t + 1 if reverse else t
        if cut < len(cuts) and cuts[cut]:
            state = fresh
        given = {n: _spread(v[t] if cell.sides[n].kind == "step" else v, space) for n, v in sides.items()}
        out = cell.fn(x[t][None], *state, p, **cell.options, **given)
        out = out if isinstance(out, tuple) else (out,)
        state = out[len(out) - len(state) :]
        ys[t] = out[0][0]
    empty = x.new_zeros(0, *space, cell.output_width(**sizes))
    return torch.stack([ys[t] for t in range(T)]) if T else empty, [s[0] for s in state]


def _spread(value, space):
    """A side input (w,) or (w, *space) as an image (1, *space, w)."""
    return value.movedim(0, -1)[None] if value.dim() > 1 else value.expand(1, *space, len(value))
