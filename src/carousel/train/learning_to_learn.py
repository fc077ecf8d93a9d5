"""Learning to learn: a net whose weights are fixed learns new functions in its state.

Legend: T examples of each function, B functions, D inputs and K outputs of a function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from carousel.train.source import Generated, generator


class Examples(NamedTuple):
    """What a net reads of each function, (T, B, D + K), and what it should say, (T, B, K)."""

    inputs: Tensor
    targets: Tensor


class LearningToLearn:
    """Functions as sequences: a net reads each input with the target of the example before, and says the next target.

    Trained on many functions, each a sequence of examples, the weights become a learning algorithm; then they are left
    alone, and what a new function is the net can only learn in its state. Nothing is asked of the net but that it maps
    (T, B, D + K) to (T, B, K), step after step: layers of any cell with an affine output.

    Args:
        draw: `draw(generator, count, steps)` gives inputs (T, B, D) and targets (T, B, K): `steps` examples of each of
            `count` functions drawn at random, all from the numbers of a `torch.Generator`.
        steps: T, the examples of a function in training.

    Source: Hochreiter, Younger & Conwell, "Learning to learn using gradient descent", ICANN 2001,
    doi:10.1007/3-540-44668-0_13.

    >>> def lines(generator, count, steps):
    ...     slope = torch.rand(count, 1, generator=generator)
    ...     x = torch.rand(steps, count, 1, generator=generator)
    ...     return x, slope * x
    >>> task = LearningToLearn(lines, steps=10)
    >>> batch = next(iter(task.source(batch_size=4, seed=0)))
    >>> batch.inputs.shape, torch.equal(batch.inputs[1:, :, 1:], batch.targets[:-1])
    (torch.Size([10, 4, 2]), True)
    """

    def __init__(self, draw: Callable[[torch.Generator, int, int], tuple[Tensor, Tensor]], steps: int):
        if steps < 2:
            raise ValueError(f"LearningToLearn: steps is {steps}, expected at least 2 examples of each function.")
        self.draw, self.steps = draw, steps

    def examples(self, random: torch.Generator, count: int, steps: int | None = None) -> Examples:
        """`count` functions, drawn at random, with `steps` examples of each."""
        steps = steps or self.steps
        x, targets = self.draw(random, count, steps)
        if x.shape[:2] != (steps, count) or targets.shape[:2] != (steps, count) or x.dim() + targets.dim() != 6:
            raise ValueError(
                f"LearningToLearn: draw gave {tuple(x.shape)} and {tuple(targets.shape)}, expected (T, B, D) and "
                f"(T, B, K) with T = {steps} and B = {count}."
            )
        return Examples(read(x, targets), targets)

    def source(self, batch_size: int, seed: int) -> Generated:
        """Batches without end, for `carousel.train.fit`; no function returns."""
        return Generated(lambda random: self.examples(random, batch_size), seed)

    @staticmethod
    def loss(model: nn.Module, batch: Examples) -> tuple[Tensor, int]:
        """The squared errors of all steps, summed, and how many there are, for a `Lesson`."""
        return (model(batch.inputs) - batch.targets).square().sum(), batch.targets.numel()

    @torch.no_grad()
    def errors(self, model: nn.Module, functions: int, seed: int, steps: int | None = None) -> Tensor:
        """(T,) the mean squared error after 0, 1, 2, ... examples of new functions; no weight is changed.

        `seed` draws other functions than `source` does with the same seed. The net is in evaluation meanwhile.
        """
        batch = self.examples(generator(seed, *b"new functions"), functions, steps)
        mode = model.training
        try:
            return (model.eval()(batch.inputs) - batch.targets).square().mean((1, 2))
        finally:
            model.train(mode)


def read(x: Tensor, targets: Tensor) -> Tensor:
    """What is read at each step: x (T, B, D) beside the target (T, B, K) of the step before, at first zeros.

    With one input more than there are targets, the last output is the answer to it:

    >>> x, known = torch.rand(4, 1, 1), torch.rand(3, 1, 1)
    >>> read(x, known).shape
    torch.Size([4, 1, 2])
    """
    before = torch.cat([torch.zeros_like(targets[:1]), targets])[: len(x)]
    return torch.cat([x, before], -1)


def examples_until(errors: Tensor, low: float) -> int | None:
    """After how many examples the error is below `low`, and stays there; None if it is not.

    >>> examples_until(torch.tensor([3.0, 1.0, 2.0, 0.5, 0.4]), 1.5)
    3
    """
    (above,) = torch.nonzero(~(errors < low), as_tuple=True)
    first = int(above[-1]) + 1 if len(above) else 0
    return first if first < len(errors) else None
