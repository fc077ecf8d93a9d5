"""The tasks of the 1997 paper as one would learn them now: nets that stand where `carousel.Online` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from carousel.reproduce import TODAY, get
from carousel.reproduce.online.lanes import Lanes, stream
from carousel.reproduce.online.sequences import together
from carousel.reproduce.papers import adding, temporal_order
from carousel.reproduce.papers.lstm_1997_today import BATCH, NETS, Unrolled
from carousel.reproduce.work import Work

PAPER = (
    "embedded_reber",
    "long_lag_2a",
    "long_lag_2b",
    "long_lag_2c",
    "two_sequence",
    "adding",
    "multiplication",
    "temporal_order",
)


def net(cell: str = "lstm", *, symbols: bool) -> Unrolled:
    torch.manual_seed(1)
    inputs, outputs = (8, 4) if symbols else (2, 1)
    sizes = {"hidden_size": 4, "inputs": inputs, "outputs": outputs, "longest": 110}
    return Unrolled(cell=cell, **sizes, rate=0.01, symbols=symbols, classes=symbols)


def drawn(symbols: bool, count: int):
    draw = temporal_order.ordered(2) if symbols else adding.marked_pairs(20)
    return draw(stream(0, 0), count)


@pytest.mark.parametrize("cell", NETS)
@pytest.mark.parametrize("symbols", [True, False])
def test_outputs_are_those_of_each_sequence_alone(cell: str, symbols: bool) -> None:
    one, sequences = net(cell, symbols=symbols), drawn(symbols, 5)
    beside = together([sequences])
    y = beside.outputs(one.predict(beside.inputs, beside.starts, beside.lengths), 0)
    for n, (start, end) in enumerate(zip(sequences.starts, sequences.ends, strict=True)):
        x = torch.from_numpy(sequences.inputs[start : end + 1])
        out = one.reader(one.embedding(x).float()[:, None])[-1, 0]
        expected = (out.softmax(-1) if symbols else out).detach().numpy()
        assert np.allclose(y[n], expected, atol=1e-6)


@pytest.mark.parametrize("symbols", [True, False])
def test_a_batch_is_learned_by_its_mean_loss(symbols: bool) -> None:
    one, other, sequences = net(symbols=symbols), net(symbols=symbols), drawn(symbols, BATCH)
    beside = together([sequences])
    before = one.predict(beside.inputs, beside.starts, beside.lengths)
    y = one.learn(beside.inputs, beside.targets, beside.when, beside.starts, beside.lengths)
    assert torch.allclose(y[beside.when], before[beside.when], atol=1e-6)
    losses = []
    for n, (start, end) in enumerate(zip(sequences.starts, sequences.ends, strict=True)):
        x, target = torch.from_numpy(sequences.inputs[start : end + 1]), torch.tensor(sequences.targets[n])
        out = other.reader(other.embedding(x).float()[:, None])[-1, 0]
        losses.append(-out.log_softmax(-1)[target] if symbols else ((out - target) ** 2).mean())
    torch.stack(losses).mean().backward()
    torch.nn.utils.clip_grad_norm_(other.model.parameters(), 1.0)
    other.optimizer.step()
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_a_trial_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    def lanes(folder: str, limit: int) -> Lanes:
        return Lanes(Work([3], tmp_path / folder), net(symbols=False), adding.marked_pairs(20), chunk=40, limit=limit)

    whole, first = lanes("whole", 160), lanes("cut", 80)
    for one in (whole, first):
        for _ in one.learn():
            pass
    first.keep()
    second = lanes("cut", 160)
    assert second.resume()
    for _ in second.learn():
        pass
    for a, b in zip(whole.net.model.parameters(), second.net.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", PAPER)
def test_every_experiment_of_the_paper_has_settings_of_today(name: str, tmp_path: Path) -> None:
    one = get(name)
    settings = [setting for setting in one.settings if setting.kind == TODAY]
    assert {setting.options["today"]["cell"] for setting in settings} == set(NETS)
    for number, setting in enumerate(settings[:2]):
        (trial,) = one.run(Work([0], tmp_path / str(number)), **{**setting.options, "limit": 20})
        assert trial["solved"] == 0 and setting.together == 1
