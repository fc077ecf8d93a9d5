"""What a layer's products alone take: its own programs, emptied of instructions and run by the same core.

A plain `torch.mm` is no floor for a recurrence: it reaches half of what the core's kernels do on some processors, and
all of a sequence's rows at once on none of a step's. So the floor has the same products, in the same sizes and order,
with the same meetings of threads. What later products read, and what is returned or kept, is still stored.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from carousel.engines import native

Phase = list[Any]


def products_alone(call: Callable[[], Any]) -> Any:
    """What `call` returns when the native engine runs programs without their instructions: numbers without meaning.

    A backward pass runs the program that its forward pass was given, and so may be run outside.
    """
    full = native.call
    native.call = lambda text, *rest: full(emptied_plan(text), *rest)
    try:
        return call()
    finally:
        native.call = full


@lru_cache(maxsize=64)
def emptied_plan(text: str) -> str:
    """A plan of the native engine with emptied programs."""
    runs = json.loads(text)
    for run in runs:
        run |= {way: emptied(run[way]) for way in ("forward", "backward") if run[way]}
    return json.dumps(runs)


def emptied(program: dict[str, Any]) -> dict[str, Any]:
    """A program's products, and one copy into whatever its instructions wrote for others to read. Operations on rows
    go."""
    sections = {
        name: [empty_tile(program, phase) for phase in program[name] if phase[0] == "tile"]
        for name in ("before", "loop", "after")
    }
    # what only made values for an operation on rows is left with nothing to do
    return program | {name: [p for p in phases if p[2] or p[3]] for name, phases in sections.items()}


def empty_tile(program: dict[str, Any], phase: Phase) -> Phase:
    """Copies of what the products gave or, where there are none, of the first thing that was read."""
    kind, width, products, code = phase
    temporary = {n for n, value in enumerate(program["values"]) if value[0] == "temp"}
    written = dict.fromkeys(dst for _, dst, *_ in code if dst not in temporary)
    sources = [dst for dst, *_ in products] or [
        n for _, _, *read in code for n in read if n >= 0 and n not in temporary and n not in written
    ][:1]
    copies = [["copy", dst, src, -1, -1] for dst, src in zip(written, itertools.cycle(sources), strict=False)]
    return [kind, width, products, copies]
