"""The sides of a comparison. Each is made fresh for one shape and runs forward, or forward and backward.

A side's `forward()` gives the output (T, B, directions * H); `training()` gives the output and the gradient of the
input, having filled the gradients of the parameters. `Rival.cell` says whose equations it computes, so that what must
agree can be compared.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks import floor, loops
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
        self.gradient = data.gradient

    def forward(self) -> Tensor:
        with torch.no_grad():
            return self.call(self.data.x)

    def training(self) -> tuple[Tensor, Tensor]:
        for parameter in self.parameters:
            parameter.grad = None
        y = self.call(self.data.x)
        self.gradient = self.gradient.to(y.dtype)  # converted in the first call only, which no one times
        y.backward(self.gradient)
        assert self.data.x.grad is not None
        return y, self.data.x.grad


Make = Callable[[Shape, Data, list[loops.Weights]], Any]


def torch_lstm(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
    """PyTorch's layer. Ragged rows are packed and unpacked inside the call; it has no resets, and runs without."""
    layer = nn.LSTM(shape.I, shape.H, shape.num_layers, bidirectional=shape.bidirectional, dtype=data.x.dtype)
    fill_lstm(layer, weights)

    def call(x: Tensor) -> Tensor:
        if data.lengths is None:
            return layer(x)[0]
        packed = nn.utils.rnn.pack_padded_sequence(x, data.lengths, enforce_sorted=False)
        return nn.utils.rnn.pad_packed_sequence(layer(packed)[0], total_length=shape.T)[0]

    return Side(call, layer.parameters(), data)


def carousel_lstm(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
    import carousel

    layer = carousel.LSTM(
        shape.I, shape.H, shape.num_layers, bidirectional=shape.bidirectional, dtype=data.x.dtype, engine="native"
    )
    fill_lstm(layer, weights)
    return Side(lambda x: layer(x, lengths=data.lengths, resets=data.resets)[0], layer.parameters(), data)


def carousel_peephole(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
    import carousel
    from carousel.cells import peephole_lstm

    layer = carousel.Recurrent(
        peephole_lstm,
        shape.I,
        shape.H,
        num_layers=shape.num_layers,
        bidirectional=shape.bidirectional,
        engine="native",
    ).to(data.x.dtype)
    fill_peephole(layer, weights)
    return Side(lambda x: layer(x, lengths=data.lengths, resets=data.resets)[0], layer.parameters(), data)


def loop_side(make: Callable[[int], Callable[..., Tensor]]) -> Make:
    """A side from one of the loops."""

    def build(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
        run = make(shape.T)
        masks = loops.masks(shape.T, data.lengths, data.resets, data.x.dtype)
        own = [loops.Weights(*(w.clone().requires_grad_() for w in direction)) for direction in weights]

        def call(x: Tensor) -> Tensor:
            return loops.stacked(lambda x, w: run(x, *w, *masks), x, own, shape, torch.cat)

        return Side(call, [w for direction in own for w in direction], data)

    return build


class ScanSide:
    """`jax.lax.scan` under `jax.jit`; arrays are converted once, outside of what is timed."""

    def __init__(self, shape: Shape, data: Data, weights: list[loops.Weights]):
        import jax
        import jax.numpy as jnp

        def convert(tensor: Tensor | None):
            return None if tensor is None else jnp.asarray(tensor.detach().numpy())

        masks = [convert(mask) for mask in loops.masks(shape.T, data.lengths, data.resets, data.x.dtype)]
        run = loops.scan_loop()

        def call(x, own):
            return loops.stacked(lambda x, w: run(x, *w, *masks), x, own, shape, jnp.concatenate)

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


# -- the same sides otherwise


def without_resets(make: Make) -> Make:
    return lambda shape, data, weights: make(shape, data._replace(resets=None), weights)


def autocast(make: Make) -> Make:
    """Float32 parameters and input, and whatever `torch.autocast` makes of them."""

    def build(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
        side = make(shape, data, weights)
        plain = side.call

        def call(x: Tensor) -> Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return plain(x)

        side.call = call
        return side

    return build


def bfloat16(make: Make) -> Make:
    """Parameters, input and all else in bfloat16."""

    def build(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
        x = data.x.detach().bfloat16().requires_grad_()
        return make(shape, data._replace(x=x, gradient=data.gradient.bfloat16()), weights)

    return build


def products_alone(make: Make) -> Make:
    """The same programs without their instructions."""

    def build(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
        side = make(shape, data, weights)
        plain = side.call
        side.call = lambda x: floor.products_alone(lambda: plain(x))
        return side

    return build


def tf32(make: Make) -> Make:
    """Float32 with PyTorch's switch for recurrent layers at its TF32-like setting."""

    def build(shape: Shape, data: Data, weights: list[loops.Weights]) -> Side:
        side = make(shape, data, weights)
        forward, training = side.forward, side.training
        switch = torch.backends.mkldnn.rnn  # type: ignore[attr-defined]

        def switched(call: Callable[[], Any]) -> Callable[[], Any]:
            def run() -> Any:
                before, switch.fp32_precision = switch.fp32_precision, "tf32"
                try:
                    return call()
                finally:
                    switch.fp32_precision = before

            return run

        side.forward, side.training = switched(forward), switched(training)
        return side

    return build


def fill_lstm(layer: nn.LSTM, weights: list[loops.Weights]) -> None:
    """Gives every direction of an LSTM with PyTorch's parameters the loop's weights."""
    with torch.no_grad():
        for suffix, (W, U, _, b) in zip(suffixes(layer), weights, strict=True):
            for name, value in (("weight_ih", W), ("weight_hh", U), ("bias_ih", b)):
                layer.get_parameter(name + suffix).copy_(value)
            layer.get_parameter("bias_hh" + suffix).zero_()


def fill_peephole(layer: nn.Module, weights: list[loops.Weights]) -> None:
    """Gives every direction of `Recurrent(peephole_lstm)` the loop's weights; its cell input is called c."""
    with torch.no_grad():
        for suffix, (W, U, V, b) in zip(suffixes(layer), weights, strict=True):
            for letter, matrix in (("W", W), ("U", U), ("b", b)):
                for gate, value in zip("ifco", matrix.chunk(4), strict=True):
                    layer.get_parameter(f"{letter}_{gate}{suffix}").copy_(value)
            for gate, value in zip("ifo", V, strict=True):
                layer.get_parameter(f"V_{gate}{suffix}").copy_(value)


def suffixes(layer: Any) -> list[str]:
    ends = ("", "_reverse") if layer.bidirectional else ("",)
    return [f"_l{k}{end}" for k in range(layer.num_layers) for end in ends]


class Rival(NamedTuple):
    """Whose equations a side computes ("": nobody's), how it is made, whether it has resets, how far it may be off."""

    cell: str
    make: Make
    resets: bool = True
    tolerance: float = 1e-3  # of the largest number; float32's. Float64 has a millionth of it.


ROUGH = 0.1  # what bfloat16 may be off; how far it is, the report says

RIVALS: dict[str, Rival] = {
    BASELINE: Rival("lstm", torch_lstm, resets=False),
    "control": Rival("lstm", torch_lstm, resets=False),
    "carousel.LSTM": Rival("lstm", carousel_lstm),
    "carousel peephole": Rival("peephole", carousel_peephole),
    "Python loop": Rival("peephole", loop_side(lambda T: loops.python_loop)),
    "torch.jit.script": Rival("peephole", loop_side(lambda T: loops.script_loop())),
    "torch.compile": Rival("peephole", loop_side(loops.compiled_loop)),
    "jax.lax.scan": Rival("peephole", ScanSide),
    "carousel.LSTM without": Rival("lstm", without_resets(carousel_lstm), resets=False),
    "torch.nn.LSTM autocast": Rival("lstm", autocast(torch_lstm), resets=False, tolerance=ROUGH),
    "torch.nn.LSTM .bfloat16()": Rival("lstm", bfloat16(torch_lstm), resets=False, tolerance=ROUGH),
    "carousel.LSTM autocast": Rival("lstm", autocast(carousel_lstm), tolerance=ROUGH),
    "carousel.LSTM tf32": Rival("lstm", tf32(carousel_lstm)),
    "its products alone": Rival("", products_alone(carousel_lstm)),
}


def available() -> list[str]:
    """The rivals that this installation can run."""
    jax = importlib.util.find_spec("jax") is not None
    return [name for name in RIVALS if jax or not name.startswith("jax")]
