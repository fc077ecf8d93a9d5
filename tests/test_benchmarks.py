"""The benchmark measures what agrees, and refuses what does not."""

from __future__ import annotations

import argparse
import json
import subprocess
from typing import Any

import pytest
import torch

import carousel
from benchmarks import __main__ as command
from benchmarks import (
    agreement,
    cells,
    chart,
    floor,
    instructions,
    labelling,
    loops,
    marks,
    parts,
    report,
    results,
    rivals,
    rivals_of_cells,
    structured,
    timing,
)
from benchmarks.grid import QUICK, Shape, parse
from carousel.engines import native

OURS = [rivals.BASELINE, "control", "carousel.LSTM", "carousel peephole", "Python loop"]
LOW = [*parts.LOW, "carousel.LSTM autocast", "carousel.LSTM tf32", "carousel.LSTM without"]


@pytest.fixture(autouse=True)
def same_threads_after():
    threads = torch.get_num_threads()
    torch.use_deterministic_algorithms(False)
    yield
    timing.use_threads(len(timing.PROCESSORS))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", QUICK, ids=lambda s: s.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_sides_agree(shape: Shape, dtype: torch.dtype) -> None:
    agreement.make(shape, OURS, seed=3, dtype=dtype)


@pytest.mark.parametrize("shape", QUICK, ids=lambda s: s.name)
def test_sides_in_low_precision_agree_roughly(shape: Shape) -> None:
    before = torch.backends.mkldnn.rnn.fp32_precision
    sides = agreement.make(shape, LOW, seed=3)
    assert sides[parts.LOW[1]].forward().dtype == torch.bfloat16
    assert torch.backends.mkldnn.rnn.fp32_precision == before


def test_a_wrong_side_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: torch.Tensor) -> torch.Tensor:
        return 1.01 * loops.python_loop(*arguments)

    monkeypatch.setitem(rivals.RIVALS, "Python loop", rivals.Rival("peephole", rivals.loop_side(lambda T: wrong)))
    with pytest.raises(timing.Disagreement, match="Python loop at .* nothing is reported"):
        agreement.make(QUICK[0], OURS, seed=0)


def test_red_tests_stop_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(command: list[str], **rest: object) -> subprocess.CompletedProcess:
        asked.extend(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit, match="are red, so nothing is measured"):
        agreement.tests(quick=False)
    assert all((agreement.ROOT / name).exists() for name in agreement.ENGINES) and set(agreement.ENGINES) <= set(asked)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("name", rivals_of_cells.CELLS)
def test_cells_written_by_hand_agree(name: str) -> None:
    case = rivals_of_cells.Case(getattr(carousel.cells, name), Shape(5, 3, 4, 8), seed=0)
    case.make([rivals_of_cells.OURS, rivals_of_cells.LOOP, rivals_of_cells.SCRIPT])


def test_a_cell_written_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = rivals_of_cells.Case(carousel.cells.elman, Shape(5, 3, 4, 8), seed=0)
    monkeypatch.setitem(case.layer._parameters, "W_l0", torch.nn.Parameter(2 * case.layer.get_parameter("W_l0")))
    with pytest.raises(timing.Disagreement, match="elman as carousel at"):
        case.make([rivals_of_cells.OURS, rivals_of_cells.LOOP])


def test_errors_against_float64() -> None:
    found = agreement.errors(QUICK[0], [rivals.BASELINE, *LOW[:2]])
    assert found[rivals.BASELINE]["training"] < 1e-5
    assert all(1e-4 < found[name]["forward"] <= found[name]["training"] < 0.1 for name in LOW[:2])


def test_measure_and_report() -> None:
    """Each part that can be measured here, at a small shape, and the whole report."""
    chosen = [name for name in parts.PARTS if name != "peephole" and not parts.PARTS[name].missing()]
    rows = []
    for name in chosen:
        budget = parts.Budget(seconds=0.01, pairs=1)
        rows += parts.measure(name, parts.PARTS[name].quick, threads=1, budget=budget, weigh=False)
    assert all(row["milliseconds"] > 0 and row["gflops"] > 0 for row in rows)
    found = whole([row | {"measured": "today"} for row in rows])
    text = report.markdown(found)
    assert all(parts.PARTS[name].title in text for name in chosen)
    assert ": measured today." in text


def test_products_alone() -> None:
    """Programs of the same products, run to the end, whose instructions only store."""
    shape = QUICK[0]
    plans = []
    whole_call = native.call
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "call", lambda text, *rest: plans.append(text) or whole_call(text, *rest))
        sides = agreement.make(shape, ["carousel.LSTM", parts.PRODUCTS], seed=0)
        y, dx = sides[parts.PRODUCTS].training()
    assert native.call is whole_call
    trained = next(text for text in plans if json.loads(text)[0]["backward"])
    (full,), (empty,) = (json.loads(text) for text in (trained, floor.emptied_plan(trained)))
    for way in ("forward", "backward"):
        for section in ("before", "loop", "after"):
            for before, after in zip(full[way][section], empty[way][section], strict=True):
                assert after[2] == before[2] and {op for op, *_ in after[3]} <= {"copy"}
    assert y.isfinite().all() and dx.isfinite().all()
    assert (y - sides["carousel.LSTM"].forward()).abs().max() > 0.1


def test_ratios_are_of_pairs_and_the_best_rival_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs over ours, within a pair; a rival that the first pair shows to be hopeless is asked no more."""
    times = [{"a": 3.0, "b": 4.0, "slow": 9.0, "ours": 1.0}, {"a": 4.0, "b": 2.0, "slow": 9.0, "ours": 2.0}]
    asked: list[list[str]] = []

    def race(sides: timing.Sides, mode: str, seconds: float) -> dict[str, float]:
        asked.append(list(sides))
        return {name: times[len(asked) - 1][name] for name in sides}

    monkeypatch.setattr(timing, "race", race)
    sides = dict.fromkeys(times[0])
    rows = timing.measure(lambda seed: sides, {"ours": ("a", "b", "slow")}, 2, 1.0, modes=("forward",))
    assert asked == [["a", "b", "slow", "ours"], ["a", "b", "ours"]]
    ours = rows[-1]
    assert (ours["ratio"], ours["ratio_low"], ours["ratio_high"]) == (2.0, 1.0, 3.0)
    assert "ratio" not in rows[0] and rows[2]["milliseconds"] == 9000


def result(part: str, side: str, mode: str, shape: str, ratio: float, threads: int = 2) -> dict[str, Any]:
    row = {"part": part, "side": side, "mode": mode, "shape": shape, "threads": threads, "ratio": ratio}
    return row | {"latency": "small" in shape, "milliseconds": 1.0, "measured": "today"}


def whole(rows: list[dict[str, Any]], **missing: str) -> dict[str, Any]:
    about = dict.fromkeys(("cpu", "date", "torch", "carousel", "variant"), "")
    return {"about": about, "rates": {"1": 100.0}, "missing": missing, "rows": rows}


def test_marks() -> None:
    """What is reached, what is not and where, and what was not measured."""
    rows = [
        result("lstm", "carousel.LSTM", "forward", "large", 1.6),
        result("lstm", "carousel.LSTM", "forward", "small", 1.6),
        result("lstm", "carousel.LSTM", "training", "large", 0.9),
        result("lstm", "carousel.LSTM", "training", "small", 3.6),
        result("lstm", "carousel.LSTM", "training", "small", 9.0, threads=1),
    ]
    lines = marks.table(whole(rows, tf32="no AMX here")).splitlines()
    forward, training, latency = lines[2:5]
    assert forward.endswith("| not measured | **yes**: 1.60, lowest 1.60 at large |")
    assert training.endswith("| **yes**: 9.00, lowest 9.00 | **no**: 1.80, lowest 0.90 at large |")
    assert latency.endswith("| at least 4 | **yes**: 9.00 | **no**: 3.60 |")
    assert sum("no AMX here" in line for line in lines) == 2
    short = marks.falls_short(whole(rows))
    assert "- LSTM float32, training, 2 threads: large 0.90" in short and "small 3.60" in short


def test_marks_ask_for_sides_that_are_compared() -> None:
    measured = [mark for mark in marks.MARKS if not mark.part.startswith("cells")]
    assert all(mark.side in parts.PARTS[mark.part].against for mark in measured)
    assert all(mark.mode in parts.PARTS[mark.part].modes for mark in measured)


def test_parts_merge() -> None:
    """A part that is run again takes its old rows' place, shape by shape; the rest stays."""
    old = whole([result("lstm", "s", "forward", "a", 1.0), result("lstm", "s", "forward", "b", 1.0)], tf32="no AMX")
    new = whole([result("lstm", "s", "forward", "b", 2.0), result("tf32", "s", "forward", "a", 3.0)])
    merged = results.merge(old, new)
    assert [row["ratio"] for row in merged["rows"]] == [1.0, 2.0, 3.0] and not merged["missing"]


def test_parts_go_into_the_last_file(monkeypatch: pytest.MonkeyPatch) -> None:
    today, before = ({"cpu": "one", "date": date} for date in ("2026-02-02", "2026-01-01"))
    monkeypatch.setattr(results, "newest", lambda: {"about": before})
    full, some = (argparse.Namespace(parts=chosen, shapes=None) for chosen in (list(parts.PARTS), ["lstm"]))
    assert command.kept_in(today, full).name == "2026-02-02-one.json"
    assert command.kept_in(today, some).name == "2026-01-01-one.json"
    assert command.kept_in(today | {"cpu": "two"}, some).name == "2026-02-02-two.json"


def test_charts_say_the_same_each_time() -> None:
    rows = [
        result("lstm", side, mode, shape, ratio)
        for side, ratio in ((parts.LSTM, 1.5), (parts.PEEPHOLE, 0.8))
        for mode in timing.MODES
        for shape in ("(1,2,3,4)", "(5,6,7,8)")
    ]
    drawn = {theme: chart.draw(whole(rows), 2, theme) for theme in chart.INK}
    assert drawn["light"] == chart.draw(whole(rows), 2, "light") != drawn["dark"]
    assert "(5,6,7,8)" in drawn["dark"] and "geometric mean" in drawn["dark"]


def test_shapes() -> None:
    assert parse("10,2,3,4") == Shape(10, 2, 3, 4)
    assert Shape(2, 3, 4, 5).flops(steps=6, training=False) == 2 * 6 * 4 * 5 * (4 + 5)
    assert Shape(2, 3, 4, 5, bidirectional=True, num_layers=2).inputs == [4, 4, 10, 10]
    with pytest.raises(SystemExit, match="T,B,I,H"):
        parse("10,2")


def test_cells_are_measured_beside_the_lstm() -> None:
    """A cell's products, and whether one waits for another within the step."""
    shape = Shape(6, 2, 8, 16)
    pair = cells.measure(carousel.cells.gru, shape, seconds=0.01)
    assert [row["mode"] for row in pair] == list(timing.MODES)
    assert pair[0]["products"] == 3 * (8 + 16) * 16 / 16**2 and not pair[0]["waits"]
    assert cells.waits(carousel.cells.projected_lstm)
    text = cells.markdown({"about": {"cpu": "c", "date": "d", "torch": "t", "carousel": "v", "variant": "k",
                                     "threads": [1]}, "rows": pair})  # fmt: skip
    assert "| `gru` | 4.50 |" in text
    rows = cells.compared({"about": {"date": "d", "threads": [1]}, "rows": pair})
    assert [row["ratio"] * entry["per_product"] for row, entry in zip(rows, pair, strict=True)] == pytest.approx([1, 1])
    every = [marks.verdict(mark, rows, 1) for mark in marks.MARKS if mark.part == "cells"]
    assert len(every) == 2 and all(found.reached is not None for found in every)


@pytest.mark.parametrize("case", structured.QUICK, ids=lambda case: case.ours)
def test_images_are_measured_beside_keras_and_loops(case: structured.Case) -> None:
    structured.check(case, case.make())


def test_measure_of_images() -> None:
    rows = structured.measure(structured.QUICK[1], seconds=0.01)
    assert len(rows) == 6 and all(row["ratio"] == 1 for row in rows if row["side"] == "carousel.MDLSTM")
    about = {**dict.fromkeys(("cpu", "date", "torch", "carousel", "variant"), ""), "threads": [1]}
    text = structured.markdown({"about": about, "rows": rows})
    assert text.count("| MDLSTM") == 3


def test_instructions_are_those_of_the_core_alone():
    profile = """
ob=(1) /lib/libc.so.6
fn=(1) malloc
0 1000
cob=(2) /carousel/_core.cpython.so
cfn=(2) run
calls=1 0
0 2000
ob=(2)
fn=(2)
0 30
+3 4
cob=(1)
cfn=(1)
calls=2 0
* 5000
-1 500
ob=(1)
0 6000
"""
    assert sum(instructions.of_core(profile)) == 30 + 4 + 500


def test_every_count_of_instructions_has_its_call(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(instructions, "control", asked.append)
    instructions.lstm_calls(Shape(3, 2, 4, 5, bidirectional=True))
    for name in instructions.FUNCTIONS:
        instructions.function_call(name)
    calls = len(instructions.MODES) + len(instructions.FUNCTIONS)
    assert asked == ["--zero", "--dump"] * calls
    assert len(instructions.counts()) == calls + len(instructions.MODES) * (len(instructions.SHAPES) - 1)


def test_instructions_are_reported_per_multiply_add():
    row = instructions.counts()[0]._asdict() | {"work": 1000, "instructions": {"old": 2000, "new": 1500}}
    *_, line = instructions.table("LSTM", "multiply-add", [row])
    assert line.endswith("| 2 | 2 | 2.000 | 1.500 | 0.75 |")


def test_recognition_is_measured_beside_peers() -> None:
    rows = labelling.measure(labelling.CASES[1]._replace(frames=40), seconds=0.01)
    assert [row["side"] for row in rows][:2] == ["carousel", "fast-ctc-decode"]
    assert all(row["same"] == labelling.SAMPLES for row in rows)
    about = dict.fromkeys(("cpu", "date", "torch", "carousel"), "")
    assert labelling.markdown({"about": about, "rows": rows}).count(f"{labelling.SAMPLES} of") == len(rows)
