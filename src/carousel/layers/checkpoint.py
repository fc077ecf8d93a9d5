"""Long sequences in bounded memory: only the states at every k-th step are kept, the rest is computed again.

Legend: T time, B batch, w the width of what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from carousel.engines.params import Parameters, choose, starts

if TYPE_CHECKING:
    from carousel.graph import AnyCell


def scan(
    every: int | None,
    run: Callable,
    engine: str,
    cell: AnyCell,
    sizes: Mapping[str, int],
    x: Tensor,
    hx: Sequence[Tensor] | None,
    params: Parameters | Mapping[str, Tensor],
    **options: Any,
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
    """`run`, that is `engines.scan` or one like it, in segments of `every` steps that the backward pass computes again.

    None keeps everything.
    """
    if every is None or len(x) <= every or not torch.is_grad_enabled():
        return run(engine, cell, sizes, x, hx, params, **options)
    lengths, resets, reverse = options["lengths"], options["resets"], options["reverse"]
    pieces = _pieces(cell, every, x, options)
    first, options["initial"] = starts(cell, sizes, x, hx, options["initial"])
    state, found = list(first), []
    for number in reversed(range(len(pieces))) if reverse else range(len(pieces)):
        if reverse and resets is not None and number + 1 < len(pieces):
            state = _cut(resets, lengths, (number + 1) * every, state, options["initial"])
        x_piece, more = pieces[number]

        def segment(x: Tensor, *state: Tensor, more: dict = more) -> Any:
            return run(engine, cell, sizes, x, state, params, **more)

        # Masks were drawn before, so there is no random state to keep.
        y, state, seen = checkpoint(segment, x_piece, *state, use_reentrant=False, preserve_rng_state=False)
        found.append((y, seen))
    if reverse:
        found.reverse()
    y = torch.cat([y for y, _ in found])
    return y, tuple(state), {name: torch.cat([seen[name] for _, seen in found]) for name in options["record"]}


def _pieces(cell: AnyCell, every: int, x: Tensor, options: Mapping[str, Any]) -> list[tuple[Tensor, dict]]:
    """Everything that has a time axis in segments: for each, x and the options of its scan.

    `split` and not slices: its gradient is one concatenation, not a sum of as many full-sized tensors.
    """
    xs = x.split(every)
    n = len(xs)
    resets = [None] * n if options["resets"] is None else options["resets"].split(every)
    lengths, sides = options["lengths"], options["sides"]
    split = {s: value.split(every) if cell.sides[s].kind == "step" else [value] * n for s, value in sides.items()}
    pieces = []
    for k, piece in enumerate(xs):
        own = {"resets": resets[k], "sides": {s: parts[k] for s, parts in split.items()}}
        if lengths is not None:
            own["lengths"] = (lengths - k * every).clamp(0, len(piece))
        pieces.append((piece, {**options, **own}))
    return pieces


def _cut(resets: Tensor, lengths: Tensor | None, t: int, state: Sequence[Tensor], initial: Sequence[Tensor]) -> list:
    """The state that the segment before `t` takes over in reverse: the initial one in rows that `t` resets."""
    cut = resets[t] if lengths is None else resets[t] & (t < lengths).to(resets.device)
    return choose(cut, initial, state)
