"""The sides of a comparison. Each is made fresh for one shape and runs forward, or forward and backward.

A side's `forward()` gives the output (T, B, directions * H); `training()` gives the output and the gradient of the
input, having filled the gradients of the parameters. `cell` says whose equations it computes, so that what must agree
can be compared.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import loops
from benchmarks.grid import Data, Shape

BASELINE = "torch.nn.LSTM"


class Plain(NamedTuple):
    """The data of a side that has neither lengths nor resets."""

    x: Tensor
    gradient: Tensor


class Side:
    """A call on PyTorch tensors, and the parameters whose gradients it fills."""

    def __init__(self, call: Callable[[Tensor], Tensor], parameters: Iterable[Tensor], data: Data | Plain):
        self.call, self.parameters, self.data = call, [*parameters, data.x], data

    def forward(self) -> Tensor:
        with torch.no_grad():
            return self.call(self.data.x)

    def training(self) -> tuple[Tensor, Tensor]:
        for parameter in self.parameters:
            parameter.grad = None
        y = self.call(self.data.x)
        y.backward(self.data.gradient)
        assert self.data.x.grad is not None
        return y, self.data.x.grad


def torch_lstm(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
    """PyTorch's layer. Ragged rows are packed and unpacked inside the call; it has no resets, and runs without."""
    layer = fill_lstm(nn.LSTM(shape.I, shape.H, bidirectional=shape.bidirectional, dtype=data.x.dtype), weights)

    def call(x: Tensor) -> Tensor:
        if data.lengths is None:
            return layer(x)[0]
        packed = nn.utils.rnn.pack_padded_sequence(x, data.lengths, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(layer(packed)[0], total_length=shape.T)[0]

    return Side(call, layer.parameters(), data)


def carousel_lstm(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
    import carousel

    layer = fill_lstm(
        carousel.LSTM(shape.I, shape.H, bidirectional=shape.bidirectional, dtype=data.x.dtype, engine="native"), weights
    )
    return Side(lambda x: layer(x, lengths=data.lengths, resets=data.resets)[0], layer.parameters(), data)


def carousel_peephole(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
    import carousel
    from carousel.cells import peephole_lstm

    layer = carousel.Recurrent(peephole_lstm, shape.I, shape.H, bidirectional=shape.bidirectional, engine="native").to(
        data.x.dtype
    )
    fill_peephole(layer, weights)
    return Side(lambda x: layer(x, lengths=data.lengths, resets=data.resets)[0], layer.parameters(), data)


def loop_side(make: Callable[[int], Callable[..., Tensor]]) -> Callable[[Shape, Data, list[loops.Weights]], Side]:
    """A side from one of the loops; the reverse direction is the loop on the reversed sequence."""

    def build(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
        run = make(shape.T)
        keep, valid = loops.masks(shape.T, data.lengths, data.resets, data.x.dtype)
        own = [loops.Weights(*(w.clone().requires_grad_() for w in direction)) for direction in weights]

        def call(x: Tensor) -> Tensor:
            outputs = [run(x, *own[0], keep, valid)]
            if shape.bidirectional:
                outputs.append(run(x.flip(0), *own[1], keep, valid).flip(0))
            return torch.cat(outputs, -1) if shape.bidirectional else outputs[0]

        return Side(call, [w for direction in own for w in direction], data)

    return build


class ScanSide:
    """`jax.lax.scan` under `jax.jit`; arrays are converted once, outside of what is timed."""

    def __init__(self, shape: Shape, data: Data, weights: list[loops.Weights]):
        import jax
        import jax.numpy as jnp

        def convert(tensor: Tensor | None):
            return None if tensor is None else jnp.asarray(tensor.detach().numpy())

        keep, valid = map(convert, loops.masks(shape.T, data.lengths, data.resets, data.x.dtype))
        run = loops.scan_loop()

        def call(x, own):
            y = run(x, *own[0], keep, valid)
            return jnp.concatenate([y, run(x[::-1], *own[1], keep, valid)[::-1]], -1) if shape.bidirectional else y

        def train(x, own, gradient):
            y, pull = jax.vjp(call, x, own)
            return y, pull(gradient)

        self.x, self.gradient = convert(data.x), convert(data.gradient)
        self.own = [tuple(convert(w) for w in direction) for direction in weights]
        self.call, self.train, self.ready = jax.jit(call), jax.jit(train), jax.block_until_ready

    def forward(self) -> Any:
        return self.ready(self.call(self.x, self.own))

    def training(self) -> tuple[Any, Any]:
        y, (dx, _) = self.ready(self.train(self.x, self.own, self.gradient))
        return y, dx


def fill_lstm(layer: nn.LSTM, weights: list[loops.Weights]) -> nn.LSTM:
    """Gives every direction of an LSTM with PyTorch's parameters the loop's weights."""
    with torch.no_grad():
        for suffix, (W, U, _, b) in zip(("", "_reverse"), weights, strict=False):
            for name, value in ((f"weight_ih_l0{suffix}", W), (f"weight_hh_l0{suffix}", U), (f"bias_ih_l0{suffix}", b)):
                layer.get_parameter(name).copy_(value)
            layer.get_parameter(f"bias_hh_l0{suffix}").zero_()
    return layer


def fill_peephole(layer: nn.Module, weights: list[loops.Weights]) -> None:
    """Gives every direction of `Recurrent(peephole_lstm)` the loop's weights; its cell input is called c."""
    with torch.no_grad():
        for suffix, (W, U, V, b) in zip(("", "_reverse"), weights, strict=False):
            for letter, matrix in (("W", W), ("U", U), ("b", b)):
                for gate, value in zip("ifco", matrix.chunk(4), strict=True):
                    layer.get_parameter(f"{letter}_{gate}_l0{suffix}").copy_(value)
            for gate, value in zip("ifo", V, strict=True):
                layer.get_parameter(f"V_{gate}_l0{suffix}").copy_(value)


# name -> (whose equations, how to make it)
RIVALS: dict[str, tuple[str, Callable]] = {
    BASELINE: ("lstm", torch_lstm),
    "control": ("lstm", torch_lstm),
    "carousel.LSTM": ("lstm", carousel_lstm),
    "carousel peephole": ("peephole", carousel_peephole),
    "Python loop": ("peephole", loop_side(lambda T: loops.python_loop)),
    "torch.jit.script": ("peephole", loop_side(lambda T: loops.script_loop())),
    "torch.compile": ("peephole", loop_side(loops.compiled_loop)),
    "jax.lax.scan": ("peephole", ScanSide),
}


def available() -> list[str]:
    """The rivals that this installation can run."""
    jax = importlib.util.find_spec("jax") is not None
    return [name for name in RIVALS if jax or not name.startswith("jax")]
