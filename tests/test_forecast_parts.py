"""Scaling, seasons, windows, linear forecasts, baselines and scores, each against numbers computed another way."""

import numpy as np
import pandas as pd
import pytest
import torch

from carousel.jobs import JobError
from carousel.jobs.forecast.baselines import Yardstick, simple_baselines
from carousel.jobs.forecast.columns import Columns
from carousel.jobs.forecast.grid import Grid
from carousel.jobs.forecast.metrics import score, seasonal_error
from carousel.jobs.forecast.prepare import choose_context, prepare
from carousel.jobs.forecast.scaling import Columnwise, Scale, carry_forward
from carousel.jobs.forecast.season import calendar, cycles, find_season
from carousel.jobs.forecast.series import make_series
from carousel.jobs.forecast.smoothing import Smoothing
from carousel.jobs.forecast.windows import Cut, windows
from forecast_data import daily, shops


def prepared(frame, columns=None, horizon=7, **more):
    table = make_series(frame, columns or Columns("sales", "day"))
    return prepare(table, horizon, **more), table


# Scaling


@pytest.mark.parametrize("log", [False, True])
def test_scaling_and_back(log):
    values = np.array([1.0, 4.0, np.nan, 9.0, 2.5])
    scale = Scale.learn(values, log)
    z = scale.apply(values)
    np.testing.assert_allclose(scale.undo(z), values)
    assert np.nanmean(z) == pytest.approx(0) and np.nanstd(z) == pytest.approx(1)


def test_scales_of_constants_and_of_values_below_the_floor():
    assert Scale.learn(np.full(5, 7.0)).apply(np.array([7.0, 8.0])).tolist() == [0.0, 1.0]
    scale = Scale.learn(np.array([2.0, 4.0]), log=True)
    assert scale.undo(scale.apply(np.array([-3.0, 0.0, 3.0]))) == pytest.approx([1.0, 1.0, 3.0])


def test_covariates_share_one_scale():
    scale = Columnwise.learn([np.array([[0.0, 5.0]]), np.array([[2.0, 5.0], [np.nan, 5.0]])])
    np.testing.assert_allclose(scale.apply(np.array([[1.0, 6.0]])), [[0.0, 1.0]])


def test_filling_looks_back_only():
    values = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan]])
    assert carry_forward(values).tolist() == [[0.0, 1.0], [2.0, 1.0], [2.0, 1.0]]


# Seasons


@pytest.mark.parametrize("step, expected", [("D", 7), ("MS", 12), ("h", 24)])
def test_seasons_are_found(step, expected):
    rng = np.random.default_rng(0)
    count = np.arange(600)
    values = np.sin(2 * np.pi * count / expected) + rng.normal(0, 0.1, 600) + 0.01 * count
    frame = pd.DataFrame({"t": pd.date_range("2020-01-01", periods=600, freq=step), "y": values})
    table = make_series(frame, Columns("y", "t"))
    assert find_season(table.grid, [values]) == expected
    assert find_season(Grid("rows"), [values]) % expected == 0  # without dates, from the values alone
    assert find_season(table.grid, [rng.normal(0, 1, 600).cumsum()]) == 1


def test_the_calendar_comes_round():
    hours = np.arange("2020-01-01", "2022-01-01", dtype="datetime64[h]").astype("datetime64[us]")
    grid = Grid("span", 3_600_000_000)
    assert cycles(grid, hours) == ("day", "week", "year")
    assert cycles(grid, hours[:500]) == ("day", "week")
    assert cycles(Grid("rows"), hours) == ()
    waves = calendar(grid, hours, ("day", "week"))
    assert waves.shape == (len(hours), 8)
    np.testing.assert_allclose(waves[:24, :4], waves[24:48, :4], atol=1e-9)
    np.testing.assert_allclose(waves[:168], waves[168:336], atol=1e-9)


# Windows and leaks


def test_windows_hold_what_they_should():
    found, table = prepared(daily(100), horizon=5, context=8)
    store, scale = found.store, found.view.scales[""]
    batch = store.batch(torch.tensor([[0, 40, 40, 44]]))
    z = torch.tensor(scale.apply(table.series[0].target), dtype=torch.float32)
    torch.testing.assert_close(batch.base, z[40:41])
    torch.testing.assert_close(batch.lags[0], z[33:41] - z[40])
    torch.testing.assert_close(batch.before[0, :, 0], z[33:41] - z[40])
    assert batch.weight.tolist() == [[1, 1, 1, 0, 0]]  # rows 41 to 43 lie within [40, 44)
    torch.testing.assert_close(batch.target[0, :3], z[41:44] - z[40])
    season = found.view.season
    assert season == 7
    torch.testing.assert_close(batch.seasonal[0], z[41 - 7 : 46 - 7] - z[40])


def test_a_short_context_is_padded_behind_its_end():
    found, _ = prepared(daily(100), horizon=5, context=8)
    batch = found.store.batch(torch.tensor([[0, 2, 0, 50]]))
    assert batch.lengths.tolist() == [3] and batch.before.shape[1] == 8
    torch.testing.assert_close(batch.lags[0, :6], batch.lags[0, :1].expand(6))
    assert (batch.seasonal[0, :4] == 0).all() and batch.seasonal[0, 4] != 0  # younger than a season: the last value


def test_missing_targets_do_not_count():
    frame = daily(100)
    frame.loc[[42, 43], "sales"] = np.nan
    found, _ = prepared(frame, horizon=5, context=8)
    batch = found.store.batch(torch.tensor([[0, 41, 0, 100], [0, 43, 0, 100]]))
    assert batch.weight.tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]
    assert batch.before[1, :, 1].tolist() == [1] * 6 + [0, 0]
    assert batch.before[1, -1, 0] == 0  # carried forward


def test_windows_stay_on_their_side_of_the_cuts():
    found, table = prepared(shops(100), Columns("sales", "day", "shop"), horizon=4, context=10)
    for number, one in enumerate(table.series):
        cut, start = found.cuts[one.name], int(found.store.start[number])
        for part, low, high in ((found.training, 0, cut.training), (found.validation, cut.training, cut.validation)):
            mine = part[part[:, 0] == number]
            batch = found.store.batch(mine)
            rows = mine[:, 1:2] - start + 1 + torch.arange(4)
            counted = rows[batch.weight > 0]
            assert counted.min() >= low and counted.max() == high - 1
        tests = windows(found.store, number, cut.validation, one.length, whole=True)
        assert (tests[:, 1] - start).tolist() == list(range(cut.validation - 1, one.length - 4))


def test_cuts_are_at_70_and_80_percent():
    assert Cut.of(1000) == Cut(700, 800)


def test_nothing_after_the_training_part_reaches_the_training():
    frame = daily(200)
    other = frame.copy()
    other.loc[160:, "sales"] *= 3  # after validation
    one, _ = prepared(frame)
    two, _ = prepared(other)
    assert one.view == two.view and torch.equal(one.training, two.training)
    for left, right in zip((*one.straight, *one.baseline), (*two.straight, *two.baseline), strict=True):
        assert torch.equal(left, right)
    for part in (one.training, one.validation):
        for left, right in zip(one.store.batch(part), two.store.batch(part), strict=True):
            assert torch.equal(left, right)


@pytest.mark.parametrize("rows, horizon", [(9, 1), (40, 9), (30, 20)])
def test_too_short_for_the_horizon(rows, horizon):
    with pytest.raises(JobError, match="too short"):
        prepared(daily(rows), horizon=horizon)


def test_contexts_are_chosen_within_bounds():
    assert choose_context(26, 52, 1500) == 104
    assert choose_context(24, 168, 4000) == 192
    assert choose_context(12, 365, 3000) == 96
    assert choose_context(5, 12, 30) == 12


# Linear forecasts


def test_linear_forecasts_recover_an_autoregression():
    rng = np.random.default_rng(0)
    values = [0.0, 0.0]
    for _ in range(3000):
        values.append(0.6 * values[-1] - 0.3 * values[-2] + rng.normal(0, 0.1))
    found, _ = prepared(pd.DataFrame({"sales": values}), Columns("sales"), horizon=2, context=6, season=1)
    batch = found.store.batch(found.validation[100:200])
    z = batch.lags + batch.base[:, None]
    one = 0.6 * z[:, -1] - 0.3 * z[:, -2]
    two = 0.6 * one - 0.3 * z[:, -1]
    forecast = found.baseline(batch) + batch.base[:, None]
    assert (forecast - torch.stack([one, two], 1)).abs().max() < 0.15
    assert found.baseline.spread[0] * found.view.scales[""].deviation == pytest.approx(0.1, rel=0.05)


def test_known_covariates_enter_the_straight_part_only():
    frame = shops(200).query("shop == 'north'").drop(columns="shop")
    found, _ = prepared(frame, Columns("sales", "day", known=("promotion",)))
    batch = found.store.batch(found.validation)
    counted = batch.weight > 0
    errors = [((one(batch) - batch.target).abs())[counted].mean() for one in (found.straight, found.baseline)]
    assert errors[0] < 0.5 * errors[1]
    assert found.baseline.ahead.shape[1] == 0


def test_growth_in_proportion_takes_a_logarithm():
    step = np.arange(200)
    noise = np.random.default_rng(0).normal(0, 0.1, 200)
    values = np.exp(0.02 * step + np.sin(2 * np.pi * step / 7) + noise)
    found, _ = prepared(daily(200).assign(sales=values))
    assert found.view.scales[""].floor is not None
    assert prepared(daily(200).assign(sales=np.log(values)))[0].view.scales[""].floor is None


# Baselines


def test_naive_baselines_by_hand():
    target = np.array([1.0, 2.0, 3.0, 5.0, np.nan, 8.0])
    yardstick = Yardstick(1.0, 2.0, 3.0, None)
    found = dict(simple_baselines(yardstick, target, np.array([3, 4]), 3, 2, 1.0))
    assert found["naive"].middle.tolist() == [[5, 5, 5], [5, 5, 5]]
    assert found["seasonal naive"].middle.tolist() == [[3, 5, 3], [5, 5, 5]]
    np.testing.assert_allclose(found["naive"].high[0], 5 + 2 * np.sqrt([1, 2, 3]))
    np.testing.assert_allclose(found["seasonal naive"].low[0], np.array([3, 5, 3]) - 3 * np.sqrt([1, 1, 2]))


@pytest.mark.parametrize("season", [1, 7])
def test_smoothing_agrees_with_statsmodels(season):
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    values = daily(120)["sales"].to_numpy()
    found = Smoothing.fit(values[:90], season)
    kind = {"seasonal": "add", "seasonal_periods": 7} if season > 1 else {}
    damped = found.phi < 1
    model = ETSModel(
        pd.Series(values), trend="add", damped_trend=damped, initialization_method="known",
        initial_level=found.level, initial_trend=found.trend,
        initial_seasonal=list(found.season) if season > 1 else None, **kind,
    )  # fmt: skip
    free = [found.alpha, found.beta] + [found.gamma] * (season > 1) + [found.phi] * damped
    start = [found.level, found.trend] + list(found.season) * (season > 1)
    smoothed = model.smooth(free + start)
    np.testing.assert_allclose(found.forecast(values, np.array([119]), 9)[0], smoothed.forecast(9), rtol=1e-6)


def test_smoothing_reads_nothing_after_an_origin_and_skips_holes():
    values = daily(100)["sales"].to_numpy().copy()
    found = Smoothing.fit(values[:70], 7)
    changed = values.copy()
    changed[81:] = 1e6
    origins = np.array([75, 80])
    np.testing.assert_array_equal(found.forecast(values, origins, 5), found.forecast(changed, origins, 5))
    values[78] = np.nan
    assert np.isfinite(found.forecast(values, origins, 5)).all()
    later = found.forecast(values[14:], origins - 14, 5, offset=14)
    np.testing.assert_allclose(later, found.forecast(values, origins, 5), rtol=0.05)


def test_smoothing_deviation_of_a_random_walk():
    walk = Smoothing(1.0, 0.0, 0.0, 1.0, 0.0, 0.0, (0.0,), 2.0)
    np.testing.assert_allclose(walk.deviation(4), 2 * np.sqrt([1, 2, 3, 4]))


# Scores


def test_scores_by_hand():
    target = np.array([[1.0, 2.0], [3.0, np.nan]])
    weight = np.array([[1.0, 1.0], [1.0, 0.0]])
    forecast = np.array([[1.0, 4.0], [2.0, 0.0]])
    found = score(target, weight, forecast, np.array([1.0, 2.0]), (forecast - 1, forecast + 1))
    assert found.mae == pytest.approx(1.0)
    assert found.rmse == pytest.approx(np.sqrt(5 / 3))
    assert found.mase == pytest.approx((0 + 2 + 0.5) / 3)
    assert found.coverage == pytest.approx(2 / 3)


def test_the_unit_of_mase():
    assert seasonal_error(np.array([1.0, 5.0, 2.0, 9.0, np.nan, 9.5]), 2) == pytest.approx((1 + 4 + 0.5) / 3)
    assert seasonal_error(np.array([2.0, 2.0, 2.0]), 1) == 2.0
