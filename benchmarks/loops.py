"""The peephole LSTM as it is written without Carousel: in Python, TorchScript, torch.compile and jax.lax.scan.

Every one does what a careful author does: the four gates are one matrix, the input projection is one product before
the loop. Gates stand in PyTorch's order i, f, g, o; the peepholes V (3, H) in the order i, f, o. With V = 0 this is
the plain LSTM. Every one takes and returns (T, B, ...), and reads a mask where there are resets or lengths.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.grid import Shape


class Weights(NamedTuple):
    """One direction's weights."""

    W: Tensor  # (4H, I)
    U: Tensor  # (4H, H)
    V: Tensor  # (3, H)
    b: Tensor  # (4H,)


class Masks(NamedTuple):
    """What lengths and resets say, as factors: (T, B, 1), or None where there is nothing to say."""

    keep: Tensor | None  # 0 where the state is reset before the step
    valid: Tensor | None  # 0 past a row's end


def draw_weights(shape: Shape, seed: int, dtype: torch.dtype = torch.float32) -> list[Weights]:
    """Weights of every direction of every layer, in the order of PyTorch's parameters."""
    return [_draw(features, shape.H, seed + k, dtype) for k, features in enumerate(shape.inputs)]


def _draw(I: int, H: int, seed: int, dtype: torch.dtype) -> Weights:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((4 * H, I), (4 * H, H), (3, H), (4 * H,))
    bound = H**-0.5
    return Weights(*(torch.empty(s, dtype=dtype).uniform_(-bound, bound, generator=generator) for s in shapes))


def stacked(run: Callable[[Any, Weights], Any], x: Any, weights: list[Weights], shape: Shape, join: Callable) -> Any:
    """`run` for every direction of every layer: the reverse one is the loop on the reversed sequence."""
    for k in range(0, len(weights), shape.directions):
        outputs = [run(x, weights[k])]
        if shape.bidirectional:
            outputs.append(turned(run(turned(x), weights[k + 1])))
        x = join(outputs, -1) if shape.bidirectional else outputs[0]
    return x


def turned(x: Any) -> Any:
    """The sequence from its end; PyTorch's tensors have no negative strides."""
    return x.flip(0) if isinstance(x, Tensor) else x[::-1]


def masks(T: int, lengths: Tensor | None, resets: Tensor | None, dtype: torch.dtype) -> Masks:
    keep = None if resets is None else (~resets).unsqueeze(-1).to(dtype)
    valid = None if lengths is None else (torch.arange(T).unsqueeze(1) < lengths).unsqueeze(-1).to(dtype)
    return Masks(keep, valid)


def step(a: Tensor, c: Tensor, V: Tensor) -> tuple[Tensor, Tensor]:
    """The elementwise part: a (B, 4H), c (B, H), V (3, H) to h and c (B, H)."""
    i, f, g, o = a.chunk(4, 1)
    i = torch.sigmoid(i + V[0] * c)
    f = torch.sigmoid(f + V[1] * c)
    c = f * c + i * torch.tanh(g)
    h = torch.sigmoid(o + V[2] * c) * torch.tanh(c)
    return h, c


def python_loop(
    x: Tensor,
    W: Tensor,
    U: Tensor,
    V: Tensor,
    b: Tensor,
    keep: Tensor | None,
    valid: Tensor | None,
    advance: Callable[..., tuple[Tensor, Tensor]] = step,
) -> Tensor:
    """x (T, B, I) to y (T, B, H)."""
    T, B, H = x.shape[0], x.shape[1], U.shape[1]
    z = torch.addmm(b, x.reshape(T * B, -1), W.t()).view(T, B, 4 * H)
    h, c = x.new_zeros(B, H), x.new_zeros(B, H)
    U_t = U.t()
    outputs = []
    for t, z_t in enumerate(z.unbind(0)):
        if keep is not None:
            h, c = h * keep[t], c * keep[t]
        h_new, c_new = advance(torch.addmm(z_t, h, U_t), c, V)
        if valid is not None:
            h_new, c_new = torch.lerp(h, h_new, valid[t]), torch.lerp(c, c_new, valid[t])
        h, c = h_new, c_new
        outputs.append(h)
    y = torch.stack(outputs)
    return y if valid is None else y * valid


def script_loop() -> Callable[..., Tensor]:
    """The same loop in TorchScript, which wants its types spelled out and no callable arguments."""
    return torch.jit.script(_scripted)


def _scripted(
    x: Tensor, W: Tensor, U: Tensor, V: Tensor, b: Tensor, keep: Tensor | None, valid: Tensor | None
) -> Tensor:
    T, B, H = x.shape[0], x.shape[1], U.shape[1]
    z = torch.addmm(b, x.reshape(T * B, -1), W.t()).view(T, B, 4 * H)
    h, c = x.new_zeros(B, H), x.new_zeros(B, H)
    outputs = []
    for t in range(T):
        if keep is not None:
            h, c = h * keep[t], c * keep[t]
        i, f, g, o = torch.addmm(z[t], h, U.t()).chunk(4, 1)
        i = torch.sigmoid(i + V[0] * c)
        f = torch.sigmoid(f + V[1] * c)
        c_new = f * c + i * torch.tanh(g)
        h_new = torch.sigmoid(o + V[2] * c_new) * torch.tanh(c_new)
        if valid is not None:
            h_new, c_new = torch.lerp(h, h_new, valid[t]), torch.lerp(c, c_new, valid[t])
        h, c = h_new, c_new
        outputs.append(h)
    y = torch.stack(outputs)
    if valid is not None:
        y = y * valid
    return y


def compiled_loop(T: int) -> Callable[..., Tensor]:
    """torch.compile of the whole loop, unrolled, up to 32 steps; of the step alone above (minutes otherwise)."""
    if T <= 32:
        return torch.compile(python_loop, dynamic=False)
    return functools.partial(python_loop, advance=torch.compile(step, dynamic=False))


def scan_loop() -> Callable:
    """`jax.lax.scan` on JAX arrays, not yet compiled by `jax.jit`."""
    import jax
    import jax.numpy as jnp

    def run(x, W, U, V, b, keep, valid):
        B, H = x.shape[1], U.shape[1]
        z = x @ W.T + b

        def advance(carry, inputs):
            (h, c), (z_t, keep_t, valid_t) = carry, inputs
            if keep_t is not None:
                h, c = h * keep_t, c * keep_t
            i, f, g, o = jnp.split(z_t + h @ U.T, 4, axis=1)
            i = jax.nn.sigmoid(i + V[0] * c)
            f = jax.nn.sigmoid(f + V[1] * c)
            c_new = f * c + i * jnp.tanh(g)
            h_new = jax.nn.sigmoid(o + V[2] * c_new) * jnp.tanh(c_new)
            if valid_t is not None:
                h_new, c_new = jnp.where(valid_t > 0, h_new, h), jnp.where(valid_t > 0, c_new, c)
            return (h_new, c_new), h_new

        zero = jnp.zeros((B, H), x.dtype)
        _, y = jax.lax.scan(advance, (zero, zero), (z, keep, valid))
        return y if valid is None else y * valid

    return run
