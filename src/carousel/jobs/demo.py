"""The demo: two real series that come with statsmodels, forecast from nothing but their files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from carousel.jobs.forecast.forecaster import Forecaster
from carousel.jobs.tables import read_table

if TYPE_CHECKING:
    from rich.console import Console


def write_co2(path: Path) -> None:
    """Weekly CO2 at Mauna Loa, 1958 to 2001, in parts per million, with gaps (Keeling and Whorf, 2004)."""
    from statsmodels.datasets import co2

    frame = co2.load_pandas().data
    frame.rename_axis("date").reset_index().to_csv(path, index=False, date_format="%Y-%m-%d")


def write_elnino(path: Path) -> None:
    """Monthly sea-surface temperatures of the eastern Pacific, 1950 to 2010, in degrees Celsius (NOAA)."""
    import pandas as pd
    from statsmodels.datasets import elnino

    wide = elnino.load_pandas().data.set_index("YEAR")
    months = pd.date_range(f"{int(wide.index[0])}-01-01", periods=wide.size, freq="MS")
    pd.DataFrame({"month": months, "temperature": wide.to_numpy().ravel()}).to_csv(path, index=False)


SETS = (
    ("co2", write_co2, "co2", 26, "Weekly CO2 at Mauna Loa, half a year ahead"),
    ("elnino", write_elnino, "temperature", 12, "Monthly sea-surface temperature, a year ahead"),
)


def run(output: str, console: Console) -> dict[str, Forecaster]:
    """Write the two files, fit, and print the tables and where the plots lie."""
    from carousel.jobs.forecast import tell

    folder, begin = Path(output), time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    forecasters = {}
    for name, write, target, horizon, title in SETS:
        data, model = folder / f"{name}.csv", folder / f"{name}-forecast"
        write(data)
        command = f"carousel forecast fit {data} --target {target} --horizon {horizon} --output {model} --overwrite"
        console.print(f"\n[bold]{title}[/bold]\n[dim]{command}[/dim]\n", highlight=False, soft_wrap=True)
        forecaster = Forecaster(target, horizon)
        forecaster.fit(read_table(data), output=model, overwrite=True, console=console)
        assert forecaster.evaluation is not None
        tell.scores(console, forecaster.evaluation)
        console.print(f"plot {model / 'forecast.png'}", highlight=False, soft_wrap=True)
        forecasters[name] = forecaster
    console.print(f"\n{time.perf_counter() - begin:.0f} seconds in all", highlight=False)
    return forecasters
