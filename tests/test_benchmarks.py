"""The benchmark measures what agrees, and refuses what does not."""

from __future__ import annotations

import pytest
import torch

import carousel
from benchmarks import cells, loops, report, rivals, structured, timing
from benchmarks.grid import QUICK, Shape, parse

OURS = [rivals.BASELINE, "control", "carousel.LSTM", "carousel peephole", "Python loop"]


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
    timing.make(shape, OURS, seed=3, dtype=dtype)


def test_a_wrong_side_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: torch.Tensor) -> torch.Tensor:
        return 1.01 * loops.python_loop(*arguments)

    monkeypatch.setitem(rivals.RIVALS, "Python loop", ("peephole", rivals.loop_side(lambda T: wrong)))
    with pytest.raises(timing.Disagreement, match="Python loop at .* nothing is reported"):
        timing.make(QUICK[0], OURS, seed=0)


def test_measure_and_report() -> None:
    rows = timing.measure(QUICK[0], OURS, threads=1, pairs=2, seconds=0.01)
    assert {(r["mode"], r["side"]) for r in rows} == {(m, s) for m in timing.MODES for s in OURS}
    assert all(r["milliseconds"] > 0 and r["ratio_low"] <= r["ratio"] <= r["ratio_high"] for r in rows)
    assert all(r["ratio"] == 1 for r in rows if r["side"] == rivals.BASELINE)
    text = report.table(rows, "training", 1)
    assert QUICK[0].name in text and "carousel peephole" in text
    assert len(report.marks(rows, 1)) == 2


def test_shapes() -> None:
    assert parse("10,2,3,4") == Shape(10, 2, 3, 4)
    assert Shape(2, 3, 4, 5).flops(steps=6, training=False) == 2 * 6 * 4 * 5 * (4 + 5)
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


@pytest.mark.parametrize("case", structured.QUICK, ids=lambda case: case.ours)
def test_images_are_measured_beside_keras_and_loops(case: structured.Case) -> None:
    structured.check(case, case.make())


def test_measure_of_images() -> None:
    rows = structured.measure(structured.QUICK[1], seconds=0.01)
    assert len(rows) == 6 and all(row["ratio"] == 1 for row in rows if row["side"] == "carousel.MDLSTM")
    about = {**dict.fromkeys(("cpu", "date", "torch", "carousel", "variant"), ""), "threads": [1]}
    text = structured.markdown({"about": about, "rows": rows})
    assert text.count("| MDLSTM") == 3
