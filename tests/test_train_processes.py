"""Two processes on one machine come to what one comes to: gradients of every update, ragged batches included."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from carousel import train
from carousel.train import processes
from training_runs import Predictor
from training_shared import pad, ragged_loss, sequences, training


def torchrun(folder: Path) -> None:
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port = one.getsockname()[1]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(port)]
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    arguments = [*program, str(Path(__file__).with_name("training_shared.py")), str(folder)]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def test_two_processes_follow_the_gradients_of_one(tmp_path: Path) -> None:
    torchrun(tmp_path)
    two = torch.load(tmp_path / "found.pt", weights_only=True)
    for name in ("ragged", "stream"):
        one = training(name)
        for what, value in one.items():
            torch.testing.assert_close(two[name][what], value, rtol=1e-10, atol=1e-12, msg=f"{name} {what}")
    for what in ("weights", "scores"):
        assert torch.equal(two["resumed"][what], two["stream"][what])


def test_shares_of_a_ragged_batch_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in one process: the shares' sums, over the count of all, add up to the mean."""
    items = sequences()
    order = train.Buckets([len(x) for x, _ in items], 4, seed=0, pool=2)
    model = Predictor("lstm").double()
    for whole in order.batches(0):
        batch = [items[k] for k in whole.tolist()]
        sum_, count = ragged_loss(model, pad(batch))
        expected = torch.autograd.grad(sum_ / count, list(model.parameters()))
        found = [torch.zeros_like(p) for p in model.parameters()]
        for rank in range(2):
            monkeypatch.setattr(processes, "world", lambda rank=rank: (rank, 2))
            sum_, _ = ragged_loss(model, pad(processes.share(batch)))
            for total, part in zip(found, torch.autograd.grad(sum_ / count, list(model.parameters())), strict=True):
                total += part
        torch.testing.assert_close(found, list(expected))


def test_what_cannot_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    from carousel.train import order, source

    for module in (processes, source, order):
        monkeypatch.setattr(module, "world", lambda: (1, 3))
    with pytest.raises(train.TrainingError, match="a batch of 2 cannot be shared out among 3 processes"):
        list(train.Order(8, 2))
    assert [len(batch) for batch in train.Order(8, 6).batches(0)] == [8]  # 2 left over join those before
    with pytest.raises(train.TrainingError, match="cannot be shared"):
        next(train.Generated(lambda g: 0, seed=0).walk(0, 0))
    with pytest.raises(train.TrainingError, match="use carousel.train.Batches"):
        next(source.as_source([1], "training").walk(0, 0))
    with pytest.raises(train.TrainingError, match="written by 2 processes, now there are 3"):
        processes.own([1, 2])
