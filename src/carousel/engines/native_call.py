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
from collections.abc import Callable, Sequence
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

Place = tuple[str, int, int]  # which list of tensors, the index in it, and the row (or head) at which it starts
DTYPES = {torch.float32: "float32", torch.float64: "float64"}


@dataclass
class Side:
    """One program and where its outside tensors are found."""

    program: Any
    shapes: list[str]
    places: list[Place]


@dataclass
class Plan:
    """A parsed plan. `outputs` are (shape, width) of what forward returns: the values of every step, the final states,
    and what is kept for backward; `grads` the input tensors that backward gives a gradient for."""

    forward: Side
    backward: Side | None
    outputs: list[tuple[str, int]]
    returned: int
    steps: int
    grads: list[int] = field(default_factory=list)
    covered: dict[int, int] = field(default_factory=dict)
    shapes: dict[int, str] = field(default_factory=dict)
    used_outputs: list[int] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """For each input what it has beside its columns: "step" (T, B), "batch" (B) or "parameter" (nothing)."""
        rows = {"step": "step", "batch": "batch", "hx": "batch", "initial": "batch"}
        return [rows.get(self.shapes.get(i, "step"), "parameter") for i in range(max(self.shapes) + 1)]

    @property
    def output_kinds(self) -> list[str]:
        """The same for what forward returns."""
        return [shape for shape, _ in self.outputs]


@lru_cache(maxsize=512)
def parse(text: str) -> Plan:
    """The plan of a string."""
    data = json.loads(text)
    bind: dict[str, list[int]] = data["bind"]
    forward, externals = data["forward"], data["forward"]["externals"]
    widths = {extra: width for kind, width, extra in forward["values"] if kind == "step"}
    states = forward["states"]
    for width, *_, final, kept in states:
        widths[final] = width
        if kept >= 0:
            widths[kept] = width
    made = sorted((_rank(name), i) for i, (_, role, name) in enumerate(externals) if role in ("out", "keep"))
    order = {externals[i][2]: j for j, (_, i) in enumerate(made)}
    outputs = [(externals[i][0], widths[i]) for _, i in made]
    steps = sum(name.startswith("out:") for name in order)
    plan = Plan(_side(forward, bind, order, steps), None, outputs, steps + len(states), steps)
    if data["backward"]:
        _add_backward(plan, data["backward"], bind, order)
    plan.shapes |= {tensor: kind.split(":")[0] for kind, (tensor, _) in bind.items()}
    return plan


atexit.register(parse.cache_clear)  # programs go before the core does


def _rank(name: str) -> tuple[int, int]:
    kind, index = name.split(":")
    return ("out", "final", "state", "keep").index(kind), int(index)


def _side(program: dict, bind: dict[str, list[int]], order: dict[str, int], steps: int) -> Side:
    places: list[Place] = []
    for _, _, name in program["externals"]:
        kind, _, rest = name.partition(":")
        if name in bind:
            places.append(("inputs", bind[name][0], bind[name][1]))
        elif name in order:
            places.append(("outputs", order[name], 0))
        elif kind in ("grad_out", "d_final"):
            places.append(("grads", int(rest) + (0 if kind == "grad_out" else steps), 0))
        else:
            tensor, row = bind[name.removeprefix("d_")]
            places.append(("results", tensor, row))
    core = _core.Program(json.dumps(program))
    return Side(core, [shape for shape, _, _ in program["externals"]], places)


def _add_backward(plan: Plan, program: dict, bind: dict[str, list[int]], order: dict[str, int]) -> None:
    plan.backward = side = _side(program, bind, order, plan.steps)
    for (_, _, name), (kind, tensor, _) in zip(program["externals"], side.places, strict=True):
        if kind == "results":
            plan.covered[tensor] = plan.covered.get(tensor, 0) + program_rows(program, name)
        if kind == "outputs" and tensor not in plan.used_outputs:
            plan.used_outputs.append(tensor)
    plan.grads = sorted(plan.covered)


def program_rows(program: dict, name: str) -> int:
    """How many rows (or entries) of its tensor a gradient fills."""
    index = next(i for i, (_, _, other) in enumerate(program["externals"]) if other == name)
    for kind, external, a, *_ in program["reduce"]:
        if external == index and kind in ("matrix", "vector"):
            return program["values"][a][1]
    return 0


def ready(tensor: Tensor) -> Tensor:
    """The tensor as the core can read it: columns side by side."""
    return tensor if tensor.dim() == 0 or tensor.stride(-1) == 1 or tensor.shape[-1] <= 1 else tensor.contiguous()


def _address(tensor: Tensor | None, shape: str, start: int) -> tuple[int, int, int]:
    if tensor is None:
        return 0, 0, 0
    pointer, size = tensor.data_ptr(), tensor.element_size()
    if shape == "step":
        return pointer, tensor.stride(0), tensor.stride(1)
    if shape == "batch":
        return pointer, 0, tensor.stride(0)
    if shape == "vector":
        return pointer + start * size, 0, 0
    return pointer + start * tensor.stride(0) * size, tensor.stride(-2), tensor.stride(-1)


def _run(side: Side, x: Tensor, reverse: bool, lengths: Tensor | None, resets: Tensor | None, lists: dict) -> None:
    pointers: list[int] = []
    strides: list[int] = []
    for shape, (kind, index, start) in zip(side.shapes, side.places, strict=True):
        pointer, s0, s1 = _address(lists[kind][index], shape, start)
        pointers.append(pointer)
        strides += (s0, s1)
    T, B = x.shape[:2]
    side.program.run(
        DTYPES[x.dtype],
        T,
        B,
        reverse,
        pointers,
        strides,
        0 if lengths is None else lengths.data_ptr(),
        0 if resets is None else resets.data_ptr(),
        torch.get_num_threads(),
    )


def allocate(plan: Plan, x: Tensor, new: Callable[..., Tensor]) -> list[Tensor]:
    """Room for what forward returns; `new` is `x.new_empty`."""
    T, B = x.shape[:2]
    return [new((T, B, width) if shape == "step" else (B, width)) for shape, width in plan.outputs]


def run_forward(
    text: str, reverse: bool, lengths: Tensor | None, resets: Tensor | None, inputs: Sequence[Tensor]
) -> list[Tensor]:
    """Runs a plan's forward program. The first input is x (T, B, D).

    Returns the values of every step (T, B, w), the final states (B, w), and what backward will read.
    """
    plan = parse(text)
    inputs = [ready(t) for t in inputs]
    outputs = allocate(plan, inputs[0], inputs[0].new_empty)
    _run(plan.forward, inputs[0], reverse, lengths, resets, {"inputs": inputs, "outputs": outputs})
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
    inputs = [ready(t) for t in inputs]
    grads = [None if g is None else ready(g) for g in grads]
    results = {tensor: gradient_room(plan, tensor, inputs[tensor]) for tensor in plan.grads}
    lists = {"inputs": inputs, "outputs": outputs, "grads": grads, "results": results}
    _run(plan.backward, inputs[0], reverse, lengths, resets, lists)
    return [results[tensor] for tensor in plan.grads]


def gradient_room(plan: Plan, tensor: int, like: Tensor) -> Tensor:
    """Where the gradient of an input is written: zeros where the program does not fill all of it."""
    if plan.shapes[tensor] in ("matrix", "vector"):
        rows = like.numel() // like.shape[-1] if like.dim() > 1 else like.numel()
        if plan.covered[tensor] < rows:
            return torch.zeros(like.shape, dtype=like.dtype)
    return torch.empty(like.shape, dtype=like.dtype)
