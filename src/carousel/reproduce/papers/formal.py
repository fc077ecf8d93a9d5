"""Formal languages beyond the length that was trained: parity, and modular arithmetic without brackets.

Beck et al., "xLSTM: extended long short-term memory", 2024, arXiv:2405.04517, section 4.1; the tasks are those of
Deletang et al., "Neural networks and the Chomsky hierarchy", ICLR 2023, arXiv:2207.02098, drawn as the authors' program
experiments/data/formal_language of the package xlstm draws them. A net reads a word of 3 to 40 tokens and answers at
its end; it is tested on words of 40 to 256. What is counted is the scaled accuracy: 0 is guessing, 1 is all right. To
carry a parity along, a state must change in a way that depends on the state: LSTM and sLSTM can, the mLSTM, which is
linear in its state, cannot.

As in the paper: two blocks of the xLSTM, AdamW with betas 0.9 and 0.99 and weight decay 0.1, a tenth of warm-up and a
cosine. Where the paper has 100,000 updates of 256 words and the best of three learning rates, ours are small enough for
minutes on one core, and short words are drawn more often than long ones, which is learned sooner: of modular
arithmetic the sLSTM then knows words of 8 tokens, hardly those of 24, while its loss still falls. The paper's figures
are printed as a picture only, so none stands beside ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from carousel.reproduce.experiment import TODAY, Axes, Experiment, Measure, Quick, Setting, Trial, Work
from carousel.reproduce.papers.tokens import TokenNet, body, optimizer, scaled, warm_cosine
from carousel.reproduce.training import train, weights

SHORTEST, TRAINED, LONGEST = 3, 40, 256
MODULUS = 5
PLUS, MINUS, TIMES, EQUALS = range(MODULUS, MODULUS + 4)


class Words(NamedTuple):
    """Words (T, B) with their lengths (B,), zeros past them, and what is to be answered at their end (B,)."""

    tokens: Tensor
    lengths: Tensor
    answers: Tensor


def bits(lengths: Tensor, generator: torch.Generator) -> Words:
    """Bits; the answer is whether the number of ones is odd.

    >>> words = bits(torch.tensor([3, 8]), torch.Generator().manual_seed(0))
    >>> torch.equal(words.answers, words.tokens.sum(0) % 2)
    True
    """
    tokens = torch.randint(2, (int(lengths.max()), len(lengths)), generator=generator)
    tokens[torch.arange(len(tokens))[:, None] >= lengths] = 0
    return Words(tokens, lengths, tokens.sum(0) % 2)


def expressions(lengths: Tensor, generator: torch.Generator) -> Words:
    """Digits from 0 to 4 and + - * in turn, then =; the answer is the value modulo 5, products before sums.

    Words have an even number of tokens, so that odd lengths are one longer.

    >>> words = expressions(torch.tensor([6]), torch.Generator().manual_seed(3))
    >>> spell(words.tokens[:, 0]), words.answers
    ('1*2-0=', tensor([2]))
    """
    lengths = lengths + lengths % 2
    T, B = int(lengths.max()), len(lengths)
    digits = torch.randint(MODULUS, (T, B), generator=generator)
    operators = torch.randint(PLUS, EQUALS, (T, B), generator=generator)
    t = torch.arange(T)[:, None]
    tokens = torch.where(t % 2 == 0, digits, operators)
    tokens = torch.where(t == lengths - 1, EQUALS, torch.where(t < lengths, tokens, 0))
    return Words(tokens, lengths, values(tokens, lengths))


def values(tokens: Tensor, lengths: Tensor) -> Tensor:
    """What expressions (T, B) are modulo 5."""
    done = torch.zeros_like(tokens[0])  # the sum of the terms before the last
    term = tokens[0]  # the last term, with its sign
    for t in range(2, len(tokens), 2):
        operator, digit = tokens[t - 1], tokens[t]
        times = operator == TIMES
        more, new = done + term, torch.where(operator == MINUS, -digit, digit)
        inside = t < lengths - 1
        done = torch.where(inside & ~times, more % MODULUS, done)
        term = torch.where(inside, torch.where(times, term * digit, new) % MODULUS, term)
    return (done + term) % MODULUS


def spell(tokens: Tensor) -> str:
    """An expression as it is written."""
    return "".join("01234+-*="[token] for token in tokens.tolist())


TASKS: dict[str, tuple[Callable[[Tensor, torch.Generator], Words], int, int]] = {
    "parity": (bits, 2, 2),
    "modular_arithmetic": (expressions, EQUALS + 1, MODULUS),
}


def drawn(task: Callable, count: int, low: int, high: int, generator: torch.Generator, short: float = 1.0) -> Words:
    """Words of lengths from low to high, each as likely; with `short` above 1, short ones are likelier."""
    share = torch.rand(count, generator=generator) ** short
    return task(low + (share * (high - low + 1)).long().clamp(max=high - low), generator)


def scores(model: TokenNet, words: Words) -> Tensor:
    """(B, K) at the end of each word."""
    last = (words.lengths - 1).clamp(min=0)
    return model(words.tokens, words.lengths)[last, torch.arange(len(last))]


def loss(model: TokenNet, words: Words) -> tuple[Tensor, int]:
    """The cross-entropy of the answers, summed, and how many there are."""
    return F.cross_entropy(scores(model, words), words.answers, reduction="sum"), len(words.answers)


def accuracy(model: TokenNet, words: Words) -> float:
    """The share of right answers."""
    with torch.no_grad():
        return float((scores(model, words).argmax(1) == words.answers).double().mean())


def run(
    work: Work,
    *,
    task: str,
    net: str,
    size: int,
    layers: int,
    learning_rate: float,
    updates: int,
    batch_size: int,
    short: float,
    tested: int,
) -> list[Trial]:
    """One trial: trained on short words, tested on `tested` words of each kind, and a fifth as many of each length."""
    from carousel.train import ClipNorm, Generated, Lesson

    make, tokens, classes = TASKS[task]
    torch.manual_seed(work.seed)
    model = TokenNet(body(net, size, layers), tokens, size, classes)
    source = Generated(lambda random: drawn(make, batch_size, SHORTEST, TRAINED, random, short), work.seed)
    lesson = Lesson(model, loss, optimizer(model, learning_rate), clip=ClipNorm(1.0), schedule=warm_cosine(updates))
    train(work, lesson, source, updates=updates, every=max(1, updates // 20))
    random = torch.Generator().manual_seed(2**32 + work.seed)

    def right(count: int, low: int, high: int) -> float:
        return scaled(accuracy(model.eval(), drawn(make, count, low, high, random)), classes)

    return [
        {
            "beyond 40": right(tested, TRAINED, LONGEST),
            "up to 40": right(tested, SHORTEST, TRAINED),
            "weights": weights(model),
            "scaled accuracy by length": [(n, right(max(1, tested // 5), n, n)) for n in LENGTHS],
        }
    ]


LENGTHS = (8, 24, 40, 64, 96, 128, 192, 256)
NETS = {
    "lstm": ("lstm", "LSTM, one layer"),
    "slstm": ("xlstm[0:1]", "two sLSTM blocks"),
    "mlstm": ("xlstm[1:0]", "two mLSTM blocks"),
}
LSTM = {"size": 32, "layers": 1, "learning_rate": 5e-3, "updates": 1500}
BLOCKS = {"size": 32, "layers": 2, "learning_rate": 2e-2, "updates": 800}
SHARED = {"batch_size": 64, "short": 1.5, "tested": 1000}


def _experiment(name: str, title: str, lstm: dict[str, Any], blocks: dict[str, Any], quick: float) -> Experiment:
    """One of the tasks, with a setting for each net; `quick` is the share of updates that --quick leaves."""
    settings = []
    for key, (net, called) in NETS.items():
        own = {"task": name, "net": net, **SHARED, **(lstm if key == "lstm" else blocks)}
        settings.append(Setting(key, called, own, TODAY, quick={"updates": round(quick * own["updates"])}))
    return Experiment(
        name=name,
        title=f"{title} beyond the length that was trained",
        citation="Beck et al., 2024, arXiv:2405.04517, section 4.1.",
        run=run,
        measures=(Measure("beyond 40", "higher"), Measure("up to 40", "higher")),
        settings=settings,
        trials=1,
        quick=Quick(1, f"the updates to {quick:.0%}"),
        curves={"scaled accuracy by length": Axes("length of the word", "scaled accuracy")},
    )


SHORTER = {"size": 64, "learning_rate": 5e-3, "short": 3.0}
parity = _experiment("parity", "Parity", LSTM, BLOCKS, 0.6)
modular_arithmetic = _experiment(
    "modular_arithmetic",
    "Modular arithmetic",
    {**LSTM, **SHORTER, "updates": 10_000},
    {**BLOCKS, **SHORTER, "updates": 5000},
    0.15,
)
