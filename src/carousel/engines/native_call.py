"""Calls of the native core: which tensor goes where. Everything about a call but its tensors is one string of JSON.

The string (a *plan*) holds for each direction of a layer the forward and the backward program and, for each thing that
they read, which of the input tensors it is (and from which row on: PyTorch keeps an LSTM's four gates in one matrix).
So a call can be recorded by `torch.export`, pickled and run in another process that knows nothing of the cell.
Legend: T time, B batch, D directions, w a width.
"""

from __future__ import annotations

import atexit
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

_core: Any = None
MISSING: str | None = None
try:
    _core = importlib.import_module("carousel._core")
except ImportError as error:  # built without a compiler
    MISSING = f"the compiled core carousel._core is not there ({error})"

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
Place = tuple[int, int, int]  # index in the list of all tensors of a call (-1: nowhere), into its first axis, column
NOWHERE = (-1, 0, 0)


@dataclass
class Plan:
    """A parsed plan.

    `kinds`: for each input, direction after direction, what it has beside its columns: "step" (T, B), "batch" (B) or
    "parameter" (nothing). `outputs`: kind and width of what forward returns: "step" (T, B), "steps" (D, T, B) or
    "states" (D, B). First (`returned` many) the values of every step and the final states, in which all directions
    have a share, then for each direction what is kept for backward, side by side; `used` are those that backward
    reads. `precision`: what factors of products are rounded to, None for their dtype. `grads`: the inputs that backward
    gives a gradient for; `filled` says how many rows of each it writes.
    """

    forward: Any
    backward: Any
    directions: int
    kinds: list[str]
    outputs: list[tuple[str, int]]
    returned: int
    precision: str | None
    used: list[bool] = field(default_factory=list)
    grads: list[int] = field(default_factory=list)
    filled: dict[int, int] = field(default_factory=dict)

    @property
    def output_kinds(self) -> list[str]:
        """What each output has beside its columns."""
        return [kind for kind, _ in self.outputs]


@lru_cache(maxsize=512)
def parse(text: str) -> Plan:
    """The plan of a string."""
    runs = json.loads(text)
    kinds = [shape if shape in ("step", "batch") else "parameter" for run in runs for shape in run["shapes"]]
    backward = _core.Binding() if any(run["backward"] for run in runs) else None
    plan = Plan(_core.Binding(), backward, len(runs), kinds, [], 0, runs[0]["precision"])
    shared = _made(runs[0]["forward"], "out", "final")
    for name, width in shared:
        kind = "states" if name.startswith("final:") else "step" if name == "out:0" else "steps"
        plan.outputs.append((kind, width * len(runs) if kind == "step" else width))
    plan.returned = len(shared)
    kept = [_made(run["forward"], "state", "keep") for run in runs]
    plan.outputs += [("step", sum(width for _, width in own)) for own in kept if own]
    plan.used = [False] * len(plan.outputs)
    first_input, first_kept = 0, len(kinds) + plan.returned
    for d, run in enumerate(runs):
        there: dict[str, Place] = {}
        for j, (name, width) in enumerate(shared):
            there[name] = (len(kinds) + j, 0, d * width) if name == "out:0" else (len(kinds) + j, d, 0)
        column = 0
        for name, width in kept[d]:
            there[name] = (first_kept, 0, column)
            column += width
        there |= {name: (first_input + i, row, 0) for name, (i, row) in run["bind"].items()}
        _bind(plan.forward, run["forward"], run["reverse"], there)
        if run["backward"]:
            _add_backward(plan, run, there, first_input)
        first_input, first_kept = first_input + len(run["shapes"]), first_kept + bool(kept[d])
    return plan


atexit.register(parse.cache_clear)  # programs go before the core does


def _made(program: dict, *kinds: str) -> list[tuple[str, int]]:
    """Names and widths of what a forward program makes, of some kinds, in order."""
    externals = program["externals"]
    widths = {extra: width for kind, width, extra in program["values"] if kind == "step"}
    for width, *_, final, kept in program["states"]:
        widths |= {final: width, kept: width}
    found = [(name.split(":"), i) for i, (_, role, name) in enumerate(externals) if role in ("out", "keep")]
    ordered = sorted((kinds.index(kind), int(number), i) for (kind, number), i in found if kind in kinds)
    return [(externals[i][2], widths[i]) for _, _, i in ordered]


def _bind(binding: Any, program: dict, reverse: bool, there: dict[str, Place]) -> None:
    places = [there.get(name, NOWHERE) for _, _, name in program["externals"]]
    binding.add(_core.Program(json.dumps(program)), reverse, places)


def _add_backward(plan: Plan, run: dict, there: dict[str, Place], first_input: int) -> None:
    """The tensors of a backward call: the inputs, what forward made, the gradients of what it returned, and results."""
    program, inputs, outputs = run["backward"], len(plan.kinds), len(plan.outputs)
    names = {name: i for i, (_, _, name) in enumerate(program["externals"])}
    for name in names.keys() & there.keys():
        if there[name][0] >= inputs:
            plan.used[there[name][0] - inputs] = True
    grads = dict(there)
    for name, (index, lead, column) in there.items():
        given = name.replace("out:", "grad_out:").replace("final:", "d_final:")
        if given != name:
            grads[given] = (index + outputs, lead, column)
    results: dict[int, list[str]] = {}
    for name in names:
        if name.startswith("d_") and name.removeprefix("d_") in run["bind"]:
            results.setdefault(run["bind"][name.removeprefix("d_")][0], []).append(name)
    for tensor in sorted(results):
        for name in results[tensor]:
            row = run["bind"][name.removeprefix("d_")][1]
            grads[name] = (inputs + outputs + plan.returned + len(plan.grads), row, 0)
        plan.filled[first_input + tensor] = sum(_rows(program, names[name]) for name in results[tensor])
        plan.grads.append(first_input + tensor)
    _bind(plan.backward, program, run["reverse"], grads)


def _rows(program: dict, external: int) -> int:
    """How many rows (or entries) of its tensor a parameter's gradient fills."""
    sums = (entry for entry in program["reduce"] if entry[1] == external and entry[0] != "batch")
    return next((program["values"][a][1] for _, _, a, *_ in sums), 0)


def ready(tensor: Tensor | None) -> Tensor | None:
    """The tensor as the core can read it: columns side by side."""
    if tensor is None or tensor.dim() == 0 or tensor.stride(-1) == 1 or tensor.shape[-1] <= 1:
        return tensor
    return tensor.contiguous()


def _run(
    binding: Any, tensors: Sequence[Tensor | None], lengths: Tensor | None, resets: Tensor | None, precision: str | None
) -> None:
    x = tensors[0]
    assert x is not None
    T, B, _ = x.shape
    binding.run(
        DTYPES[x.dtype],
        T,
        B,
        [None if t is None else (t.data_ptr(), *t.stride()) for t in tensors],
        0 if lengths is None else lengths.data_ptr(),
        0 if resets is None else resets.data_ptr(),
        torch.get_num_threads(),
        precision,
    )


def shape_of(plan: Plan, kind: str, width: int, T: int, B: int) -> tuple[int, ...]:
    """The shape of an output."""
    if kind == "step":
        return (T, B, width)
    return (plan.directions, B, width) if kind == "states" else (plan.directions, T, B, width)


def run_forward(text: str, lengths: Tensor | None, resets: Tensor | None, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Runs a plan's forward programs. The first input of each direction is x (T, B, w).

    Returns the values of every step, (T, B, D * w) first and (D, T, B, w), the final states (D, B, w), and what
    backward will read.
    """
    plan = parse(text)
    tensors = [*map(ready, inputs)]
    T, B, _ = inputs[0].shape
    new = inputs[0].new_empty
    outputs = [new(shape_of(plan, kind, width, T, B)) for kind, width in plan.outputs]
    _run(plan.forward, [*tensors, *outputs], lengths, resets, plan.precision)
    return outputs


def run_backward(
    text: str,
    lengths: Tensor | None,
    resets: Tensor | None,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    """Runs a plan's backward programs: from the gradients of what forward returned to those of `plan.grads`."""
    plan = parse(text)
    results = _rooms(plan, inputs)
    _run(plan.backward, [*map(ready, inputs), *outputs, *map(ready, grads), *results], lengths, resets, plan.precision)
    return results


def _rooms(plan: Plan, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Where the gradients are written. Inputs that are the columns of one tensor, all of them, get such gradients."""
    rooms: dict[int, Tensor] = {}
    for i in plan.grads:
        own = inputs[i]
        if plan.kinds[i] == "parameter":
            rows = own.numel() // own.shape[-1] if own.dim() > 2 else own.shape[0]
            rooms[i] = _room(own) if plan.filled[i] >= rows else torch.zeros_like(own)
        elif i not in rooms and plan.kinds[i] == "step" and own.shape[-1] < own.stride(1):
            rooms |= _shared_rooms(plan, i, inputs)
        elif i not in rooms:
            rooms[i] = _room(own)
    return [rooms[i] for i in plan.grads]


def _room(like: Tensor) -> Tensor:
    # of the same layout if that will do: it is the faster call
    return torch.empty_like(like) if like.stride(-1) == 1 else like.new_empty(like.shape)


def _shared_rooms(plan: Plan, i: int, inputs: Sequence[Tensor]) -> dict[int, Tensor]:
    """The gradients of the i-th input and those beside it, if together they are all columns of one tensor."""
    parts = [j for j in plan.grads if plan.kinds[j] == "step" and inputs[j].stride() == inputs[i].stride()]
    parts.sort(key=lambda j: inputs[j].storage_offset())
    whole = side_by_side([inputs[j] for j in parts])
    if whole is None:
        return {i: _room(inputs[i])}
    widths = [inputs[j].shape[-1] for j in parts]
    return dict(zip(parts, torch.empty_like(whole).split(widths, -1), strict=True))


def side_by_side(parts: Sequence[Tensor]) -> Tensor | None:
    """The contiguous tensor whose columns the parts are, in that order; None if they are not.

    >>> whole = torch.arange(12).view(2, 6)
    >>> torch.equal(side_by_side(whole.split([2, 4], -1)), whole), side_by_side([whole[:, :2], whole[:, 3:]])
    (True, None)
    """
    first, at = parts[0], parts[0].storage_offset()
    storage = first.untyped_storage().data_ptr()
    for part in parts:
        if part.untyped_storage().data_ptr() != storage or part.storage_offset() != at:
            return None
        at += part.shape[-1]
    shape = (*first.shape[:-1], at - first.storage_offset())
    strides = torch.empty(shape, device="meta").stride()
    if any(part.stride() != strides or part.shape[:-1] != first.shape[:-1] for part in parts):
        return None
    return first.as_strided(shape, strides)
