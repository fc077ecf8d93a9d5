"""What a fit leaves behind, and how it becomes a model folder and comes back from one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from carousel.graph.storing import from_data, to_data
from carousel.jobs import JobError
from carousel.jobs import folder as files
from carousel.jobs.equations import cell_sizes, spec_of
from carousel.jobs.forecast.baselines import Yardstick
from carousel.jobs.forecast.columns import Columns, Encoding
from carousel.jobs.forecast.evaluation import Evaluation, Held, Judge
from carousel.jobs.forecast.grid import Grid
from carousel.jobs.forecast.linear import Linear
from carousel.jobs.forecast.model import Network
from carousel.jobs.forecast.scaling import Columnwise, Scale
from carousel.jobs.forecast.series import Series
from carousel.jobs.forecast.windows import Cut, View
from carousel.layers.initial import undrawn

PLOT = "forecast.png"
JOB = files.Job("forecast", (PLOT,))


class Division(NamedTuple):
    """Where one series was cut, in its own times: what lies after ``validation_until`` was never seen."""

    start: str | float
    training_until: str | float
    validation_until: str | float

    @classmethod
    def of(cls, series: Series, cut: Cut) -> Division:
        """The times of the rows at which a series is cut."""
        return cls(*(_plain_time(series.times[row]) for row in (0, cut.training - 1, cut.validation - 1)))

    def held(self, series: Series, grid: Grid) -> Held:
        """The rows of ``series``, perhaps from another file, that were never seen."""
        if grid.kind == "rows":
            return Held(int(self.validation_until) + 1, 0)
        begin = np.array([series.times[0]])
        seen = grid.positions(np.array([_time(self.validation_until)]), series.times[0])[0]
        offset = grid.positions(begin, _time(self.start))[0]
        return Held(max(0, round(float(seen)) + 1), round(float(offset)))


def _plain_time(time: Any) -> str | float:
    return str(time.astype("datetime64[us]")) if isinstance(time, np.datetime64) else float(time)


def _time(plain: str | float) -> Any:
    return np.datetime64(plain, "us") if isinstance(plain, str) else np.float64(plain)


class Fitted(NamedTuple):
    """A fitted model."""

    network: Network
    view: View
    grid: Grid
    encoding: Encoding
    columns: Columns
    divisions: dict[str, Division]
    yardsticks: dict[str, Yardstick]
    baseline: Linear
    training: dict[str, Any]  # how it went
    name: str  # of the model in tables

    @property
    def judge(self) -> Judge:
        """What evaluation needs."""
        return Judge(self.network, self.baseline, self.view.scales, self.yardsticks, self.view.season, self.name)

    def known_series(self, series: list[Series]) -> None:
        """Raise JobError for a series that the model was not fitted on."""
        for one in series:
            if one.name not in self.divisions:
                some = ", ".join(list(self.divisions)[:10])
                raise JobError(f"series {one.name!r} was not in the data the model was fitted on ({some}).")


def network_sizes(settings: dict[str, Any], view: View, before_size: int, ahead_size: int) -> dict[str, Any]:
    """What a network is built from, beside its cell and its linear part."""
    return {
        "before_size": before_size,
        "ahead_size": ahead_size,
        "hidden_size": settings["hidden_size"],
        "layers": settings["layers"],
        "dropout": settings["dropout"],
        "quantiles": tuple(settings["quantiles"]),
        "gaussian": settings["distribution"] == "gaussian",
    }


def describe(settings: dict[str, Any], fitted: Fitted, report: dict[str, Any], status: str) -> dict[str, Any]:
    """``model.json``: all of the model but its weights."""
    import carousel

    cell = fitted.network.encoder.cell
    return {
        "format": files.FORMAT,
        "job": JOB.name,
        "carousel": carousel.__version__,
        "status": status,
        "settings": settings,
        "cell": {"spec": spec_of(settings["cell"]), **to_data(cell)},
        "columns": fitted.columns._asdict(),
        "categories": fitted.encoding.categories,
        "data": report,
        "grid": fitted.grid._asdict(),
        "horizon": fitted.view.horizon,
        "context": fitted.view.context,
        "season": fitted.view.season,
        "cycles": list(fitted.view.cycles),
        "features": {"before": fitted.network.before_size, "ahead": fitted.network.ahead_size},
        "covariates": {name: getattr(fitted.view, name)._asdict() for name in ("known", "past", "static")},
        "series": {
            name: {
                **division._asdict(),
                "scale": fitted.view.scales[name]._asdict(),
                "yardstick": fitted.yardsticks[name].plain(),
            }
            for name, division in fitted.divisions.items()
        },
        "training": fitted.training,
    }


def save(path: Path, model: dict[str, Any], fitted: Fitted, evaluation: Evaluation | None) -> None:
    """Write the weights and the JSON files."""
    tensors = {f"network.{name}": value for name, value in fitted.network.state_dict().items()}
    tensors.update({f"baseline.{name}": value for name, value in fitted.baseline._asdict().items()})
    files.write_weights(path, tensors)
    if evaluation is not None:
        files.write_json(path / files.METRICS, plain_evaluation(evaluation))
    files.write_json(path / files.MODEL, model)


def plain_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """``metrics.json``."""
    plain = evaluation._asdict()
    return {**plain, "scores": {name: one._asdict() for name, one in evaluation.scores.items()}}


def load(path: Path) -> tuple[dict[str, Any], Fitted]:
    """The settings and the model in a folder.

    Raises:
        JobError: the folder is damaged, unfinished, of another format, or its cell is of another one.
    """
    model = files.read_model(path, JOB)
    if model.get("status") != "finished":
        raise JobError(f"{path}: its training was not finished; continue it with carousel forecast fit ... --resume.")
    tensors = files.read_weights(path)
    try:
        return model["settings"], _restore(model, tensors)
    except (KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        told = str(error).split("\n")[0]
        raise JobError(f"{path}: damaged, {type(error).__name__}: {told}. Fit the model again.") from None


def _restore(model: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Fitted:
    settings, series = model["settings"], model["series"]
    view = View(
        horizon=model["horizon"],
        context=model["context"],
        season=model["season"],
        cycles=tuple(model["cycles"]),
        scales={name: Scale(**one["scale"]) for name, one in series.items()},
        **{name: Columnwise(**model["covariates"][name]) for name in ("known", "past", "static")},
    )
    parts = {name: tensors[f"baseline.{name}"] for name in Linear._fields}
    straight = {name: tensors[f"network.linear_{name}"] for name in Linear._fields}
    found = from_data(model["cell"])
    sizes = network_sizes(settings, view, model["features"]["before"], model["features"]["ahead"])
    extra = cell_sizes(found, settings["hidden_size"], settings["sizes"])
    with undrawn():
        network = Network(found, linear=Linear(**straight), cell_sizes=extra, **sizes)
    prefix = "network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    network.eval()
    columns: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in model["columns"].items()}
    return Fitted(
        network,
        view,
        Grid(**model["grid"]),
        Encoding(model["categories"]),
        Columns(**columns),
        {name: Division(**{key: one[key] for key in Division._fields}) for name, one in series.items()},
        {name: Yardstick.from_plain(one["yardstick"]) for name, one in series.items()},
        Linear(**parts),
        model["training"],
        f"carousel ({found.name})",
    )
