"""A killed training goes on to the same bits, in the midst of a stream too; a damaged checkpoint is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from carousel import train
from training_runs import Predictor, loss, streamed, text


def go_on(history: list) -> bool:
    return False


def check(folder: Path, overlap: int, whole: tuple[train.Outcome, Predictor]) -> None:
    """What is left in the folder goes on to the same end."""
    kept = torch.load(folder / "last.ckpt", weights_only=True)
    (keeper,) = kept["callbacks"].values()
    assert keeper["place"] == {"epoch": 1, "batch": 8}
    resumed = streamed(folder, overlap, True, go_on)
    assert resumed[0] == whole[0]
    for left, right in zip(resumed[1].parameters(), whole[1].parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("overlap", [1, 3])
def test_a_stream_that_was_interrupted_goes_on_to_the_same_bits(tmp_path: Path, overlap: int) -> None:
    """20 chunks an epoch, in rounds of 7: the fourth ends within the second epoch."""

    def interrupt(history: list) -> bool:
        if len(history) == 6:
            raise KeyboardInterrupt
        return False

    whole = streamed(tmp_path / "whole", overlap, False, go_on)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        streamed(tmp_path / "broken", overlap, False, interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    check(tmp_path / "broken", overlap, whole)


def test_a_stream_that_was_killed_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    program = [sys.executable, str(Path(__file__).with_name("training_runs.py")), str(tmp_path / "killed")]
    with subprocess.Popen(program, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout
        while victim.stdout.readline() not in ("6\n", ""):
            pass
        victim.send_signal(signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    check(tmp_path / "killed", 1, streamed(tmp_path / "whole", 1, False, go_on))


def fit(folder: Path, cell: str = "lstm", **settings) -> train.Outcome:
    model = Predictor(cell)
    lesson = train.Lesson(model, loss, torch.optim.Adam(model.parameters()), truncation=train.Truncated())
    return train.fit(lesson, train.Chunks(*text(), batch_size=3, steps=20), folder=folder, **settings)


def test_more_of_a_finished_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    four = fit(tmp_path / "a", epochs=4)
    torch.manual_seed(0)
    two = fit(tmp_path / "b", epochs=2)
    assert fit(tmp_path / "b", epochs=2, resume=True) == two
    assert fit(tmp_path / "b", epochs=4, resume=True) == four
    with pytest.raises(train.TrainingError, match="holds a checkpoint; resume, or choose another folder"):
        fit(tmp_path / "b", epochs=4)


def test_more_after_a_round_that_was_cut_short(tmp_path: Path) -> None:
    """The same updates, whatever the rounds are."""
    rows = []
    for updates in ((20,), (6, 20), (7, 8, 20)):
        torch.manual_seed(0)
        for more in updates:
            outcome = fit(tmp_path / str(updates), updates=more, every=4, resume=True)
            assert outcome.best["update"] == more
        rows.append(outcome)
    weights = [torch.load(path / "last.ckpt", weights_only=True)["state_dict"] for path in sorted(tmp_path.iterdir())]
    assert len(weights) == 3
    for name, value in weights[0].items():
        assert all(torch.equal(value, other[name]) for other in weights[1:]), name
    assert [row["update"] for row in rows[1].history] == [0, 4, 6, 10, 14, 18, 20]


def test_checkpoints_that_do_not_belong(tmp_path: Path) -> None:
    fit(tmp_path, epochs=1)
    with pytest.raises(train.TrainingError, match="another model: model.layer.U_c_l0 was .8, 8., now it is not"):
        fit(tmp_path, "gru", epochs=2, resume=True)
    model = Predictor("lstm")
    other = train.Lesson(model, loss, torch.optim.Adam(model.parameters()))
    with pytest.raises(train.TrainingError, match="differ in truncation"):
        train.fit(other, train.Chunks(*text(), batch_size=3, steps=20), epochs=2, folder=tmp_path, resume=True)


def test_damaged_checkpoints(tmp_path: Path) -> None:
    fit(tmp_path, epochs=1)
    checkpoint = tmp_path / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(train.TrainingError, match="damaged checkpoint"):
        fit(tmp_path, epochs=2, resume=True)
