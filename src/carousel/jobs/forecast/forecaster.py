"""`Forecaster`: fit, predict, evaluate, save, load. The command line is a thin layer over it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carousel.jobs import JobError
from carousel.jobs.forecast.columns import Columns, find_time, names

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from carousel.graph import AnyCell
    from carousel.jobs.forecast.evaluation import Evaluation
    from carousel.jobs.forecast.fitted import Fitted
    from carousel.jobs.forecast.series import Report


class Forecaster:
    """Forecasts a column many steps ahead, with intervals, for one or many series.

    Args:
        target: the column to forecast.
        horizon: how many steps ahead.
        time: the column of times; found where one column holds dates. Without one, rows count as equally spaced.
        id: the column that names each row's series.
        known: columns known for the future too (calendar, prices, plans).
        past: columns known up to the present only.
        static: columns that do not change within a series.
        cell: a registered cell, ``"path/to/file.py:name"``, or a cell.
        context: steps of history the network reads; chosen from season and horizon.
        season: steps in a season; found in the training part.
        distribution: "quantile" (pinball loss) or "gaussian" (likelihood).
        quantiles: what to forecast; the outermost two make the interval.
        sizes: the cell's further sizes, half of ``hidden_size`` by default.
        patience: epochs without a better validation loss before training stops.
        strategy, devices: handed to Lightning.

    Raises:
        JobError: a setting is out of range.

    Example:
        >>> import numpy as np, pandas as pd
        >>> days = pd.date_range("2024-01-01", periods=120)
        >>> frame = pd.DataFrame({"day": days, "sales": np.sin(np.arange(120) * 2 * np.pi / 7)})
        >>> forecaster = Forecaster(target="sales", horizon=7, epochs=1).fit(frame)
        >>> forecaster.predict(frame)["forecast"].round(1).tolist()
        [0.8, 1.0, 0.4, -0.4, -1.0, -0.8, 0.0]
    """

    def __init__(
        self,
        target: str,
        horizon: int,
        *,
        time: str | None = None,
        id: str | None = None,
        known: str | Iterable[str] = (),
        past: str | Iterable[str] = (),
        static: str | Iterable[str] = (),
        cell: str | AnyCell = "lstm",
        context: int | None = None,
        season: int | None = None,
        distribution: str = "quantile",
        quantiles: Iterable[float] = (0.1, 0.5, 0.9),
        hidden_size: int = 32,
        layers: int = 1,
        dropout: float = 0.2,
        sizes: dict[str, int] | None = None,
        epochs: int = 60,
        patience: int = 8,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        seed: int = 0,
        strategy: str = "auto",
        devices: str | int = 1,
    ):
        self.columns = Columns(target, time, id, names(known), names(past), names(static))
        self.settings: dict[str, Any] = {
            "horizon": horizon,
            "cell": cell,
            "context": context,
            "season": season,
            "distribution": distribution,
            "quantiles": sorted({0.5, *quantiles}),
            "hidden_size": hidden_size,
            "layers": layers,
            "dropout": dropout,
            "sizes": dict(sizes or {}),
            "epochs": epochs,
            "patience": patience,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "strategy": strategy,
            "devices": devices,
        }
        _check_settings(self.settings)
        self.fitted: Fitted | None = None
        self.report: Report | None = None
        self.evaluation: Evaluation | None = None
        self._model: dict[str, Any] = {}

    def fit(
        self,
        frame: Any,
        *,
        output: str | Path | None = None,
        overwrite: bool = False,
        resume: bool = False,
        console: Console | None = None,
    ) -> Forecaster:
        """Fit on the first 70 % of each series, stop early on the next 10 %, and score the rest.

        Args:
            frame: a pandas or Polars frame, one row a time (and series).
            output: the model folder; without one nothing is written, and nothing can be resumed.
            overwrite: replace a model folder that is there.
            resume: continue the training in ``output`` that was cut off, to the same bits.
            console: where to tell what happens.

        Raises:
            JobError: the data or the folder will not do.
            KeyboardInterrupt: stopped by the user; with ``output`` the training can be resumed.
        """
        from carousel.jobs.forecast.fitting import fit

        if resume and output is None:
            raise JobError("resume needs the output folder in which the training was cut off.")
        folder = None if output is None else Path(output)
        self._model, self.fitted, self.evaluation, self.report = fit(
            self._resolved(frame), self.columns, self.settings, folder, overwrite, resume, console
        )
        self.columns = self.fitted.columns
        return self

    def _resolved(self, frame: Any) -> pd.DataFrame:
        """The frame in pandas, its time column found."""
        from carousel.jobs.forecast.columns import check_columns
        from carousel.jobs.tables import as_pandas

        table = as_pandas(frame)
        check_columns(table, self.columns)
        if self.columns.time is None and self.fitted is None:
            self.columns = self.columns._replace(time=find_time(table, self.columns))
        return table

    def predict(self, frame: Any) -> Any:
        """Forecast the ``horizon`` steps after the last target of each series in ``frame``.

        Known covariates of those steps stand in rows of ``frame`` whose target is empty.

        Returns:
            A frame of the given kind: id, time, "forecast" (the median) and a column a quantile, one row a step.

        Raises:
            JobError: the model is not fitted, or the data will not do.
        """
        from carousel.jobs.forecast.predicting import predict
        from carousel.jobs.tables import like

        fitted = self._fitted()
        forecasts, self.report = predict(fitted, self._resolved(frame))
        return like(forecasts, frame)

    def evaluate(self, frame: Any) -> Evaluation:
        """Score rolling origins after what training and validation saw, beside the baselines.

        Raises:
            JobError: the model is not fitted, the data will not do, or no origin is left.
        """
        from carousel.jobs.forecast.predicting import evaluate_frame

        fitted = self._fitted()
        evaluation, self.report = evaluate_frame(fitted, self._resolved(frame))
        return evaluation

    def save(self, folder: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder.

        Raises:
            JobError: the model is not fitted, or the folder is taken.
        """
        from carousel.jobs.folder import claim
        from carousel.jobs.forecast.fitted import JOB, save

        fitted = self._fitted()
        claim(Path(folder), JOB, overwrite, resume=False)
        save(Path(folder), self._model, fitted, self.evaluation)

    @classmethod
    def load(cls, folder: str | Path) -> Forecaster:
        """The forecaster in a model folder. It needs the source of no cell: the folder has the equations.

        Raises:
            JobError: the folder is missing, damaged or of another format.
        """
        from carousel.jobs.folder import read_model
        from carousel.jobs.forecast.fitted import JOB, load

        settings, fitted = load(Path(folder))
        known = {name: value for name, value in fitted.columns._asdict().items() if name != "target"}
        loaded = cls(fitted.columns.target, **known, **settings)
        loaded.fitted, loaded._model = fitted, read_model(Path(folder), JOB)
        return loaded

    def _fitted(self) -> Fitted:
        if self.fitted is None:
            raise JobError("the forecaster is not fitted yet; call fit first, or Forecaster.load.")
        return self.fitted


def _check_settings(settings: dict[str, Any]) -> None:
    """Raise JobError for a setting out of range."""
    for name in ("horizon", "context", "season", "hidden_size", "layers", "epochs", "patience", "batch_size"):
        value = settings[name]
        optional = name in ("context", "season")
        if not (isinstance(value, int) and value >= 1) and not (optional and value is None):
            raise JobError(f"{name} is {value!r}, expected a whole number of at least 1.")
    if not 0 <= settings["dropout"] < 1:
        raise JobError(f"dropout is {settings['dropout']}, expected a probability below 1.")
    if not settings["learning_rate"] > 0:
        raise JobError(f"learning_rate is {settings['learning_rate']}, expected a positive number.")
    if settings["distribution"] not in ("quantile", "gaussian"):
        raise JobError(f"distribution is {settings['distribution']!r}, expected 'quantile' or 'gaussian'.")
    quantiles = settings["quantiles"]
    if not all(0 < one < 1 for one in quantiles) or not quantiles[0] < 0.5 < quantiles[-1]:
        raise JobError(f"quantiles are {quantiles}, expected numbers between 0 and 1 on both sides of 0.5.")
