"""Engines run a cell over a sequence. One interface, several ways; which one is a matter of speed only.

An engine is a module with these functions:

- `status()`: why it is missing on this machine, or None;
- `serves(cell, x, *, resets, record)`: why it cannot run this cell on this input, or None;
- `scan(cell, sizes, x, hx, params, *, sides, lengths, resets, initial, reverse, record)`: one direction of one layer
  over a whole sequence, returning `(y, final states, seen)`. `scan` below gives the shapes.

An engine that can run the directions of a layer at the same time also has `scan_layer` (below).

`eager` defines what is right, and runs every cell. `native` and `torch` run steps on rows, `whole` runs the form for a
whole sequence that cells on tensors may bring along. `auto` takes the first in `PREFERENCE` that serves; a named engine
serves or raises.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from torch import Tensor

from carousel.engines import eager, native, torch_operator, whole
from carousel.engines.params import Direction, Parameters, each

if TYPE_CHECKING:
    from carousel.graph import AnyCell

__all__ = [
    "Direction",
    "Parameters",
    "asked",
    "check_name",
    "choose",
    "scan",
    "scan_layer",
    "serves",
    "status",
    "use_engine",
]

PREFERENCE: dict[str, ModuleType] = {"native": native, "torch": torch_operator, "whole": whole, "eager": eager}

_chosen = threading.local()  # a context variable would stop torch.compile


@contextmanager
def use_engine(name: str) -> Iterator[None]:
    """Within the block, layers of this thread that leave the engine open ("auto") run on `name`.

    Raises ValueError for a name that is no engine, and the layers raise it where the engine cannot serve.

    >>> with use_engine("eager"):
    ...     pass
    """
    check_name(name)
    before = getattr(_chosen, "name", "auto")
    _chosen.name = name
    try:
        yield
    finally:
        _chosen.name = before


def check_name(name: str) -> str:
    """`name` if it is "auto" or an engine's name; ValueError otherwise."""
    if name != "auto" and name not in PREFERENCE:
        raise ValueError(f"engine is {name!r}, expected one of: auto, {', '.join(PREFERENCE)}.")
    return name


def asked(name: str = "auto") -> str:
    """The engine that somebody asks for who names `name`: where that is "auto", the one of `use_engine`.

    >>> with use_engine("eager"):
    ...     asked(), asked("native")
    ('eager', 'native')
    """
    return getattr(_chosen, "name", "auto") if name == "auto" else name


def status() -> dict[str, str | None]:
    """For each engine why it is missing on this machine, or None where it is there.

    >>> status()["eager"] is None
    True
    """
    return {name: engine.status() for name, engine in PREFERENCE.items()}


def serves(
    name: str, cell: AnyCell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()
) -> str | None:
    """Why the engine `name` cannot run `cell` on `x`, or None if it can."""
    return PREFERENCE[name].status() or PREFERENCE[name].serves(cell, x, resets=resets, record=record)


def choose(name: str, cell: AnyCell, x: Tensor, *, resets: Tensor | None = None, record: Sequence[str] = ()) -> str:
    """The engine to run `cell` on `x`: the one named by the layer, or else by `use_engine`, or else the best.

    Raises ValueError, with the reason, if the named engine cannot serve.
    """
    name = asked(name)
    if name != "auto":
        reason = serves(name, cell, x, resets=resets, record=record)
        if reason:
            raise ValueError(f'{cell.name}: engine="{name}" cannot run this: {reason}. Use engine="auto".')
        return name
    for candidate in PREFERENCE:
        # Where our own engine is only missing, the reference is meant to run.
        if candidate == "torch" and x.device.type == "cpu":
            continue
        if serves(candidate, cell, x, resets=resets, record=record) is None:
            return candidate
    raise AssertionError("the eager engine serves everything")


def scan(
    name: str,
    cell: AnyCell,
    sizes: Mapping[str, int],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    params: Parameters | Mapping[str, Tensor],
    *,
    sides: Mapping[str, Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    initial: Sequence[Tensor] | None,
    reverse: bool = False,
    record: Sequence[str] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs one direction of one layer over a whole sequence on the engine `name`.

    Legend: T time, B batch, D input features, w the width of what is meant, or the shape where a state is a matrix.

    Args:
        cell: the equations, and `sizes` the numbers for its symbolic sizes.
        x: (T, B, D), read only within each row's length.
        hx: for each state (B, w), the state before the first step; None is `initial`.
        params: by the cell's names, tensors of `cell.shapes(**sizes)`, or `Parameters` that may be rows of larger ones.
        sides: by name, (T, B, w) for side inputs per step and (B, w) for those per sequence.
        lengths: (B,) int64 on the CPU, or None where every row has T steps.
        resets: (T, B) bool on x's device, or None. Before a step that is set, the row's state becomes `initial`;
            in reverse the cut lies between t and t - 1.
        initial: for each state (w,) or (B, w), the cell's own initial state; None is zero.
        reverse: steps run from each row's end to 0; results stand at the time of their input.
        record: names of quantities of the cell to return at every step.

    Returns:
        y (T, B, w), zero past each row's end; for each state its value (B, w) at the row's own end; and by name what
        was recorded, (T, B, w), zero past each row's end. All are differentiable with respect to all float tensors
        that were passed.
    """
    return PREFERENCE[name].scan(
        cell,
        sizes,
        x,
        hx,
        params,
        sides=sides,
        lengths=lengths,
        resets=resets,
        initial=initial,
        reverse=reverse,
        record=record,
    )


def scan_layer(
    name: str,
    cell: AnyCell,
    sizes: Mapping[str, int],
    x: Tensor,
    directions: Sequence[Direction],
    *,
    lengths: Tensor | None,
    resets: Tensor | None,
    record: Sequence[str] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """Runs all directions of one layer, as `scan` does each; they differ in nothing but what `Direction` holds.

    Returns:
        y (T, B, D * w), the directions side by side; for each state (D, B, w); and by name (D, T, B, w).
    """
    engine = PREFERENCE[name]
    run = getattr(engine, "scan_layer", None) or each(engine.scan)
    return run(cell, sizes, x, directions, lengths=lengths, resets=resets, record=record)
