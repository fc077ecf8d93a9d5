"""The native engine for streams: the same programs, with weights that stay packed and calls that are prepared once.

Legend: T time, B batch, D input features, w a width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from carousel.engines import native
from carousel.engines.native_call import DTYPES, _core, parse
from carousel.engines.params import Parameters

if TYPE_CHECKING:
    from carousel.graph import Cell


class PreparedLayer:
    """One layer: its bound program with packed weights, and a copy of all else that it reads of its parameters.

    `sides` are the side inputs given once a sequence, (B, w); `like` has the dtype of everything, but the factors of
    products are rounded to `precision`.
    """

    def __init__(
        self,
        cell: Cell,
        sizes: Mapping[str, int],
        params: Parameters,
        sides: Mapping[str, Tensor],
        like: Tensor,
        precision: str | None,
    ) -> None:
        kind = (cell.number, tuple(sizes.items()), (), params.layout, True, False, None)
        self.inputs, _, _, outside, _ = native._recipe(*kind)
        values = native._outside(cell, sizes, like, params, sides, outside) if outside else {}
        known = [_known(source, params, values) for source in self.inputs]
        self.binding = parse(native._plan(*kind, (False, ()))).forward
        written = [None] * (1 + len(cell.states))
        self.packed = self.binding.pack(DTYPES[like.dtype], _facts([*known, *written]), precision)
        kept = [shape != "matrix" for _, _, shape in self.inputs]  # nobody reads matrices once they are packed
        self.known = [t.clone() if t is not None and keep else None for t, keep in zip(known, kept, strict=True)]
        self.output_width = cell.output_width(**sizes)

    def tensors(
        self, x: Tensor, y: Tensor, states: Sequence[Tensor], sides: Mapping[str, Tensor], time: Tensor
    ) -> list[Tensor | None]:
        """All tensors of a call that reads x (T, B, D) and writes y (T, B, w), and the states (B, w) in place."""
        T, B = x.shape[:2]
        found = []
        for (what, which, shape), value in zip(self.inputs, self.known, strict=True):
            if what == "outside" and value is not None and shape in ("batch", "step"):
                value = value.expand(B, -1) if shape == "batch" else value.expand(T, B, -1)
            given = {"input": x, "time": time.expand(T, B, 1)}.get(what, value)
            found.append(states[which] if what == "hx" else sides[which] if what == "side" else given)
        return [*found, y, *(state.unsqueeze(0) for state in states)]


def _known(source: tuple[str, Any, str], params: Parameters, values: Mapping[int, Tensor]) -> Tensor | None:
    """What is known before the first step: a parameter, or what is computed from parameters."""
    what, which, _ = source
    if what == "parameter":
        return params.tensors[which].detach().contiguous()
    return values[which].contiguous() if what == "outside" else None


def _facts(tensors: Sequence[Tensor | None]) -> list[tuple[int, ...] | None]:
    """Tensors as the core takes them: address and strides."""
    return [None if t is None else (t.data_ptr(), *t.stride()) for t in tensors]


class Prepared(NamedTuple):
    """Calls of all layers for T steps, one after the other.

    `run` takes the address of a tensor (T, B, D) and writes `y` (T, B, w) and the states. Before, `sides` and `time`
    (T, 1, 1) are to be filled. `alive` is what the core reads besides.
    """

    run: Callable[[int], None]
    y: Tensor
    sides: Mapping[str, Tensor]
    time: Tensor
    alive: Sequence[Any]


def prepare(
    layers: Sequence[PreparedLayer],
    x: Tensor,
    states: Sequence[Tensor],
    sides: Mapping[str, Tensor],
    masks: Sequence[Mapping[str, Tensor]],
    threads: int,
) -> Prepared:
    """Prepares calls that read x (T, B, D) and change the states, each (layers, B, w), in place.

    All layers read `sides`, and each its own of `masks`.
    """
    T, B, _ = x.shape
    time, below, called, alive = x.new_empty(T, 1, 1), x, [], []
    for k, layer in enumerate(layers):
        y = x.new_empty(T, B, layer.output_width)
        tensors = layer.tensors(below, y, [state[k] for state in states], {**sides, **masks[k]}, time)
        called.append((layer.packed, _facts(tensors)))
        alive.append(tensors)
        below = y
    session = _core.session(called, T, B, x.data_ptr(), x.numel() * x.element_size(), threads)
    return Prepared(session.run, below, sides, time, alive)
