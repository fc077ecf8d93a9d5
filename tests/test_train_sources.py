"""Where batches come from: orders, buckets, lanes, generated batches; and their use in a Trainer of one's own."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import torch
from lightning import pytorch as pl

import training_runs
from carousel import train
from training_runs import Predictor
from training_shared import pad, ragged_loss, sequences


def equal(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_order_is_decided_by_seed_and_epoch() -> None:
    lengths = torch.randint(1, 100, (103,))
    for make in (lambda seed: train.Shuffle(103, 10, seed), lambda seed: train.Buckets(lengths, 10, seed, pool=3)):
        order = make(4)
        first = list(order)
        assert sorted(itertools.chain(*first)) == list(range(103)) and len(first) == len(order) == 11
        assert list(order) == first and list(make(4)) == first and list(make(5)) != first
        order.set_epoch(1)
        assert list(order) != first and sorted(itertools.chain(*order)) == list(range(103))
    assert list(train.Order(5, 2)) == [[0, 1], [2, 3], [4]]
    assert len(list(train.Shuffle(5, 2, 0, length=7))) == 7 and len(train.Shuffle(5, 2, 0, length=1)) == 1


def test_buckets_save_padding() -> None:
    """Batches of 32 of lengths from 30 to 99: shuffled, over a third is padding; in buckets nearly none."""
    lengths = torch.randint(30, 100, (10_000,), generator=torch.Generator().manual_seed(0))
    shuffled = train.order.padding(lengths, train.Shuffle(10_000, 32, seed=0).batches(0))
    assert 0.33 < shuffled < 0.35
    paddings = [train.Buckets(lengths, 32, seed=0, pool=pool).padding() for pool in (1, 10, 100)]
    assert paddings[0] == pytest.approx(shuffled, abs=0.01) and paddings[1] < 0.06 and paddings[2] < 0.01
    with pytest.raises(ValueError, match="pool is 0"):
        train.Buckets(lengths, 32, seed=0, pool=0)
    with pytest.raises(ValueError, match="Buckets: 0 items in batches of 3"):
        train.Buckets([], 3, seed=0)


def test_batches_of_an_epoch_are_found_again() -> None:
    items = sequences()
    batches = train.Batches(items, train.Buckets([len(x) for x, _ in items], 4, seed=0), pad)
    whole = list(batches.walk(2, 0))
    assert len(whole) == len(batches) == 6
    assert all(equal(*pair) for pair in zip(batches.walk(2, 4), whole[4:], strict=True))
    fetched = train.Batches(items, batches.order, pad, workers=1)
    assert all(equal(*pair) for pair in zip(fetched.walk(2, 4), whole[4:], strict=True))


def test_generated_batches_are_found_again() -> None:
    made = train.Generated(lambda generator: torch.rand(3, generator=generator), seed=3)
    first = list(itertools.islice(made.walk(0, 0), 5))
    assert torch.equal(next(made.walk(0, 4)), first[4])
    others = [first[1], next(made.walk(1, 0)), next(train.Generated(made.make, seed=4).walk(0, 0))]
    assert not any(torch.equal(first[0], other) for other in others)


@pytest.mark.parametrize("seed", [None, 1])
def test_lanes_read_every_sequence_once_from_its_beginning(seed: int | None) -> None:
    """What a layer gives over the lanes is what it gives over each sequence alone."""
    lengths = [7, 0, 3, 12, 1, 5, 9, 30, 2]
    inputs = [torch.randn(length, 2) for length in lengths]
    layer = torch.nn.LSTM(2, 4)
    numbered = [(x, torch.full((len(x),), k)) for k, x in enumerate(inputs)]
    lanes = train.Lanes(numbered, batch_size=3, steps=4, seed=seed)
    found: list[list[torch.Tensor]] = [[] for _ in lengths]
    ours, state = training_runs.ca.LSTM(2, 4), None
    ours.load_state_dict(layer.state_dict())
    chunks = list(lanes)
    for chunk in chunks:
        y, state = ours(chunk.x, state, resets=chunk.resets)
        for lane in range(3):
            for t in range(len(chunk.x)):
                if chunk.counts[t, lane]:
                    found[int(chunk.target[t, lane])].append(y[t, lane])
    for x, rows in zip(inputs, found, strict=True):
        if len(x):
            torch.testing.assert_close(torch.stack(rows), layer(x)[0])
    assert sum(int(chunk.counts.sum()) for chunk in chunks) == sum(lengths)
    assert sum(int(chunk.resets.sum()) for chunk in chunks) == len(lengths) - 1
    assert equal(next(iter(lanes.walk(0, 3))), chunks[3])


def test_lanes_read_files_as_they_go() -> None:
    """An object that reads as it is walked through, of which no more is held than the lanes are at."""
    given: list[int] = []

    class Files:
        def __iter__(self):
            for number in range(1000):
                given.append(number)
                yield np.full((10, 1), number, np.float32), np.zeros(10, np.uint8)

    chunk = next(iter(train.Lanes(Files(), batch_size=4, steps=15)))
    assert given == list(range(8)) and chunk.x.shape == (15, 4, 1) and chunk.target.dtype == torch.int64
    with pytest.raises(TypeError, match="is a generator, which can be walked through only once"):
        train.Lanes(iter([]) if False else (x for x in ()), batch_size=1, steps=1)
    with pytest.raises(ValueError, match="has 3 steps but 2 targets"):
        next(iter(train.Lanes([(np.zeros(3), np.zeros(2))], batch_size=1, steps=1)))


def test_training_on_lanes(tmp_path) -> None:
    """Nothing says how many chunks there are; it is interrupted within the second epoch."""

    def masked(model, chunk, state):
        y, state = model(chunk.x, state, chunk.resets)
        losses = torch.nn.functional.cross_entropy(y.flatten(0, 1), chunk.target.flatten(), reduction="none")
        return ((losses * chunk.counts.flatten()).sum(), chunk.counts.sum()), state

    def go(folder, interrupt: bool) -> train.Outcome:
        torch.manual_seed(0)
        model = Predictor("lstm")
        lesson = train.Lesson(model, masked, torch.optim.Adam(model.parameters()), truncation=train.Truncated())
        lanes = train.Lanes(sequences(), batch_size=4, steps=9, seed=0)

        def stop(history: list) -> bool:
            if interrupt and len(history) == 5:
                raise KeyboardInterrupt
            return False

        return train.fit(lesson, lanes, lanes, updates=60, every=8, stop=stop, folder=folder, resume=True)

    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "broken", True)
    assert go(tmp_path / "broken", False) == go(tmp_path / "whole", False)


def test_the_parts_serve_in_a_trainer_of_ones_own() -> None:
    """A source, or a DataLoader with an order for its batches, is told the epoch by Lightning."""
    items, orders = sequences(), []

    class Told(train.Buckets):
        def batches(self, epoch):
            orders.append(epoch)
            return super().batches(epoch)

    weights = []
    for kind in ("source", "loader"):
        torch.manual_seed(0)
        model = Predictor("lstm")
        order = Told([len(x) for x, _ in items], 4, seed=0)
        lesson = train.Lesson(model, ragged_loss, torch.optim.Adam(model.parameters()), clip=train.ClipNorm(1.0))
        source = train.Batches(items, order, pad)
        loader = torch.utils.data.DataLoader(items, batch_sampler=order, collate_fn=pad)
        settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        orders.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(max_epochs=3, accelerator="cpu", enable_model_summary=False, **settings)
            trainer.fit(lesson, source if kind == "source" else loader, source)
        assert {0, 1, 2} <= set(orders)
        assert lesson.train_loss() > 0
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*weights)
