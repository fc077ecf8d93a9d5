"""Rolling-origin evaluation: from every origin of the held-out tail, the model and the baselines look ahead."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from carousel.jobs import JobError
from carousel.jobs.forecast.baselines import NAMES, Band, Yardstick, simple_baselines, smoothed
from carousel.jobs.forecast.linear import Linear
from carousel.jobs.forecast.metrics import Score, score
from carousel.jobs.forecast.model import Network
from carousel.jobs.forecast.scaling import Scale
from carousel.jobs.forecast.series import Series, show_time
from carousel.jobs.forecast.windows import Store, observed, windows

if TYPE_CHECKING:
    import pandas as pd


class Held(NamedTuple):
    """The held-out tail of one series.

    Rows from ``row`` on were never seen; ``offset`` steps lie between the training's first row and this series' own.
    """

    row: int
    offset: int


class Evaluation(NamedTuple):
    """Scores by forecaster, the model first, and what they were taken from."""

    scores: dict[str, Score]
    origins: int
    targets: int
    series: list[str]
    left_out: list[str]  # series without an origin
    first: str
    last: str
    season: int
    interval: float  # nominal coverage

    @property
    def table(self) -> pd.DataFrame:
        """One row a forecaster, columns MAE, RMSE, MASE and coverage."""
        import pandas as pd

        return pd.DataFrame.from_dict(
            {name: one._asdict() for name, one in self.scores.items()}, orient="index", dtype=float
        )

    def says(self) -> str:
        """What was scored, in one sentence."""
        where = f" of {len(self.series)} series" if len(self.series) > 1 else ""
        text = (
            f"scored {self.origins:,} rolling origins ({self.targets:,} targets){where} from {self.first} to "
            f"{self.last}, all after what training and validation saw"
        )
        return text + (f"; without an origin: {', '.join(self.left_out)}" if self.left_out else "")


class Judge(NamedTuple):
    """All that evaluation needs of a fitted model."""

    network: Network
    baseline: Linear
    scales: Mapping[str, Scale]
    yardsticks: Mapping[str, Yardstick]
    season: int
    name: str  # of the model, as the table shows it

    @property
    def interval(self) -> float:
        """Nominal coverage of the outermost quantiles."""
        return self.network.quantiles[-1] - self.network.quantiles[0]


def evaluate(judge: Judge, series: list[Series], store: Store, held: list[Held]) -> Evaluation:
    """Score every origin from which a whole horizon of unseen targets follows.

    Raises:
        JobError: there is none.
    """
    parts, used, left_out, times = [], [], [], []
    for number, (one, tail) in enumerate(zip(series, held, strict=True)):
        found = observed(store, windows(store, number, tail.row, one.length, whole=True))
        if not len(found):
            left_out.append(one.name)
            continue
        used.append(one.name)
        rows = (found[:, 1] - store.start[number]).numpy()
        times += [one.times[rows[0] + 1], one.times[rows[-1] + store.view.horizon]]
        parts.append(_one_series(judge, one, store, found, rows, tail))
    if not parts:
        raise JobError(
            f"nothing is left to evaluate: no origin has a whole horizon of {store.view.horizon} steps after what "
            "training and validation saw. Give data that reaches further."
        )
    names = parts[0].bands
    joined = {name: _joined([part.bands[name] for part in parts]) for name in names}
    target, weight, unit = (np.concatenate([part[at] for part in parts]) for at in range(3))
    return Evaluation(
        scores={name: score(target, weight, band.middle, unit, (band.low, band.high)) for name, band in joined.items()},
        origins=len(target),
        targets=int(weight.sum()),
        series=used,
        left_out=left_out,
        first=show_time(min(times)),
        last=show_time(max(times)),
        season=judge.season,
        interval=judge.interval,
    )


def _joined(bands: list[Band]) -> Band:
    return Band(*(np.concatenate(part) for part in zip(*bands, strict=True)))


class _Part(NamedTuple):
    target: np.ndarray  # (B, H)
    weight: np.ndarray  # (B, H)
    unit: np.ndarray  # (B,)
    bands: dict[str, Band]


def _one_series(judge: Judge, one: Series, store: Store, found: torch.Tensor, rows: np.ndarray, tail: Held) -> _Part:
    scale, yardstick, horizon = judge.scales[one.name], judge.yardsticks[one.name], store.view.horizon
    level = NormalDist().inv_cdf(judge.network.quantiles[-1])
    quantiles = model_quantiles(judge.network, store, found)
    bands = {judge.name: _band(scale.undo(quantiles), judge.network)}
    bands.update(simple_baselines(yardstick, one.target, rows, horizon, judge.season, level))
    bands["linear"] = _linear_band(judge.baseline, store, found, level, scale)
    z = scale.apply(one.target)
    bands["exponential smoothing"] = smoothed(yardstick, z, rows, horizon, level, tail.offset, scale)
    ahead = rows[:, None] + np.arange(1, horizon + 1)
    target = one.target[ahead]
    weight = (~np.isnan(target)).astype(float)
    order = [judge.name, *NAMES]
    return _Part(target, weight, np.full(len(rows), yardstick.unit), {name: bands[name] for name in order})


def model_quantiles(network: Network, store: Store, found: torch.Tensor) -> np.ndarray:
    """The model's quantiles (B, H, Q) on its own scale."""
    network.eval()
    parts = []
    with torch.no_grad():
        for some in found.split(1024):
            batch = store.batch(some)
            parts.append(network.distribution(batch) + batch.base[:, None, None])
    return torch.cat(parts).double().numpy()


def _band(quantiles: np.ndarray, network: Network) -> Band:
    return Band(quantiles[..., network.quantiles.index(0.5)], quantiles[..., 0], quantiles[..., -1])


def _linear_band(linear: Linear, store: Store, found: torch.Tensor, level: float, scale: Scale) -> Band:
    batches = [store.batch(some) for some in found.split(1024)]
    middle = torch.cat([linear(batch) + batch.base[:, None] for batch in batches]).double().numpy()
    half = level * linear.spread.double().numpy()
    return Band(scale.undo(middle), scale.undo(middle - half), scale.undo(middle + half))
