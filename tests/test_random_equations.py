"""Cells drawn at random: the engines agree with each other and with the function run on plain tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from carousel import engines
from equations import Call, Equations, calls, equations
from reference import naive_scan
from tolerances import TOLERANCES, assert_close

ENGINES = [name for name, missing in engines.status().items() if name in ("eager", "native") and missing is None]
SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def scan(run: Callable, cell: Any, call: Call, record: tuple[str, ...]) -> dict[str, Tensor]:
    """Everything that a scan gives, by name, with the gradients of one loss over all of it."""
    y, final, seen = run(
        cell,
        call.sizes,
        call.x,
        call.hx,
        call.params,
        sides=call.sides,
        lengths=call.lengths,
        resets=call.resets,
        initial=call.initial,
        reverse=call.reverse,
        record=record,
    )
    found = {"y": y, **{f"final[{k}]": h for k, h in enumerate(final)}}
    found |= {f"seen[{name}]": value for name, value in seen.items()}
    return found | gradients(found, call, record)


def gradients(found: dict[str, Tensor], call: Call, record: tuple[str, ...]) -> dict[str, Tensor]:
    """The gradient of every leaf, zero where nothing depends on it; the loss weighs y, final states and `record`."""
    generator = torch.Generator().manual_seed(call.seed + 1)
    weighed = ["y", *(n for n in found if n.startswith("final")), *(f"seen[{name}]" for name in record)]
    loss = sum((found[n] * torch.randn(found[n].shape, generator=generator, dtype=call.x.dtype)).sum() for n in weighed)
    leaves = call.leaves()
    if not leaves or not loss.requires_grad:
        return {f"d {name}": torch.zeros_like(leaf) for name, leaf in leaves.items()}
    taken = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {f"d {n}": torch.zeros_like(v) if g is None else g for (n, v), g in zip(leaves.items(), taken, strict=True)}


def close(got: dict[str, Tensor], want: dict[str, Tensor], what: str) -> None:
    """Within the tolerance of the dtype, of the largest number where there are large ones: sums cancel."""
    for name, expected in want.items():
        atol = TOLERANCES[expected.dtype]["atol"] * max(1.0, expected.abs().max().item() if expected.numel() else 0.0)
        assert_close(got[name], expected, atol=atol, msg=lambda text, name=name: f"{what}\n{name}: {text}")


def compare(drawn: Equations, call: Call) -> None:
    """Native with eager on everything; both with plain tensors, which know neither the step index nor empty batches."""
    cell = drawn.cell
    runs = {name: engines.PREFERENCE[name].scan for name in ENGINES}
    for name in ENGINES:
        assert engines.serves(name, cell, call.x, resets=call.resets, record=call.record) is None
    if cell.time is None and call.x.shape[1]:
        states = tuple(name for name in call.record if name in cell.states)
        want = scan(naive_scan, cell, call, states)
        for name, run in runs.items():
            close(scan(run, cell, call, states), want, f"{name} against plain tensors")
    found = {name: scan(run, cell, call, call.record) for name, run in runs.items()}
    for name in ENGINES:
        close(found[name], found["eager"], f"{name} against eager")


@settings(max_examples=150, suppress_health_check=SLOW_TO_DRAW)
@given(st.data())
def test_engines_agree(data: st.DataObject) -> None:
    drawn = data.draw(equations())
    compare(drawn, data.draw(calls(drawn)))


@pytest.mark.long
@settings(max_examples=3000, suppress_health_check=SLOW_TO_DRAW)
@given(st.data())
def test_engines_agree_on_many(data: st.DataObject) -> None:
    drawn = data.draw(equations())
    compare(drawn, data.draw(calls(drawn)))
