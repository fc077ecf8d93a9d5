"""Multi-query associative recall: what was said of many keys is asked for later, in any order.

Arora et al., "Zoology: measuring and improving recall in efficient language models", ICLR 2024, arXiv:2312.04927; used
by Beck et al., 2024, arXiv:2405.04517, section 4.1. A sequence begins with pairs of a key and its value; after that
every key returns once, at a place that is likelier the sooner it comes, and there its value is to be said. All other
places hold tokens drawn at random.

The paper's smallest task has 64 tokens, 4 pairs and a vocabulary of 8,192; ours has 64 tokens and a vocabulary of 64
(32 keys, 32 values), so that a net can be trained in minutes on one core. The paper's figures are printed as a picture
only, so none stands beside ours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.reproduce.experiment import TODAY, Axes, Experiment, Measure, Quick, Setting, Trial, Work
from carousel.reproduce.papers.tokens import TokenNet, body, optimizer, warm_cosine
from carousel.reproduce.training import curve, train, weights

POWER = 0.01  # of the gaps between a key and its return, as in the authors' program


class Recall(NamedTuple):
    """Tokens (T, B), and what is to be said at each step (T, B), -1 for nothing."""

    tokens: Tensor
    answers: Tensor


def recall(generator: torch.Generator, count: int, *, steps: int, pairs: int, vocabulary: int) -> Recall:
    """Draw sequences. Keys are the first half of the vocabulary, values the second; none comes twice.

    >>> drawn = recall(torch.Generator().manual_seed(0), 3, steps=16, pairs=2, vocabulary=8)
    >>> (drawn.answers >= 0).sum(0)
    tensor([2, 2, 2])
    """
    half = vocabulary // 2
    keys = torch.rand(count, half, generator=generator).argsort(1)[:, :pairs]  # (B, pairs)
    values = half + torch.rand(count, half, generator=generator).argsort(1)[:, :pairs]
    places = (steps - 2 * pairs) // 2  # a query takes two: the key, and a step on which nothing is asked
    likely = (torch.arange(places) + 1.0) ** (POWER - 1)
    at = torch.multinomial(likely.expand(count, -1), pairs, generator=generator)  # (B, pairs), none twice
    at = 2 * pairs + 2 * at
    tokens = torch.randint(vocabulary, (count, steps), generator=generator)
    tokens[:, 0 : 2 * pairs : 2], tokens[:, 1 : 2 * pairs : 2] = keys, values
    tokens.scatter_(1, at, keys)
    answers = torch.full_like(tokens, -1).scatter_(1, at, values)
    return Recall(tokens.T, answers.T)


def loss(model: TokenNet, batch: Recall) -> tuple[Tensor, int]:
    """The cross-entropy of the answers, summed, and how many there are."""
    asked = batch.answers >= 0
    found = F.cross_entropy(model(batch.tokens)[asked], batch.answers[asked], reduction="sum")
    return found, int(asked.sum())


def wrong(model: TokenNet, batch: Recall) -> tuple[Tensor, int]:
    """The number of wrong answers, and of how many."""
    asked = batch.answers >= 0
    return (model(batch.tokens)[asked].argmax(-1) != batch.answers[asked]).double().sum(), int(asked.sum())


def run(
    work: Work, *, net: str, pairs: int, size: int, layers: int, learning_rate: float, updates: int, batch_size: int
) -> list[Trial]:
    """One trial: the share of queries answered rightly, on sequences that were not trained on."""
    from carousel.train import ClipNorm, Generated, Lesson

    task = {"steps": STEPS, "pairs": pairs, "vocabulary": VOCABULARY}
    torch.manual_seed(work.seed)
    model = TokenNet(body(net, size, layers), VOCABULARY, size, VOCABULARY)
    source = Generated(lambda generator: recall(generator, batch_size, **task), work.seed)
    test = [recall(torch.Generator().manual_seed(2**32 + work.seed), TESTED, **task)]
    lesson = Lesson(
        model, loss, optimizer(model, learning_rate), score=wrong, clip=ClipNorm(1.0), schedule=warm_cosine(updates)
    )
    seen = train(work, lesson, source, test, updates=updates, every=max(1, updates // 8)).history
    right = [(update, 1 - share) for update, share in curve(seen, "validation_loss")]
    return [{"recalled": right[-1][1], "weights": weights(model), "recalled by update": right}]


STEPS, VOCABULARY, TESTED = 64, 64, 1000
OPTIONS = {"pairs": 4, "size": 32, "layers": 2, "learning_rate": 5e-3, "updates": 400, "batch_size": 32}
NETS = {
    "mlstm": ("xlstm[1:0]", "two mLSTM blocks"),
    "xlstm": ("xlstm[1:1]", "an mLSTM and an sLSTM block"),
    "lstm": ("lstm", "LSTM, two layers"),
}

multi_query_recall = Experiment(
    name="multi_query_recall",
    title="Multi-query associative recall",
    citation="Arora et al., 2024, arXiv:2312.04927; Beck et al., 2024, arXiv:2405.04517, section 4.1.",
    run=run,
    measures=(Measure("recalled", "higher", "share"),),
    settings=tuple(
        Setting(name, title, {"net": net, **OPTIONS}, TODAY, quick={"updates": 200})
        for name, (net, title) in NETS.items()
    ),
    trials=1,
    quick=Quick(1, "400 updates to 200"),
    curves={"recalled by update": Axes("update (32 sequences)", "queries answered rightly")},
)
