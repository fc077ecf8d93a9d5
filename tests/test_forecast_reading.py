"""Reading tables: columns, grids, gaps, and one clear line for each thing that can be wrong with a file."""

import numpy as np
import pandas as pd
import pytest

from carousel.jobs import JobError
from carousel.jobs.forecast.columns import Columns, find_time, names
from carousel.jobs.forecast.grid import Grid, infer_grid, parse_times
from carousel.jobs.forecast.series import make_series
from carousel.jobs.tables import as_pandas, like, read_table
from forecast_data import daily, shops

SALES = Columns("sales", "day")


def table(frame, columns=SALES):
    return make_series(frame, columns)


def test_a_whole_table_is_one_series_on_a_daily_grid():
    found = table(daily(50))
    assert str(found.grid) == "1 day" and len(found.series) == 1
    assert found.series[0].length == 50 and not found.report.places
    assert found.report.lines() == ["50 rows, one every 1 day, 2023-01-02 to 2023-02-20"]


def test_gaps_are_marked_counted_and_placed():
    frame = daily(40).drop(index=[10, 11, 12]).reset_index(drop=True)
    frame.loc[20, "sales"] = np.nan
    found = table(frame)
    series = found.series[0]
    assert series.length == 40
    assert np.flatnonzero(np.isnan(series.target)).tolist() == [10, 11, 12, 23]
    assert (found.report.absent_rows, found.report.missing_targets) == (3, 1)
    assert found.report.places == ["2023-01-12 to 2023-01-14", "2023-01-25"]


def test_rows_in_any_order_give_the_same_series():
    frame = daily(30)
    mixed = frame.sample(frac=1, random_state=1)
    np.testing.assert_array_equal(table(frame).series[0].target, table(mixed).series[0].target)


def test_several_series_with_covariates_and_categories():
    columns = Columns("sales", "day", "shop", ("promotion",), ("visitors",), ("kind",))
    found = make_series(shops(40).assign(unused=1), columns)
    assert [one.name for one in found.series] == ["north", "south", "west"]
    assert found.encoding.categories["kind"] == ["city", "village"]
    assert [one.static.tolist() for one in found.series] == [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    assert found.series[0].known.shape == (40, 1) and found.report.ignored == ["unused"]


def test_rows_after_the_last_target_are_the_future():
    frame = daily(30)
    frame.loc[25:, "sales"] = np.nan
    series = table(frame).series[0]
    assert series.length == 25 and len(series.target) == 30


def test_without_a_time_column_rows_are_steps():
    found = make_series(daily(30)[["sales"]], Columns("sales"))
    assert found.grid == Grid("rows") and found.series[0].times.tolist() == list(range(30))


@pytest.mark.parametrize(
    "times, spacing",
    [
        (pd.date_range("2020-01-31", periods=30, freq="ME"), "1 month"),
        (pd.date_range("2020-01-01", periods=30, freq="MS"), "1 month"),
        (pd.date_range("2020-02-01", periods=12, freq="QS-FEB"), "3 months"),
        (pd.date_range("1960-01-01", periods=30, freq="YS"), "12 months"),
        (pd.date_range("2020-01-01", periods=30, freq="15min"), "15 minutes"),
        (pd.date_range("2020-01-01", periods=30, freq="W"), "7 days"),
        (pd.bdate_range("2020-01-01", periods=30), "1 working day"),
        (pd.date_range("2020-03-28", periods=48, freq="h", tz="Europe/Berlin"), "1 hour"),
    ],
)
def test_spacings_are_recognised_and_continued(times, spacing):
    stamps = parse_times(pd.Series(times))
    grid = infer_grid([stamps[:-3]])
    assert str(grid) == spacing
    np.testing.assert_array_equal(grid.times(stamps[0], len(stamps)), stamps)
    np.testing.assert_allclose(grid.positions(stamps, stamps[0]), np.arange(len(stamps)))


def test_a_month_with_a_hole_and_days_that_are_cut_short():
    times = pd.to_datetime(["2020-01-30", "2020-02-29", "2020-03-30", "2020-05-30"])
    grid = infer_grid([parse_times(pd.Series(times))])
    stamps = parse_times(pd.Series(times))
    assert grid.positions(stamps, stamps[0]).tolist() == [0, 1, 2, 4]
    assert grid.times(stamps[0], 5)[[0, 1, 2, 4]].tolist() == stamps.tolist()


@pytest.mark.parametrize(
    "texts, second",
    [
        (["13/01/2020", "14/01/2020"], "2020-01-14"),
        (["20200113", "20200114"], "2020-01-14"),
        (["2020-01-13T00:00:00+02:00", "2020-01-14T00:00:00+02:00"], "2020-01-13T22:00"),
        (["2020-01", "2020-02"], "2020-02-01"),
    ],
)
def test_dates_in_several_writings(texts, second):
    assert parse_times(pd.Series(texts))[1] == np.datetime64(second)
    if texts[0].isdigit():
        assert parse_times(pd.Series([int(text) for text in texts]))[1] == np.datetime64(second)


def test_numbers_can_be_times():
    frame = pd.DataFrame({"year": [1700.0, 1701.0, 1703.0, 1704.0], "sales": [1.0, 2.0, 3.0, 4.0]})
    found = make_series(frame, Columns("sales", "year"))
    assert found.series[0].absent.tolist() == [False, False, True, False, False]


def test_the_column_of_dates_is_found():
    frame = daily(20).assign(name="a", count=3)
    assert find_time(frame, Columns("sales")) == "day"
    frame["day"] = frame["day"].astype(str)
    assert find_time(frame, Columns("sales")) == "day"
    assert find_time(frame.drop(columns="day"), Columns("sales")) is None
    with pytest.raises(JobError, match="--time"):
        find_time(frame.assign(other=frame["day"]), Columns("sales"))


def test_names_come_repeated_or_with_commas():
    assert names(["a,b", "c"]) == ("a", "b", "c")


def broken(**changes):
    frame = daily(40)
    for name, value in changes.items():
        frame[name] = value
    return frame


BAD_TABLES = {
    "missing column": (broken(), Columns("sale", "day"), "'sale' is not in the data. Did you mean 'sales'"),
    "two roles": (broken(), Columns("sales", "day", known=("sales",)), "two roles"),
    "dates": (broken(day=["2020-01-01"] * 5 + ["soon"] + ["2020-01-02"] * 34), SALES, "row 6 holds 'soon'"),
    "empty date": (broken(day=daily(40)["day"].where(daily(40)["day"] != "2023-01-05")), SALES, "row 4 is empty"),
    "all NaN": (broken(sales=np.nan), SALES, "every target is missing"),
    "text": (broken(sales=["1"] * 3 + ["x"] + ["1"] * 36), SALES, "row 4 holds 'x', expected a finite number"),
    "infinite": (broken(sales=[1.0, np.inf] * 20), SALES, "row 2 holds 'inf'"),
    "repeats": (broken(day=pd.Timestamp("2020-01-01")), SALES, "more than once; name the column .* --id"),
    "spacing": (
        broken(day=pd.Timestamp("2020-01-01") + pd.to_timedelta(np.cumsum(np.arange(40) % 7 + 1), unit="h")),
        SALES,
        "unequal spacing",
    ),
    "one off": (
        broken(day=daily(40)["day"] + pd.to_timedelta([0] * 30 + [7] + [0] * 9, unit="h")),
        SALES,
        "step is 1 day, but 2023-02-01T07:00",
    ),
    "static changes": (
        broken(kind=["a"] * 39 + ["b"]),
        Columns("sales", "day", static=("kind",)),
        "static column among kind changes",
    ),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables(name):
    frame, columns, message = BAD_TABLES[name]
    with pytest.raises(JobError, match=message) as caught:
        make_series(frame, columns)
    assert "\n" not in str(caught.value)


def test_files_round_trip(tmp_path):
    frame = daily(12)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_csv(tmp_path / "semicolons.txt", index=False, sep=";")
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "a.csv").read_bytes())
    frame.to_parquet(tmp_path / "a.parquet")
    for path in tmp_path.iterdir():
        read = read_table(path)
        assert list(read.columns) == ["day", "sales"], path
        np.testing.assert_allclose(read["sales"], frame["sales"])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("no.csv", None, "no such file"),
        ("a.xlsx", b"x", "expected one of .csv"),
        ("empty.csv", b"", "empty"),
        ("head.csv", b"a,b\n", "no rows"),
        ("latin.csv", b"a,b\n\xe9,1\n", "not UTF-8"),
        ("ragged.csv", b"a,b\n1,2,3,4\n1\n1,2,3,4,5,6\n", "not a readable CSV"),
        ("bad.csv.gz", b"no gzip", "not a readable CSV"),
        ("bad.parquet", b"no parquet", "not a readable Parquet"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(JobError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)


def test_frames_of_either_kind_and_dates_in_the_index():
    polars = pytest.importorskip("polars")
    frame = daily(10)
    assert as_pandas(polars.from_pandas(frame)).shape == (10, 2)
    assert isinstance(like(frame, polars.from_pandas(frame)), polars.DataFrame)
    assert list(as_pandas(frame.set_index("day"))) == ["day", "sales"]
    assert list(as_pandas(pd.Series([1.0, 2.0], name="y"))) == ["y"]
    with pytest.raises(TypeError, match="pandas or Polars"):
        as_pandas([1, 2])
