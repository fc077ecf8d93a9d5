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
    """Weights of the lags and the base, of past covariates at the origin, and of what is known of each step ahead.

    The baseline has lags only: P = F = 0. ``spread`` is the deviation of the residuals.
    """

    lags: Tensor  # (H, L + 1)
    latest: Tensor  # (H, P)
    ahead: Tensor  # (H, F)
    constant: Tensor  # (H,)
    spread: Tensor  # (H,)

    def __call__(self, batch: Batch) -> Tensor:
        """Forecasts (B, H), relative to each window's base."""
        straight = _history(batch) @ self.lags.T + self.constant
        if self.latest.shape[1]:
            straight = straight + batch.latest @ self.latest.T
        return straight + (batch.ahead * self.ahead).sum(2) if self.ahead.shape[1] else straight


def _history(batch: Batch) -> Tensor:
    return torch.cat([batch.lags, batch.base[:, None]], dim=1)


def fit_linear(store: Store, training: Tensor, validation: Tensor, everything: bool) -> Linear:
    """Fitted on the training windows (n, 4), the penalty chosen on the validation windows.

    ``everything`` adds to the lags the past covariates and what is known of each step ahead (covariates, calendar,
    static attributes).
    """
    train = store.batch(_thin(training))
    check = store.batch(_thin(validation))
    paths = [_path(train, step, everything) for step in range(store.view.horizon)]
    weights = torch.stack([weights for weights, _ in paths])  # (H, penalties, features + 1)
    spreads = torch.stack([spread for _, spread in paths])  # (H, penalties)
    errors = torch.stack([_error(check, step, everything, weights[step]) for step in range(store.view.horizon)])
    best = int(errors.sum(0).argmin())
    widths = (train.lags.shape[1] + 1, train.latest.shape[1] * everything, train.ahead.shape[2] * everything, 1)
    lags, latest, ahead, constant = weights[:, best].float().split(widths, dim=1)
    parts = (lags, latest, ahead, constant[:, 0], spreads[:, best].float().clamp(min=1e-4))
    return Linear(*(part.contiguous() for part in parts))  # laid out as they will be when loaded: the same bits


def _thin(found: Tensor) -> Tensor:
    if len(found) <= MOST_ROWS:
        return found
    return found[torch.linspace(0, len(found) - 1, MOST_ROWS).long()]


def _design(batch: Batch, step: int, everything: bool) -> tuple[Tensor, Tensor]:
    """Rows with a target: features (n, F) and targets (n,), in double precision."""
    parts = [_history(batch), *([batch.latest, batch.ahead[:, step]] if everything else [])]
    keep = batch.weight[:, step] > 0
    return torch.cat(parts, dim=1)[keep].double(), batch.target[keep, step].double()


def _path(batch: Batch, step: int, everything: bool) -> tuple[Tensor, Tensor]:
    """The weights (penalties, features + 1) and residual deviations (penalties,) of one step ahead."""
    x, y = _design(batch, step, everything)
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


def _error(batch: Batch, step: int, everything: bool, weights: Tensor) -> Tensor:
    x, y = _design(batch, step, everything)
    return (y - (x @ weights[:, :-1].T).T - weights[:, -1:]).abs().sum(1)
