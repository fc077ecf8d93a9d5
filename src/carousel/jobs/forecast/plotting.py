"""What the plot shows: successive forecasts over the end of the held-out tail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from carousel.jobs.forecast.evaluation import Held, model_quantiles
from carousel.jobs.forecast.fitted import Fitted
from carousel.jobs.forecast.plot import Panel, draw
from carousel.jobs.forecast.series import Series
from carousel.jobs.forecast.windows import Store

MOST_PANELS = 3


def plot_held_out(path: Path, fitted: Fitted, series: list[Series], store: Store, held: list[Held]) -> None:
    """Draw up to three series, each with forecasts that follow one another: four, or of short ones more."""
    panels = [_panel(fitted, one, store, number, held[number]) for number, one in enumerate(series[:MOST_PANELS])]
    quantiles = fitted.network.quantiles
    title = f"{fitted.name}: {fitted.view.horizon} steps ahead, on data it never saw"
    draw(path, panels, fitted.columns.target, quantiles[-1] - quantiles[0], title)


def _panel(fitted: Fitted, one: Series, store: Store, number: int, tail: Held) -> Panel:
    horizon, scale = fitted.view.horizon, fitted.view.scales[one.name]
    most = max(4, min(12, 48 // horizon))
    origins = np.arange(one.length - 1 - horizon, tail.row - 2, -horizon)[:most][::-1]
    start = int(store.start[number])
    found = torch.tensor([[number, start + row, start + row + 1, start + row + 1 + horizon] for row in origins])
    quantiles = scale.undo(model_quantiles(fitted.network, store, found))
    middle = fitted.network.quantiles.index(0.5)
    bands = quantiles[..., [0, middle, -1]]
    forecasts = [(one.times[row + 1 : row + 1 + horizon], band) for row, band in zip(origins, bands, strict=True)]
    before = max(horizon, min(fitted.view.season, horizon * len(origins)))
    shown = slice(max(0, int(origins[0]) + 1 - before), one.length)
    return Panel(one.name, one.times[shown], one.target[shown], forecasts)
