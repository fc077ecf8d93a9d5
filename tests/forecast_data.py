"""Small tables for the tests of forecasting."""

import numpy as np
import pandas as pd


def daily(rows: int = 160, seed: int = 0) -> pd.DataFrame:
    """Days with a week's rhythm, a trend and some noise: columns day, sales."""
    rng = np.random.default_rng(seed)
    step = np.arange(rows)
    sales = 20 + 0.05 * step + 5 * np.sin(2 * np.pi * step / 7) + rng.normal(0, 0.5, rows)
    return pd.DataFrame({"day": pd.date_range("2023-01-02", periods=rows), "sales": sales})


def shops(rows: int = 120) -> pd.DataFrame:
    """Three shops of different size, with a promotion known ahead, a past-only count, and a static kind."""
    parts = []
    for number, name in enumerate(("north", "south", "west")):
        frame = daily(rows, seed=number)
        rng = np.random.default_rng(10 + number)
        promotion = (rng.random(rows) < 0.2).astype(int)
        visitors = rng.poisson(30, rows)
        sales = frame["sales"] * 10.0**number + promotion * 8 * 10.0**number
        kind = "city" if number else "village"
        columns = {"shop": name, "sales": sales, "promotion": promotion, "visitors": visitors, "kind": kind}
        parts.append(frame.assign(**columns))
    return pd.concat(parts, ignore_index=True)


QUICK = {"epochs": 2, "hidden_size": 6, "dropout": 0.1, "context": 14}
