"""Training by back-propagation through time: what is computed, against the plain loop that anyone would write."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

import carousel as ca
from carousel import train
from training_runs import Predictor, loss, text


def lesson(model: nn.Module, lr: float = 0.5, **settings) -> train.Lesson:
    return train.Lesson(model, loss, torch.optim.SGD(model.parameters(), lr=lr), **settings)


def plain_truncated(model: nn.Module, chunks: list[train.Chunk], lr: float) -> None:
    """Truncated back-propagation by hand."""
    optimizer, state = torch.optim.SGD(model.parameters(), lr=lr), None
    for chunk in chunks:
        y, state = model(chunk.x, state, chunk.resets)
        F.cross_entropy(y.flatten(0, 1), chunk.target.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
        state = tuple(s.detach() for s in state)


def same(one: nn.Module, other: nn.Module, exact: bool = True) -> None:
    for (name, left), right in zip(one.named_parameters(), other.parameters(), strict=True):
        if exact:
            assert torch.equal(left, right), name
        else:
            torch.testing.assert_close(left, right, msg=name)


@pytest.mark.parametrize("cell", ["lstm", "gru", "lstm_1997", "peephole_lstm"])
def test_truncated_is_the_loop_that_one_would_write(cell: str) -> None:
    ours, theirs = Predictor(cell), Predictor(cell)
    theirs.load_state_dict(ours.state_dict())
    chunks = train.Chunks(*text(), batch_size=3, steps=5)
    outcome = train.fit(lesson(ours, truncation=train.Truncated()), chunks, epochs=2)
    plain_truncated(theirs, 2 * list(chunks), lr=0.5)
    same(ours, theirs)
    assert [row["update"] for row in outcome.history] == [0, len(chunks), 2 * len(chunks)]


def test_overlapping_chunks_reach_further_back() -> None:
    """The gradient of the newest chunk through three of them, each time from the state that was true before."""
    torch.manual_seed(1)
    ours, theirs = Predictor("lstm").double(), Predictor("lstm").double()
    theirs.load_state_dict(ours.state_dict())
    chunks = train.Chunks(*text(), batch_size=2, steps=4)
    train.fit(lesson(ours, truncation=train.Truncated(chunks=3)), chunks, epochs=1)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.5)
    all_chunks, before = list(chunks), [None]
    for k, newest in enumerate(all_chunks):
        first = max(0, k - 2)
        state, begun = before[first], []
        for chunk in all_chunks[first : k + 1]:
            y, state = theirs(chunk.x, state, chunk.resets)
            begun.append(tuple(s.detach() for s in state))
        F.cross_entropy(y.flatten(0, 1), newest.target.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
        before = before[: first + 1] + begun[:1] if k >= 2 else [None]
        before += [None] * (max(0, k - 1) + 1 - len(before))
    same(ours, theirs, exact=False)


def test_chunks_cover_a_memory_mapped_file(tmp_path) -> None:
    tokens = np.memmap(tmp_path / "tokens", dtype=np.uint16, mode="w+", shape=(1003,))
    tokens[:] = np.arange(1003)
    chunks = train.Chunks(tokens[:-1], tokens[1:], batch_size=4, steps=33)
    found = list(chunks)
    assert len(found) == len(chunks) == 8 and found[-1].x.shape == (250 - 7 * 33, 4)
    x = torch.cat([chunk.x for chunk in found])
    assert torch.equal(x.T.flatten(), torch.arange(1000))
    assert torch.equal(torch.cat([chunk.target for chunk in found]), x + 1)
    later = list(chunks.walk(3, 5))
    assert len(later) == 3 and all(torch.equal(a.x, b.x) for a, b in zip(later, found[5:], strict=True))


def test_states_start_afresh_where_documents_begin() -> None:
    model = Predictor("lstm")
    x, target = text(60)
    starts = np.zeros(60, bool)
    starts[[0, 7, 23, 44]] = True
    (whole,) = train.Chunks(x, target, batch_size=1, steps=60, starts=starts)
    y, _ = model(whole.x, None, whole.resets)
    for begin, end in ((0, 7), (7, 23), (23, 44), (44, 60)):
        alone, _ = model(whole.x[begin:end], None, None)
        torch.testing.assert_close(y[begin:end], alone)


def test_clipping() -> None:
    """By norm, by value, and with the gradient clipped at each step of the recurrence."""
    for clip in (train.ClipNorm(0.01), train.ClipValue(0.001)):
        ours, theirs = Predictor("lstm"), Predictor("lstm")
        theirs.load_state_dict(ours.state_dict())
        chunks = train.Chunks(*text(), batch_size=3, steps=5)
        train.fit(lesson(ours, truncation=train.Truncated(), clip=clip), chunks, updates=1)
        chunk = next(iter(chunks))
        loss(theirs, chunk, None)[0][0].div(15).backward()
        if isinstance(clip, train.ClipNorm):
            nn.utils.clip_grad_norm_(theirs.parameters(), 0.01)
        else:
            nn.utils.clip_grad_value_(theirs.parameters(), 0.001)
        torch.optim.SGD(theirs.parameters(), lr=0.5).step()
        same(ours, theirs)


@pytest.mark.parametrize(
    "cell",
    [
        ca.clip_gradients(ca.cells.lstm, 1e-3),
        ca.cells.lstm_1997.with_(truncate=True),
        ca.clip_gradients(ca.cells.peephole_lstm, h=1e-3),
    ],
)
def test_what_bounds_the_gradient_inside_the_recurrence(cell) -> None:
    """The trainer takes any cell: clipped at each step, or truncated as in 1997."""
    ours, theirs = Predictor(cell), Predictor(cell)
    theirs.load_state_dict(ours.state_dict())
    chunks = train.Chunks(*text(), batch_size=3, steps=20)
    settings = {"truncation": train.Truncated(), "clip": train.ClipNorm(5.0)}
    train.fit(lesson(ours, lr=0.1, **settings), chunks, updates=4)
    state, optimizer = None, torch.optim.SGD(theirs.parameters(), lr=0.1)
    for chunk in list(chunks)[:4]:
        (sum_, count), state = loss(theirs, chunk, state)
        optimizer.zero_grad()
        (sum_ / count).backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 5.0)
        optimizer.step()
        state = tuple(s.detach() for s in state)
    same(ours, theirs)


def test_checkpointed_in_time_is_the_same_training() -> None:
    models = [Predictor("lstm"), Predictor("lstm", checkpoint_every=4)]
    models[1].load_state_dict(models[0].state_dict())
    for model in models:
        train.fit(lesson(model, truncation=train.Truncated()), train.Chunks(*text(), batch_size=3, steps=20), epochs=2)
    same(*models, exact=False)


def test_the_learning_rate_follows_the_epoch_and_the_update() -> None:
    seen: list[tuple[int, int]] = []

    def schedule(epoch: int, update: int) -> float:
        seen.append((epoch, update))
        return 0.5 ** max(0, epoch - 1)

    model = Predictor("lstm")
    one = lesson(model, truncation=train.Truncated(), schedule=schedule)
    chunks = train.Chunks(*text(), batch_size=3, steps=30)
    train.fit(one, chunks, epochs=3, every=2)  # rounds straddle epochs
    n = len(chunks)
    assert seen == [(k // n, k) for k in range(3 * n)]
    assert one.optimizer.param_groups[0]["lr"] == 0.25


def test_the_best_weights_are_kept_and_patience_ends() -> None:
    """The score decides, by its first entry; a rate that destroys everything is not kept."""

    def score(model: nn.Module, chunk: train.Chunk, state: tuple) -> tuple[dict[str, tuple[Tensor, int]], tuple]:
        y, state = model(chunk.x, state, chunk.resets)
        wrong = (y.argmax(2) != chunk.target).sum().float()
        return {"error": (wrong, chunk.target.numel()), "size": y.abs().mean()}, state

    model = Predictor("lstm")
    chunks = train.Chunks(*text(), batch_size=3, steps=20)
    one = lesson(model, score=score, truncation=train.Truncated(), schedule=lambda epoch, _: 1 if epoch < 3 else -2)
    outcome = train.fit(one, chunks, chunks, epochs=30, stop=train.Patience(3))
    errors = [row["validation_error"] for row in outcome.history]
    assert len(errors) < 30 and outcome.best["validation_error"] == min(errors) < errors[0]
    state, wrong, count = None, 0, 0
    model.eval()
    for chunk in chunks:
        found, state = score(model, chunk, state)
        wrong, count = wrong + float(found["error"][0]), count + found["error"][1]
    assert wrong / count == pytest.approx(min(errors))


def test_an_infinite_loss_ends_training() -> None:
    one = lesson(Predictor("lstm"), lr=1e38, truncation=train.Truncated())
    with pytest.raises(FloatingPointError, match="the loss is (nan|inf) at update .*; lower the learning rate"):
        train.fit(one, train.Chunks(*text(), batch_size=3, steps=5), epochs=4)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({}, "expected one of the two"),
        ({"epochs": 1, "updates": 1}, "expected one of the two"),
        ({"updates": 0}, "updates is 0"),
        ({"updates": 1, "every": 0}, "every is 0"),
        ({"updates": 1, "resume": True}, "resume needs the folder"),
        ({"updates": 1, "devices": 0}, "Lightning says"),
    ],
)
def test_arguments_that_do_not_fit(settings, message) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        train.fit(lesson(Predictor("lstm")), train.Chunks(*text(), batch_size=3, steps=5), **settings)


def test_data_that_do_not_fit() -> None:
    one = lesson(Predictor("lstm"))
    with pytest.raises(TypeError, match="give updates and every"):
        train.fit(one, train.Generated(lambda g: g, seed=0), epochs=1)
    loader = torch.utils.data.DataLoader(torch.arange(4.0), shuffle=True)
    with pytest.raises(TypeError, match="DataLoader that shuffles"):
        train.fit(one, loader, epochs=1)
    with pytest.raises(TypeError, match="is a generator"):
        train.fit(one, (x for x in "ab"), epochs=1)
    with pytest.raises(ValueError, match="no batch"):
        train.fit(one, [], epochs=1)
    with pytest.raises(ValueError, match="different lengths"):
        train.Chunks(torch.arange(4), torch.arange(3), batch_size=1, steps=1)
    with pytest.raises(ValueError, match="too few"):
        train.Chunks(torch.arange(4), torch.arange(4), batch_size=5, steps=1)


def test_the_public_list_is_explicit_and_sorted() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        train.nothing  # noqa: B018
    assert set(train.__all__) <= set(dir(train))
    assert list(train.__all__) == sorted(train.__all__, key=str.lower)


def test_progress_is_told() -> None:
    """Without a terminal, a line for each round that is the best so far; with one, a bar that leaves nothing behind."""
    chunks = train.Chunks(*text(), batch_size=3, steps=20)
    for terminal, every, expected in ((False, None, "epoch 1: validation loss 1."), (False, 2, "update 2: validation")):
        console = Console(file=io.StringIO(), force_terminal=terminal)
        one = lesson(Predictor("lstm"), truncation=train.Truncated())
        train.fit(one, chunks, chunks, epochs=2, every=every, progress=train.Progress(console))
        assert expected in console.file.getvalue() and "the best so far" in console.file.getvalue()
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    one = lesson(Predictor("lstm"), truncation=train.Truncated())
    train.fit(one, chunks, updates=4, every=2, progress=train.Progress(console, "learning"))
    shown = console.file.getvalue()
    assert "learning" in shown and "update 2 of 4, train loss 1." in shown
