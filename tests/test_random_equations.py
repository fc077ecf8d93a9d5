"""Cells drawn at random: the engines agree with each other and with the function run on plain tensors."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carousel import engines
from equations import Equations, calls, equations
from reference import naive_scan
from runs import ENGINES, Call, close, scan

SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


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
@settings(max_examples=1500, suppress_health_check=SLOW_TO_DRAW)
@given(st.data())
def test_engines_agree_on_many(data: st.DataObject) -> None:
    drawn = data.draw(equations())
    compare(drawn, data.draw(calls(drawn)))
