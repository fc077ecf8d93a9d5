"""The arguments of a cell's function: its input, states, `p`, side inputs and options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from carousel.graph.places import Place, definition_of
from carousel.graph.tracing import complain
from carousel.graph.widths import Width

RESERVED_SIDES = ("lengths", "resets", "record", "hx", "input", "state", "states", "masks", "self")
RESERVED_SIZES = (
    *("cell", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "engine", "device", "dtype", "options"),
    *("learn_initial", "checkpoint_every", "init", "initial", "fixed", "masks", "weight_dropout", "self"),
)


@dataclass(frozen=True)
class Side:
    """A side input: given at each step (T, B, w), or once a sequence (B, w).

    With `keep` it is a mask: 1/keep (scaled) or 1 (not scaled) with probability keep, else 0; in evaluation it is its
    expectation, 1 or keep.
    """

    kind: str
    width: int | str
    keep: float | None = None
    scaled: bool = True


@dataclass(frozen=True)
class StepIndex:
    """The declaration of an argument that is the index of the step, from 0."""


def per_step(width: int | str = 1) -> Any:
    """A side input given at each step: `*, e=ca.per_step("event_size")`. `*, dt` alone is `per_step(1)`.

    >>> per_step("event_size")
    Side(kind='step', width='event_size', keep=None, scaled=True)
    """
    return _side("step", width)


def static(width: int | str) -> Any:
    """A side input given once a sequence: `*, s=ca.static("static_size")`.

    >>> static("static_size").kind
    'sequence'
    """
    return _side("sequence", width)


def mask(width: int | str, per: str = "step", keep: float = 0.9, scaled: bool = True) -> Any:
    """A mask drawn anew at each step (zoneout) or once a sequence (variational dropout: `per="sequence"`).

    It is 1/keep, or 1 with scaled=False, with probability `keep`, else 0; in evaluation it is its expectation.
    Raises ValueError for another `per`, or a `keep` that is no probability above 0.

    >>> mask("hidden_size", per="sequence", keep=0.5)
    Side(kind='sequence', width='hidden_size', keep=0.5, scaled=True)
    """
    if per not in ("step", "sequence"):
        raise ValueError(f'mask: per is {per!r}, expected "step" or "sequence".')
    if not 0 < keep <= 1:
        raise ValueError(f"mask: keep is {keep!r}, expected the probability of keeping, above 0 and at most 1.")
    side = _side(per, width)
    return Side(side.kind, side.width, float(keep), scaled)


def step_index() -> Any:
    """The index of the step, from 0, one wide: `*, t=ca.step_index()`.

    >>> step_index()
    StepIndex()
    """
    return StepIndex()


def _side(kind: str, width: int | str) -> Side:
    Width.of(width)
    return Side(kind, width)


@dataclass(frozen=True)
class Arguments:
    """What a cell's signature says."""

    input: str
    states: tuple[str, ...]
    sides: dict[str, Side]
    time: str | None
    options: dict[str, Any]


def read_arguments(name: str, fn: Callable[..., Any]) -> Arguments:
    """The arguments of a cell's function; CellError where they are not `x, states, p` and keywords."""
    place = definition_of(fn.__code__)
    kinds = inspect.Parameter
    given = list(inspect.signature(fn).parameters.values())
    positional = [a for a in given if a.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    names = [a.name for a in positional]
    for argument in given:
        if argument.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD):
            complain(
                name, place, f"the argument *{argument.name} is open", fix="name every state, side input and option"
            )
    defaulted = [a.name for a in positional if a.default is not kinds.empty]
    if defaulted:
        complain(
            name,
            place,
            f"{', '.join(defaulted)} has a default but is not keyword-only",
            expected="side inputs and options after a *",
            fix=f"def {name}({', '.join(n for n in names if n not in defaulted)}, *, {defaulted[0]}=...)",
        )
    if len(names) < 3 or names[-1] != "p" or "p" in names[:-1]:
        complain(
            name,
            place,
            "the arguments are not an input, one state or more, and p",
            found=f"({', '.join(names)})",
            expected="(x, h, p): the input, the states, then p for the parameters",
            fix=f"def {name}(x, h, p): ..." if len(names) < 3 else "let p be the last positional argument",
        )
    sides, options, time = _keywords(name, place, [a for a in given if a.kind == kinds.KEYWORD_ONLY])
    return Arguments(names[0], tuple(names[1:-1]), sides, time, options)


def _keywords(
    name: str, place: Place, keywords: list[inspect.Parameter]
) -> tuple[dict[str, Side], dict[str, Any], str | None]:
    sides: dict[str, Side] = {}
    options: dict[str, Any] = {}
    time = None
    for argument in keywords:
        if isinstance(argument.default, StepIndex):
            time = argument.name
        elif argument.default is inspect.Parameter.empty:
            sides[argument.name] = per_step(1)
        elif isinstance(argument.default, Side):
            sides[argument.name] = argument.default
        else:
            options[argument.name] = argument.default
    for side in sides:
        if side in RESERVED_SIDES:
            complain(
                name, place, f"a side input cannot be called {side}", fix="rename it: the layer uses that name itself"
            )
    return sides, options, time
