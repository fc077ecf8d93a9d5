"""Calls of the native core: which tensor goes where. Everything about a call but its tensors is one string of JSON.

The string (a *plan*) holds the forward and the backward program and, for each thing that they read, which of the input
tensors it is (and from which row on: PyTorch keeps an LSTM's four gates in one matrix). So a call can be recorded by
`torch.export`, pickled and run in another process that knows nothing of the cell.
Legend: T time, B batch, w a width.
"""

from __future__ import annotations

import atexit
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

_core: Any = None
MISSING: str | None = None
try:
    _core = importlib.import_module("carousel._core")
except ImportError as error:  # built without a compiler
    MISSING = f"the compiled core carousel._core is not there ({error})"

DTYPES = {torch.float32: "float32", torch.float64: "float64"}
Place = tuple[int, str, int]  # index in the list of all tensors of a call (-1: nowhere), shape, and first row or head


class Bound(NamedTuple):
    """One program, and where each of its outside tensors is found in the list of all tensors of a call."""

    program: Any
    places: list[Place]


@dataclass
class Plan:
    """A parsed plan.

    `kinds`: for each input what it has beside its columns: "step" (T, B), "batch" (B) or "parameter" (nothing).
    `outputs`: (shape, width) of what forward returns: the values of every step, the final states (so far `returned`
    many), and what is kept for backward; `used` are those that backward reads. `grads`: the inputs that backward gives
    a gradient for; `filled` says how many rows of each it writes.
    """

    forward: Bound
    backward: Bound | None
    kinds: list[str]
    outputs: list[tuple[str, int]]
    returned: int
    used: list[int] = field(default_factory=list)
    grads: list[int] = field(default_factory=list)
    filled: dict[int, int] = field(default_factory=dict)

    @property
    def output_kinds(self) -> list[str]:
        """What each output has beside its columns."""
        return [shape for shape, _ in self.outputs]


@lru_cache(maxsize=512)
def parse(text: str) -> Plan:
    """The plan of a string."""
    data = json.loads(text)
    bind: dict[str, list[int]] = data["bind"]
    forward, externals = data["forward"], data["forward"]["externals"]
    widths = {extra: width for kind, width, extra in forward["values"] if kind == "step"}
    for width, *_, final, kept in forward["states"]:
        widths |= {final: width, kept: width}
    made = sorted((_rank(name), i) for i, (_, role, name) in enumerate(externals) if role in ("out", "keep"))
    names = [externals[i][2] for _, i in made]
    outputs = [(externals[i][0], widths[i]) for _, i in made]
    kinds = [shape if shape in ("step", "batch") else "parameter" for shape in data["shapes"]]
    returned = sum(name.startswith(("out:", "final:")) for name in names)
    there = {name: len(kinds) + j for j, name in enumerate(names)}
    plan = Plan(_bind(forward, bind, there), None, kinds, outputs, returned)
    if data["backward"]:
        _add_backward(plan, data["backward"], bind, names)
    return plan


atexit.register(parse.cache_clear)  # programs go before the core does


def _rank(name: str) -> tuple[int, int]:
    kind, index = name.split(":")
    return ("out", "final", "state", "keep").index(kind), int(index)


def _bind(program: dict, bind: dict[str, list[int]], there: dict[str, int]) -> Bound:
    places: list[Place] = []
    for shape, _, name in program["externals"]:
        index, row = bind.get(name) or (there.get(name, -1), 0)
        places.append((index, shape, row))
    return Bound(_core.Program(json.dumps(program)), places)


def _add_backward(plan: Plan, program: dict, bind: dict[str, list[int]], names: list[str]) -> None:
    """The tensors of a backward call: the inputs, what forward made, the gradients of what it returned, and results."""
    inputs, outputs, externals = len(plan.kinds), len(names), [name for _, _, name in program["externals"]]
    plan.used = [j for j, name in enumerate(names) if name in externals]
    there = {name: inputs + j for j, name in enumerate(names)}
    for j, name in enumerate(names[: plan.returned]):
        there[name.replace("out:", "grad_out:").replace("final:", "d_final:")] = inputs + outputs + j
    results: dict[int, list[str]] = {}
    for name in externals:
        if name.startswith("d_") and name.removeprefix("d_") in bind:
            results.setdefault(bind[name.removeprefix("d_")][0], []).append(name)
    plan.grads = sorted(results)
    bind = dict(bind)
    for j, tensor in enumerate(plan.grads):
        for name in results[tensor]:
            bind[name] = [inputs + outputs + plan.returned + j, bind[name.removeprefix("d_")][1]]
        plan.filled[tensor] = sum(_rows(program, externals.index(name)) for name in results[tensor])
    plan.backward = _bind(program, bind, there)


def _rows(program: dict, external: int) -> int:
    """How many rows (or entries) of its tensor a parameter's gradient fills."""
    sums = (entry for entry in program["reduce"] if entry[1] == external and entry[0] != "batch")
    return next((program["values"][a][1] for _, _, a, *_ in sums), 0)


def ready(tensor: Tensor | None) -> Tensor | None:
    """The tensor as the core can read it: columns side by side."""
    if tensor is None or tensor.dim() == 0 or tensor.stride(-1) == 1 or tensor.shape[-1] <= 1:
        return tensor
    return tensor.contiguous()


def _run(side: Bound, tensors: Sequence[Tensor | None], reverse: bool, lengths: Tensor | None, resets: Tensor | None):
    x = tensors[0]
    assert x is not None
    facts = [(0, (0, 0)) if t is None else (t.data_ptr(), t.stride()) for t in tensors]
    size = x.element_size()
    pointers: list[int] = []
    strides: list[int] = []
    for index, shape, row in side.places:
        pointer, stride = facts[index] if index >= 0 else (0, (0, 0))
        if shape == "step":
            strides += stride[:2]
        elif shape == "batch":
            strides += (0, stride[0])
        elif shape == "vector":
            pointer += row * size
            strides += (0, 0)
        else:
            pointer += row * stride[0] * size
            strides += stride[-2:]
        pointers.append(pointer)
    side.program.run(
        DTYPES[x.dtype],
        x.shape[0],
        x.shape[1],
        reverse,
        pointers,
        strides,
        0 if lengths is None else lengths.data_ptr(),
        0 if resets is None else resets.data_ptr(),
        torch.get_num_threads(),
    )


def run_forward(
    text: str, reverse: bool, lengths: Tensor | None, resets: Tensor | None, inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Runs a plan's forward program. The first input is x (T, B, D).

    Returns the values of every step (T, B, w), the final states (B, w), and what backward will read.
    """
    plan = parse(text)
    tensors = [*map(ready, inputs)]
    T, B = inputs[0].shape[:2]
    new = inputs[0].new_empty
    outputs = [new((T, B, width) if shape == "step" else (B, width)) for shape, width in plan.outputs]
    _run(plan.forward, [*tensors, *outputs], reverse, lengths, resets)
    return outputs


def run_backward(
    text: str,
    reverse: bool,
    lengths: Tensor | None,
    resets: Tensor | None,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor | None],
    grads: Sequence[Tensor | None],
) -> list[Tensor]:
    """Runs a plan's backward program: from the gradients of what forward returned to those of `plan.grads`."""
    plan = parse(text)
    assert plan.backward is not None
    tensors = [ready(t) for t in inputs]
    results = _rooms(plan, inputs)
    _run(plan.backward, [*tensors, *outputs, *map(ready, grads), *results], reverse, lengths, resets)
    return results


def _rooms(plan: Plan, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Where the gradients are written. Inputs that are the columns of one tensor, all of them, get such gradients."""
    rooms: dict[int, Tensor] = {}
    for i in plan.grads:
        if i in rooms:
            continue
        own = inputs[i]
        if plan.kinds[i] == "step" and own.shape[-1] < own.stride(1):
            parts = [j for j in plan.grads if plan.kinds[j] == "step" and inputs[j].stride() == own.stride()]
            parts.sort(key=lambda j: inputs[j].storage_offset())
            whole = side_by_side([inputs[j] for j in parts])
            if whole is not None:
                widths = [inputs[j].shape[-1] for j in parts]
                rooms |= dict(zip(parts, torch.empty_like(whole).split(widths, -1), strict=True))
                continue
        rooms[i] = _room(plan, i, own)
    return [rooms[i] for i in plan.grads]


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


def _room(plan: Plan, i: int, like: Tensor) -> Tensor:
    """Where the gradient of an input is written: zeros where the program does not fill all of it."""
    if plan.kinds[i] == "parameter":
        rows = like.numel() // like.shape[-1] if like.dim() > 1 else like.numel()
        if plan.filled[i] < rows:
            return torch.zeros(like.shape, dtype=like.dtype)
    return torch.empty(like.shape, dtype=like.dtype)
