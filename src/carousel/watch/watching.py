"""A copy of a net whose recurrent layers report every scan, in the engines' layout; the net itself is left alone.

Legend: T time, N rows of the batch, w the shape of what is meant.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from carousel.layers import ConvRecurrent, Recurrent, replace
from carousel.layers import stack as driver
from carousel.layers.drop_in import DropIn

Scan = Callable[..., tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]]


@dataclass(kw_only=True)
class Scanned:
    """One scan of one direction of a layer: the states that it was given, or None, and those with which it ended.

    `lengths` (N,): how many of its steps are real in each row.
    """

    name: str
    given: Sequence[Tensor] | None
    final: Sequence[Tensor]
    lengths: Tensor
    reverse: bool

    def continues(self, before: Scanned) -> bool:
        """Whether it takes up the states with which the scan before ended: a net may call a layer step by step."""
        if self.given is None or self.reverse:
            return False
        pairs = zip(self.given, before.final, strict=True)
        return all(a.shape == b.shape and torch.equal(a, b) for a, b in pairs)


S = TypeVar("S", bound=Scanned)


def sequences(scans: Iterable[S]) -> dict[str, list[S]]:
    """The scans by name, together where one continues the other; the second sequence of a layer is "l0 (2)"."""
    found: dict[str, list[S]] = {}
    count: dict[str, int] = {}
    for scan in scans:
        key = _numbered(scan.name, count.get(scan.name, 1))
        if key in found and not scan.continues(found[key][-1]):
            count[scan.name] = count.get(scan.name, 1) + 1
            key = _numbered(scan.name, count[scan.name])
        found.setdefault(key, []).append(scan)
    return found


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name} ({number})"


@contextmanager
def watched(what: str, model: nn.Module, scan: Scan) -> Iterator[nn.Module]:
    """A copy of `model` whose layers run through `scan`; PyTorch's LSTM, GRU and RNN become those of Carousel.

    `scan` is called as `carousel.engines.scan` for each direction of each layer, after its name, such as
    `encoder.l0_reverse`. Random numbers that are drawn within the block are given back. Raises TypeError for what is no
    net, ValueError for a net without such layers.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"{what}: model is a {type(model).__name__}, expected a torch.nn.Module.")
    net = replace(copy.deepcopy(model)).requires_grad_(False)
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, Recurrent | DropIn)}
    for name, layer in layers.items():
        if isinstance(layer, ConvRecurrent):
            raise ValueError(f"{what}: the layer {name or 'itself'} reads images, expected layers that read rows.")
        layer._stack = partial(_stack, layer._stack, scan, name)  # type: ignore[method-assign]
    if not layers:
        raise ValueError(
            f"{what}: {type(model).__name__} contains no Recurrent, LSTM, GRU or RNN, of Carousel or of PyTorch."
        )
    with torch.random.fork_rng(), torch.enable_grad(), _uncompiled():
        yield net


def _uncompiled() -> AbstractContextManager:
    """A block in which what torch.compile has wrapped runs as it is written."""
    compiles = "torch._dynamo" in sys.modules  # importing it takes a second
    return torch.compiler.set_stance("force_eager") if compiles else nullcontext()


def _stack(original: Callable[[], driver.Stack], scan: Scan, name: str) -> driver.Stack:
    stack = original()
    ends = (end[1:] for end in driver.suffixes(stack.num_layers, stack.bidirectional))
    name = name.replace("_orig_mod", "").strip(".")  # torch.compile's wrapping
    names = (f"{name}.{end}" if name else end for end in ends)
    return stack._replace(scan=lambda *args, **options: scan(next(names), *args, **options), checkpoint_every=None)


def call(model: nn.Module, batch: Any) -> Any:
    """The net's result for a batch: one input, a tuple of arguments, or a mapping of keywords."""
    if isinstance(batch, Mapping):
        return model(**batch)
    several = isinstance(batch, tuple) and not isinstance(batch, PackedSequence)
    return model(*batch) if several else model(batch)


def lengths_of(lengths: Tensor | None, x: Tensor) -> Tensor:
    """Lengths (N,) of x (T, N, D), which are T where none are given."""
    return torch.full((x.shape[1],), x.shape[0]) if lengths is None else lengths
