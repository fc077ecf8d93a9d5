"""The whole job from Python: accuracy on what is easy, equality after saving, refusals, resuming, own cells."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import carousel as ca
from carousel import cells
from carousel.jobs import JobError
from carousel.jobs.equations import cell_sizes, find_cell
from carousel.jobs.forecast import Forecaster
from forecast_data import QUICK, daily, shops

CELL = """
import carousel as ca

@ca.cell
def leaky(x, h, p):
    a = ca.sigmoid(p.a)
    return a * h + (1 - a) * ca.tanh(p.W @ x + p.b)
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Such small models only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A model of three shops with every kind of covariate, in a folder."""
    folder = tmp_path_factory.mktemp("job") / "model"
    forecaster = Forecaster(
        "sales", 5, time="day", id="shop", known="promotion", past=["visitors"], static=("kind",), **QUICK
    )
    return forecaster.fit(shops(), output=folder), folder


def future(frame, steps=5):
    """The last ``steps`` targets of each shop emptied."""
    frame = frame.copy()
    last = frame.groupby("shop").cumcount(ascending=False) < steps
    frame.loc[last, "sales"] = np.nan
    return frame


def test_the_scores_beat_repetition(fitted):
    forecaster, _ = fitted
    scores = forecaster.evaluation.scores
    assert list(scores) == ["carousel (lstm)", "naive", "seasonal naive", "linear", "exponential smoothing"]
    best = scores["carousel (lstm)"]
    assert best.mase < 0.7 and best.mase < min(one.mase for name, one in scores.items() if name != "carousel (lstm)")
    assert all(0.4 < one.coverage <= 1 for one in scores.values())
    assert forecaster.evaluation.origins == 3 * (24 - 5 + 1)
    assert list(forecaster.evaluation.table.columns) == ["mae", "rmse", "mase", "coverage"]


def test_forecasts_stand_after_the_last_target(fitted):
    forecaster, _ = fitted
    forecasts = forecaster.predict(future(shops()))
    assert list(forecasts.columns) == ["shop", "day", "forecast", "q0.1", "q0.9"]
    assert len(forecasts) == 15
    truth = shops().groupby("shop").tail(5).reset_index(drop=True)
    assert (forecasts["day"].to_numpy() == truth["day"].to_numpy()).all()
    assert (forecasts["q0.1"] < forecasts["forecast"]).all() and (forecasts["forecast"] < forecasts["q0.9"]).all()
    relative = (forecasts["forecast"] - truth["sales"]).abs() / truth["sales"]
    assert relative.mean() < 0.15


def test_the_folder_holds_what_it_should_and_gives_the_same_forecasts(fitted):
    forecaster, folder = fitted
    assert {path.name for path in folder.iterdir()} == {
        "weights.safetensors", "model.json", "metrics.json", "forecast.png", "logs", "checkpoints",
    }  # fmt: skip
    assert (folder / "forecast.png").read_bytes()[:4] == b"\x89PNG"
    assert list(folder.glob("logs/csv/*/metrics.csv")) and list(folder.glob("logs/tensorboard/*/events*"))
    model = json.loads((folder / "model.json").read_text())
    assert model["series"]["north"]["training_until"] == "2023-03-26T00:00:00.000000"
    assert model["series"]["north"]["validation_until"] == "2023-04-07T00:00:00.000000"
    assert model["cell"]["spec"] == "lstm" and model["categories"]["kind"] == ["city", "village"]
    again = Forecaster.load(folder)
    pd.testing.assert_frame_equal(again.predict(future(shops())), forecaster.predict(future(shops())), check_exact=True)
    assert again.evaluate(shops()).scores == forecaster.evaluation.scores
    assert json.loads((folder / "metrics.json").read_text())["origins"] == 60


def test_saving_by_hand(fitted, tmp_path):
    forecaster, folder = fitted
    forecaster.save(tmp_path / "copy")
    for name in ("weights.safetensors", "model.json", "metrics.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()
    with pytest.raises(JobError, match="--overwrite"):
        forecaster.save(tmp_path / "copy")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("all my work")
    with pytest.raises(JobError, match="not a model folder"):
        forecaster.save(tmp_path / "other", overwrite=True)


def test_checkpoints_load_as_plain_data(fitted):
    _, folder = fitted
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["epoch"] == 1 and "random" in next(iter(state["callbacks"].values()))


def test_polars_in_polars_out(fitted):
    polars = pytest.importorskip("polars")
    forecaster, _ = fitted
    forecasts = forecaster.predict(polars.from_pandas(future(shops())))
    assert isinstance(forecasts, polars.DataFrame) and forecasts.shape == (15, 5)


def test_known_covariates_of_the_future_must_be_there(fitted):
    forecaster, _ = fitted
    with pytest.raises(JobError, match=r"'north': known columns \(promotion\) are missing for 2023-05-02; add a row"):
        forecaster.predict(shops())
    frame = future(shops())
    frame.loc[117, "promotion"] = np.nan
    with pytest.raises(JobError, match="missing for 2023-04-29"):
        forecaster.predict(frame)


def test_evaluation_refuses_what_was_seen(fitted):
    forecaster, _ = fitted
    seen = shops().query("day <= '2023-04-09'")
    with pytest.raises(JobError, match="nothing is left to evaluate"):
        forecaster.evaluate(seen)


def test_evaluation_of_later_rows_alone(fitted):
    forecaster, _ = fitted
    later = forecaster.evaluate(shops().query("day > '2023-03-20'"))
    assert later.origins == forecaster.evaluation.origins
    assert later.scores["naive"] == forecaster.evaluation.scores["naive"]
    assert later.scores["carousel (lstm)"].mae == pytest.approx(forecaster.evaluation.scores["carousel (lstm)"].mae)


def test_strange_series_are_named(fitted):
    forecaster, _ = fitted
    with pytest.raises(JobError, match="'east' was not in the data"):
        forecaster.predict(shops().replace({"shop": {"north": "east"}}))
    with pytest.raises(JobError, match="not on the grid"):
        forecaster.predict(shops().assign(day=lambda f: f["day"] + pd.to_timedelta(np.arange(len(f)) % 5, unit="h")))


@pytest.mark.parametrize("settings", [{"distribution": "gaussian"}, {"layers": 2, "quantiles": (0.05, 0.25, 0.95)}])
def test_distributions_and_layers(settings):
    frame = daily()
    forecaster = Forecaster("sales", 4, **(QUICK | settings)).fit(frame)
    forecasts = forecaster.predict(frame)
    quantiles = [name for name in forecasts if name.startswith("q")]
    assert (np.diff(forecasts[sorted(quantiles)].to_numpy(), axis=1) > 0).all()
    assert forecaster.evaluation.scores["carousel (lstm)"].mase < 0.75


def test_gaps_and_missing_values_do_not_hurt():
    frame = daily(200)
    frame.loc[np.random.default_rng(0).random(200) < 0.15, "sales"] = np.nan
    frame = frame.drop(index=range(60, 68)).reset_index(drop=True)
    forecaster = Forecaster("sales", 4, **QUICK).fit(frame)
    assert forecaster.report.absent_rows == 8
    assert np.isfinite(forecaster.predict(frame)["forecast"]).all()
    scores = forecaster.evaluation.scores
    assert scores["carousel (lstm)"].mase < min(1, 1.05 * scores["linear"].mase)


def test_what_comes_after_the_cuts_does_not_change_the_model():
    frame, other = daily(), daily()
    other.loc[int(0.8 * 160) :, "sales"] = 99.0
    one, two = (Forecaster("sales", 4, **QUICK).fit(table) for table in (frame, other))
    for left, right in zip(one.fitted.network.parameters(), two.fitted.network.parameters(), strict=True):
        assert torch.equal(left, right)


def test_one_seed_one_model_and_the_callers_random_numbers_stay():
    before = torch.get_rng_state()
    models = [Forecaster("sales", 4, seed=seed, **QUICK).fit(daily()) for seed in (3, 3, 4)]
    assert torch.equal(before, torch.get_rng_state())
    weights = [model.fitted.network.encoder.W_i_l0 for model in models]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_cell_of_ones_own(tmp_path):
    path = tmp_path / "my.py"
    path.write_text(CELL)
    spec = f"{path}:leaky"
    forecaster = Forecaster("sales", 4, cell=spec, **QUICK).fit(daily(), output=tmp_path / "model")
    forecasts = forecaster.predict(daily())
    assert Forecaster.load(tmp_path / "model").predict(daily()).equals(forecasts)
    del sys.modules[cells.load(spec).fn.__module__]
    path.unlink()
    again = Forecaster.load(tmp_path / "model")
    assert again.predict(daily()).equals(forecasts)
    again.save(tmp_path / "copy")
    assert Forecaster.load(tmp_path / "copy").predict(daily()).equals(forecasts)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"horizon": 0}, "horizon is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"quantiles": (0.1, 0.2)}, "both sides of 0.5"),
        ({"distribution": "normal"}, "'quantile' or 'gaussian'"),
        ({"cell": "ltsm"}, "Did you mean 'lstm'"),
        ({"cell": "nowhere.py:cell"}, "no file"),
        ({"sizes": {"proj_size": 3}}, "no size 'proj_size'"),
        ({"context": -1}, "context is -1"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(JobError, match=message):
        Forecaster(**({"target": "sales", "horizon": 4} | QUICK | settings)).fit(daily())


def test_unfitted():
    with pytest.raises(JobError, match="not fitted"):
        Forecaster("sales", 4).predict(daily())


DAMAGE = {
    "no folder": (lambda folder: folder.rename(folder.with_name("elsewhere")), "no such model folder"),
    "no json": (lambda folder: (folder / "model.json").unlink(), "no model.json"),
    "half a json": (lambda folder: cut(folder / "model.json"), "not readable as JSON"),
    "a list": (lambda folder: (folder / "model.json").write_text("[]"), "expected a JSON object"),
    "another version": (lambda folder: edit(folder, format=99), "format 99"),
    "a part is missing": (lambda folder: edit(folder, grid=None), "damaged"),
    "another size": (lambda folder: edit(folder, features={"before": 3, "ahead": 2}), "damaged"),
    "half the weights": (lambda folder: cut(folder / "weights.safetensors"), "missing or damaged"),
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "missing or damaged"),
    "unfinished": (lambda folder: edit(folder, status="training"), "--resume"),
}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(folder, **changes):
    model = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(model | changes))


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_folders(fitted, tmp_path, name):
    forecaster, _ = fitted
    damage, message = DAMAGE[name]
    forecaster.save(tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(JobError, match=message) as caught:
        Forecaster.load(tmp_path / "model")
    assert "\n" not in str(caught.value)


# Killing and resuming

FIT = """
import sys
sys.path[:0] = {path!r}
import torch
torch.set_num_threads(1)
from forecast_data import daily
from carousel.jobs.forecast import Forecaster
Forecaster("sales", 4, epochs=6, patience=6, hidden_size=6, dropout=0.3, context=14, batch_size=16).fit(
    daily(), output=sys.argv[1], resume=len(sys.argv) > 2)
"""


def start(*arguments):
    program = FIT.format(path=[str(Path(__file__).parent), *sys.path])
    return subprocess.Popen([sys.executable, "-c", program, *arguments])


def test_a_killed_training_resumes_to_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with start(str(whole)) as uninterrupted, start(str(killed)) as victim:
        checkpoint = killed / "checkpoints" / "last.ckpt"
        while not checkpoint.exists() and victim.poll() is None:
            time.sleep(0.005)
        os.kill(victim.pid, signal.SIGKILL)
    assert (uninterrupted.returncode, victim.returncode) == (0, -signal.SIGKILL)
    assert torch.load(checkpoint, weights_only=True)["epoch"] < 5
    assert not (killed / "weights.safetensors").exists()
    with start(str(killed), "resume") as resumed:
        pass
    assert resumed.returncode == 0
    for name in ("weights.safetensors", "metrics.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_resuming_asks_for_the_same_training(tmp_path):
    fast = QUICK | {"epochs": 1}
    with pytest.raises(JobError, match="no training to resume"):
        Forecaster("sales", 4, **fast).fit(daily(), output=tmp_path / "none", resume=True)
    Forecaster("sales", 4, **fast).fit(daily(), output=tmp_path / "model")
    with pytest.raises(JobError, match="finished, there is nothing to resume"):
        Forecaster("sales", 4, **fast).fit(daily(), output=tmp_path / "model", resume=True)
    edit(tmp_path / "model", status="training")
    with pytest.raises(JobError, match="begun with horizon = 4, now it is 5"):
        Forecaster("sales", 5, **fast).fit(daily(), output=tmp_path / "model", resume=True)
    with pytest.raises(JobError, match="data have changed"):
        Forecaster("sales", 4, **fast).fit(daily(seed=1), output=tmp_path / "model", resume=True)
    weights = (tmp_path / "model" / "weights.safetensors").read_bytes()
    Forecaster("sales", 4, **fast).fit(daily(), output=tmp_path / "model", resume=True)  # killed after the last epoch
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == weights
    edit(tmp_path / "model", status="training")
    cut(tmp_path / "model" / "checkpoints" / "last.ckpt")
    with pytest.raises(JobError, match="damaged checkpoint"):
        Forecaster("sales", 4, **fast).fit(daily(), output=tmp_path / "model", resume=True)


def test_a_training_that_had_stopped_early_does_not_go_on(tmp_path):
    stale = QUICK | {"epochs": 5, "patience": 1, "learning_rate": 1e-30}
    one = Forecaster("sales", 4, **stale).fit(daily(), output=tmp_path / "model")
    assert one.fitted.training["epochs"] == 1
    edit(tmp_path / "model", status="training")
    two = Forecaster("sales", 4, **stale).fit(daily(), output=tmp_path / "model", resume=True)
    assert two.fitted.training == one.fitted.training


@pytest.mark.parametrize("values", [np.full(40, 5.0), np.zeros(40), np.arange(40.0), np.arange(40) % 2 * 1e9])
def test_strange_but_whole_series(values):
    forecaster = Forecaster("y", 1, **(QUICK | {"context": 4})).fit(pd.DataFrame({"y": values}))
    forecasts = forecaster.predict(pd.DataFrame({"y": values}))
    assert np.isfinite(forecasts["forecast"]).all() and forecasts["row"].tolist() == [40]
    assert all(np.isfinite(one.mase) for one in forecaster.evaluation.scores.values())


def test_the_fewest_rows():
    forecaster = Forecaster("sales", 1, **(QUICK | {"context": None})).fit(daily(10))
    assert forecaster.evaluation.origins == 2


def test_an_unknown_strategy():
    with pytest.raises(JobError, match="strategy 'nonsense'"):
        Forecaster("sales", 4, strategy="nonsense", **QUICK).fit(daily())


@pytest.mark.parametrize("entry", list(cells.entries()), ids=lambda entry: entry.name)
def test_every_registered_cell_forecasts_or_says_why_not(entry):
    """An encoder hands its state to a decoder that reads another number of columns, as in the forecast's network."""
    try:
        cell = find_cell(entry.name)
    except JobError as error:
        assert entry.layer == "InDepth" or any(side.keep is None for side in entry.cell.sides.values()), error
        return
    sizes = cell_sizes(cell, 8, {})
    encoder, decoder = (ca.Recurrent(cell, D, hidden_size=8, batch_first=True, **sizes) for D in (5, 4))
    _, state = encoder(torch.randn(2, 6, 5), lengths=torch.tensor([6, 3]))
    y, _ = decoder(torch.randn(2, 4, 4), state)
    y.sum().backward()
    assert y.isfinite().all()


def test_a_folder_of_another_job_is_refused(tmp_path, fitted):
    forecaster, _ = fitted
    forecaster.save(tmp_path)
    model = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(model | {"job": "transcribe"}))
    with pytest.raises(JobError, match="a model of carousel transcribe, expected one of carousel forecast"):
        Forecaster.load(tmp_path)
    with pytest.raises(JobError, match="will not be overwritten"):
        forecaster.save(tmp_path, overwrite=True)
