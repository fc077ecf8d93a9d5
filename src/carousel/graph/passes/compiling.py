"""From a cell to the native programs: lower, differentiate, clean, choose what to keep, emit. Results are cached."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from carousel.graph.cell import Cell
from carousel.graph.passes.assembling import backward_program, forward_program
from carousel.graph.passes.derivative import StepDag, differentiate
from carousel.graph.passes.lowering import clean, leaf_sources, lower
from carousel.graph.passes.plan import Kept, choose_kept

Sizes = tuple[tuple[str, int], ...]
# Kind and number: of a "step", "batch", "vector" or "matrix" its node in the trace, of "hx" or "initial" the state.
Leaf = tuple[str, int]


@dataclass(frozen=True)
class Derived:
    """A cell's step with its derivative, and what forward keeps for it."""

    step: StepDag
    kept: Kept


@lru_cache(maxsize=512)
def leaves(cell: Cell, sizes: Sizes, record: tuple[int, ...]) -> tuple[Leaf, ...]:
    """Everything that the step reads besides its states."""
    step, _ = lower(cell, dict(sizes), record, ())
    found = leaf_sources(clean(step).dag)
    return tuple((kind, source) for kind in ("step", "batch", "vector", "matrix") for source in found.get(kind, ()))


def derive(cell: Cell, sizes: Sizes, record: tuple[int, ...], wanted: Iterable[Leaf]) -> Derived:
    """The step with the gradients of the `wanted` leaves, and of the states."""
    wanted = [leaf for leaf in wanted if leaf[0] not in ("hx", "initial")]
    step, made = lower(cell, dict(sizes), record, [source for kind, source in wanted if kind == "matrix"])
    differentiate(step, [made[source] for kind, source in wanted if kind != "matrix"])
    step = clean(step)
    return Derived(step, choose_kept(step))


@lru_cache(maxsize=512)
def programs(cell: Cell, sizes: Sizes, record: tuple[int, ...], wanted: frozenset[Leaf] | None) -> str:
    """The forward and the backward program as JSON; `wanted` None is for inference, which keeps nothing.

    `record` holds the trace nodes to return at every step beside the output.
    """
    if wanted is None:
        step, _ = lower(cell, dict(sizes), record, ())
        made = {"forward": forward_program(clean(step), Kept()).as_data(), "backward": None}
    else:
        found = derive(cell, sizes, record, wanted)
        forward, backward = forward_program(found.step, found.kept), backward_program(found.step, found.kept, wanted)
        made = {"forward": forward.as_data(), "backward": backward.as_data()}
    return json.dumps(made, separators=(",", ":"))
