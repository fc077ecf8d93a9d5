"""Direct linear forecasts: for each step ahead one ridge regression on what is known at the origin.

It is a baseline (on the lags alone) and the straight part of the model (on everything), which the network corrects.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from carousel.jobs.forecast.windows import Batch, Store

PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
MOST_ROWS = 6000


class Linear(NamedTuple):
    """``lags @ common.T + (ahead * own).sum + constant``, relative to the base; ``spread`` is the residual deviation."""

    common: Tensor  # (H, L + 1)
    own: Tensor  # (H, F); F = 0 for the baseline
    constant: Tensor  # (H,)
    spread: Tensor  # (H,)

    def __call__(self, batch: Batch) -> Tensor:
        """Forecasts (B, H), relative to each window's base."""
        straight = _common(batch) @ self.common.T + self.constant
        return straight if not self.own.shape[1] else straight + (batch.ahead * self.own).sum(2)


def _common(batch: Batch) -> Tensor:
    return torch.cat([batch.lags, batch.base[:, None]], dim=1)


def fit_linear(store: Store, training: Tensor, validation: Tensor, future: bool) -> Linear:
    """Fitted on the training windows (n, 4), the penalty chosen on the validation windows.

    ``future`` adds what is known of each step ahead (covariates, calendar, static attributes) to the lags.
    """
    train = store.batch(_thin(training))
    check = store.batch(_thin(validation))
    paths = [_path(train, step, future) for step in range(store.view.horizon)]
    weights = torch.stack([weights for weights, _ in paths])  # (H, penalties, features + 1)
    spreads = torch.stack([spread for _, spread in paths])  # (H, penalties)
    errors = torch.stack([_error(check, step, future, weights[step]) for step in range(store.view.horizon)])
    best = int(errors.sum(0).argmin())
    lags = train.lags.shape[1] + 1
    chosen = weights[:, best].float()
    parts = (chosen[:, :lags], chosen[:, lags:-1], chosen[:, -1], spreads[:, best].float().clamp(min=1e-4))
    return Linear(*(part.contiguous() for part in parts))  # laid out as they will be when loaded: the same bits


def _thin(found: Tensor) -> Tensor:
    if len(found) <= MOST_ROWS:
        return found
    return found[torch.linspace(0, len(found) - 1, MOST_ROWS).long()]


def _design(batch: Batch, step: int, future: bool) -> tuple[Tensor, Tensor]:
    """Rows with a target: features (n, F) and targets (n,), in double precision."""
    parts = [_common(batch), batch.ahead[:, step]] if future else [_common(batch)]
    keep = batch.weight[:, step] > 0
    return torch.cat(parts, dim=1)[keep].double(), batch.target[keep, step].double()


def _path(batch: Batch, step: int, future: bool) -> tuple[Tensor, Tensor]:
    """The weights (penalties, features + 1) and residual deviations (penalties,) of one step ahead."""
    x, y = _design(batch, step, future)
    if len(y) < 2:
        return torch.zeros(len(PENALTIES), x.shape[1] + 1).double(), torch.ones(len(PENALTIES)).double()
    mean, deviation = x.mean(0), x.std(0, unbiased=False)
    flat = deviation < 1e-7
    unit = torch.where(flat, 0.0, (x - mean) / torch.where(flat, 1.0, deviation))
    values, vectors = torch.linalg.eigh(unit.T @ unit / len(y))
    middle = y.mean()
    along = vectors.T @ (unit.T @ (y - middle) / len(y))
    penalties = torch.tensor(PENALTIES).double()
    weights = (along / (values.clamp(min=0) + penalties[:, None])) @ vectors.T  # (penalties, F)
    weights = torch.where(flat, 0.0, weights / torch.where(flat, 1.0, deviation))
    constant = middle - weights @ mean
    residual = y - (x @ weights.T).T - constant[:, None]
    # as many degrees of freedom as the penalised directions leave
    used = (values.clamp(min=0) / (values.clamp(min=0) + penalties[:, None])).sum(1) + 1
    spread = (residual.square().sum(1) / (len(y) - used).clamp(min=len(y) / 4)).sqrt()
    return torch.cat([weights, constant[:, None]], dim=1), spread


def _error(batch: Batch, step: int, future: bool, weights: Tensor) -> Tensor:
    x, y = _design(batch, step, future)
    return (y - (x @ weights[:, :-1].T).T - weights[:, -1:]).abs().sum(1)
