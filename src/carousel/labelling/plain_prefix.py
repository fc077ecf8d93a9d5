"""Prefix search in plain Python: what the core does, as Graves et al. (2006) write it.

Legend: T frames, K labels with the blank.
"""

from __future__ import annotations

import heapq
import math

import torch
from torch import Tensor

Open = tuple[float, list[int], list[float], list[float]]


def plain_prefix_search(log_probs: Tensor, blank: int, most: int) -> tuple[list[int], float]:
    """The most probable transcript of log_probs (T, K), and its log-probability.

    A prefix carries gamma, for each frame the probability that it is all there is up to there, the frame being a label
    or a blank; its extensions are all longer transcripts that begin with it. Probabilities are in units of the best
    label's of each frame, which keeps them in range. Raises RuntimeError where more than `most` had to be extended.
    """
    unit = log_probs.double().max(-1).values
    units = (log_probs.double() - unit[:, None]).exp()
    y, after = units.tolist(), [*units.sum(-1).flip(0).cumprod(0).flip(0).tolist()[1:], 1.0]
    gamma_blank = torch.tensor([row[blank] for row in y], dtype=torch.float64).cumprod(0).tolist()
    best, best_probability = [], gamma_blank[-1]  # type: tuple[list[int], float]
    queue: list[Open] = [(-math.inf, [], [0.0] * len(y), gamma_blank)]
    for _ in range(most):
        if not queue or -queue[0][0] <= best_probability:
            return best, math.log(best_probability) + float(unit.sum())
        left, prefix, *gamma = heapq.heappop(queue)
        rest = -left
        for k in range(log_probs.shape[1]):
            if k == blank or rest <= best_probability:
                continue
            begun, label, blanks = _appended(y, after, prefix, gamma, k, blank)
            rest -= begun
            probability = label[-1] + blanks[-1]
            if probability > best_probability:
                best, best_probability = [*prefix, k], probability
            heapq.heappush(queue, (probability - begun, [*prefix, k], label, blanks))
    raise RuntimeError(f"more than {most} prefixes would have to be extended")


def _appended(
    y: list[list[float]], after: list[float], prefix: list[int], gamma: list[list[float]], k: int, blank: int
) -> tuple[float, list[float], list[float]]:
    """Of the prefix with one label more: the probability of all that begins with it, and its gamma.

    `after`: for each frame the probability of everything that can follow it, which would be 1 in other units.
    """
    again = prefix[-1:] == [k]
    label, blanks = [0.0 if prefix else y[0][k]], [0.0]
    begun = label[0] * after[0]
    for t in range(1, len(y)):
        added = y[t][k] * (gamma[1][t - 1] + (0.0 if again else gamma[0][t - 1]))
        begun += added * after[t]
        blanks.append(y[t][blank] * (blanks[-1] + label[-1]))
        label.append(added + y[t][k] * label[-1])
    return begun, label, blanks
