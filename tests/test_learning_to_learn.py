"""Learning to learn: the sequence task, the errors by examples, the baselines, and that weights stay as they are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from carousel import cells
from carousel.layers import Recurrent
from carousel.reproduce.papers import learning_quadratics as quadratic
from carousel.reproduce.training import Reader
from carousel.train import ClipNorm, LearningToLearn, Lesson, examples_until, fit


def lines(generator: torch.Generator, count: int, steps: int):
    """Straight lines through 0."""
    slope = 2 * torch.rand(count, 1, generator=generator) - 1
    x = 2 * torch.rand(steps, count, 1, generator=generator) - 1
    return x, slope * x


def test_each_input_stands_beside_the_target_before_it() -> None:
    task = LearningToLearn(lines, steps=7)
    batch = task.examples(torch.Generator().manual_seed(0), 5)
    x, y = lines(torch.Generator().manual_seed(0), 5, 7)
    assert torch.equal(batch.targets, y) and torch.equal(batch.inputs[..., :1], x)
    assert torch.equal(batch.inputs[1:, :, 1:], y[:-1]) and (batch.inputs[0, :, 1] == 0).all()


def test_functions_differ_between_batches_and_from_those_tested() -> None:
    task = LearningToLearn(lines, steps=3)
    walk = iter(task.source(2, seed=0))
    first, second = next(walk), next(walk)
    assert not torch.equal(first.targets, second.targets)
    assert torch.equal(first.targets, next(iter(task.source(2, seed=0))).targets)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_net_with_fixed_weights_learns_lines_in_its_state(cell: str) -> None:
    task = LearningToLearn(lines, steps=12)
    model = Reader(cell, 2, 12, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    fit(Lesson(model, task.loss, optimizer, clip=ClipNorm(1.0)), task.source(32, seed=0), updates=400, every=400)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    errors = task.errors(model, functions=200, seed=0, steps=20)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert errors.shape == (20,) and errors[0] > 0.05  # 1/9 before it has seen anything
    assert errors[6:12].mean() < errors[0] / 5
    assert torch.equal(errors, task.errors(model, functions=200, seed=0, steps=20))


def test_testing_leaves_the_mode_and_asks_for_no_gradient() -> None:
    class Zero(nn.Module):
        def forward(self, x):
            assert not self.training and not torch.is_grad_enabled()
            return x[..., :1] * 0

    model = Zero()
    errors = LearningToLearn(lines, steps=4).errors(model, functions=4000, seed=1)
    assert model.training
    torch.testing.assert_close(errors, torch.full((4,), 1 / 9), atol=0.01, rtol=0)


def test_any_recurrent_layer_serves() -> None:
    task = LearningToLearn(lines, steps=4)
    for cell in ("slstm", "mlstm", "elman"):
        layer = Recurrent(cells.load(cell), 2, 4)
        model = nn.Sequential(layer, First(), nn.Linear(4, 1))
        assert task.errors(model, functions=3, seed=0).shape == (4,)


class First(nn.Module):
    """The output of what returns output and state."""

    def forward(self, pair):
        return pair[0]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="steps is 1"):
        LearningToLearn(lines, steps=1)
    task = LearningToLearn(lambda generator, count, steps: (torch.zeros(count, steps, 1),) * 2, steps=5)
    with pytest.raises(ValueError, match=r"draw gave \(3, 5, 1\) and \(3, 5, 1\), expected \(T, B, D\)"):
        task.examples(torch.Generator(), 3)


def test_examples_until_the_error_stays_low() -> None:
    assert examples_until(torch.tensor([0.1, 0.1]), 1.0) == 0
    assert examples_until(torch.tensor([2.0, 0.1, 2.0]), 1.0) is None
    assert examples_until(torch.tensor([2.0, torch.nan, 0.1]), 1.0) == 2


def test_quadratics_are_what_they_say() -> None:
    x, y = quadratic.quadratics(torch.Generator().manual_seed(0), 20_000, 2)
    assert x.abs().max() <= 1 and y.abs().max() <= 6
    assert float(y.var()) == pytest.approx(quadratic.VARIANCE, rel=0.03)


def test_baselines_learn_each_function_anew() -> None:
    x, y = quadratic.quadratics(torch.Generator().manual_seed(0), 6, 30)
    exact = quadratic.least_squares(x, y)
    assert (exact[0] == 0).all() and (exact[3] - y[3]).abs().max() > 0.01
    torch.testing.assert_close(exact[8:], y[8:], atol=1e-3, rtol=0)
    slow = quadratic.gradient_descent(x, y)
    errors = (slow - y).square().mean((1, 2))
    assert errors[-5:].mean() < errors[:5].mean() / 5
    # what is said of an example does not depend on its own target
    y[-1] += 1.0
    assert torch.equal(quadratic.gradient_descent(x, y)[-1], slow[-1])
    assert torch.equal(quadratic.least_squares(x, y)[-1], exact[-1])
