"""The command line: a small file from end to end, JSON, exit codes, and one clear line for each fault."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from forecast_data import daily, shops

QUICK = ["--epochs", "1", "--hidden-size", "5", "--context", "14", "--threads", "1"]


@pytest.fixture(autouse=True)
def threads_stay():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table and a model fitted to it."""
    from carousel.jobs.forecast import Forecaster

    folder = tmp_path_factory.mktemp("cli")
    daily().to_csv(folder / "sales.csv", index=False)
    settings = {"epochs": 1, "hidden_size": 5, "context": 14}
    Forecaster("sales", 4, **settings).fit(daily(), output=folder / "model")
    return folder


def one_line(err):
    lines = [line for line in err.strip().splitlines() if line.strip()]
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0]


def test_from_a_file_to_forecasts(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shops().assign(unused=1).to_parquet("shops.parquet")
    frame = shops()
    frame.loc[frame.groupby("shop").cumcount(ascending=False) < 4, "sales"] = np.nan
    frame.to_csv("now.csv", index=False)
    columns = ["--id", "shop", "--known", "promotion", "--past", "visitors", "--static", "kind"]
    code, out, err = run("forecast", "fit", "shops.parquet", "--target", "sales", "--horizon", 4, *columns, *QUICK)
    assert code == 0, err
    for part in (
        "360 rows, 3 series, one every 1 day, 2023-01-02 to 2023-05-01",
        "ignored: unused",
        "known promotion; past visitors; static kind",
        "training to 2023-03-26, validation to 2023-04-07, the rest held out",
        "a season of 7 steps",
        "corrected by lstm",
        "validation loss",
        "exponential smoothing",
        "scored 63 rolling origins",
        "plot shops-forecast/forecast.png",
    ):
        assert part in out, part
    code, out, err = run("forecast", "predict", "shops-forecast", "now.csv", "--output", "next.csv")
    assert code == 0 and "written to next.csv" in out and "north" in out, err
    assert list(pd.read_csv("next.csv")) == ["shop", "day", "forecast", "q0.1", "q0.9"]
    code, out, err = run("forecast", "predict", "shops-forecast", "now.csv", "--output", "next.csv")
    assert code == 2 and "next.csv exists; use --overwrite" in one_line(err)
    code, out, err = run("forecast", "predict", "shops-forecast", "now.csv", "--output", "next.parquet", "--json")
    assert len(json.loads(out)["forecasts"]) == 12
    assert len(pd.read_parquet("next.parquet")) == 12
    code, out, err = run("forecast", "evaluate", "shops-forecast", "shops.parquet")
    assert code == 0 and "carousel (lstm)" in out and "all after what training and validation saw" in out


def test_json_is_all_that_stands_on_standard_output(run, place, tmp_path):
    arguments = [place / "sales.csv", "--target", "sales", "--horizon", 4, "--output", tmp_path / "model", *QUICK]
    code, out, err = run("forecast", "fit", *arguments, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["series"][""]["training_until"] == "2023-04-23T00:00:00.000000"
    assert set(told["evaluation"]["scores"]["linear"]) == {"mae", "rmse", "mase", "coverage"}
    assert "validation loss" in err
    code, out, _ = run("forecast", "evaluate", tmp_path / "model", place / "sales.csv", "--json")
    assert json.loads(out)["scores"] == told["evaluation"]["scores"]


def broken_files(place):
    """Command lines that must end with exit code 2, and what their one line says."""
    frame = daily(60)
    tables = {
        "dates": frame.assign(day=["someday"] * 60),
        "nan": frame.assign(sales=np.nan),
        "short": frame[:12],
        "spacing": frame.assign(day=frame["day"] + pd.to_timedelta(np.arange(60) ** 2, unit="h")),
    }
    for name, table in tables.items():
        table.to_csv(place / f"{name}.csv", index=False)
    (place / "bytes.csv").write_bytes(bytes(range(256)))
    fit = ["forecast", "fit"]
    basic = ["--target", "sales", "--horizon", 4, "--output", place / "new"]
    good = place / "sales.csv"
    return {
        "no file": ([*fit, place / "no.csv", *basic], "no such file"),
        "no text": ([*fit, place / "bytes.csv", *basic], "bytes.csv"),
        "missing column": ([*fit, good, "--target", "sale", "--horizon", 4], "Did you mean 'sales'"),
        "unparsable dates": ([*fit, place / "dates.csv", *basic, "--time", "day"], "cannot be read as a date"),
        "unequal spacing": ([*fit, place / "spacing.csv", *basic], "unequal spacing"),
        "too short": ([*fit, place / "short.csv", *basic], "too short"),
        "no target": ([*fit, place / "nan.csv", *basic], "every target is missing"),
        "folder is taken": ([*fit, good, *basic[:4], "--output", place / "model"], "use --overwrite"),
        "no folder": (["forecast", "predict", place / "nothing", good], "no such model folder"),
        "not a folder of ours": (["forecast", "predict", place, good], "no model.json"),
        "cell": ([*fit, good, *basic, "--cell", "nosuch.py:cell"], "no file nosuch.py"),
        "size": ([*fit, good, *basic, "--size", "width"], "NAME=NUMBER"),
        "quantiles": ([*fit, good, *basic, "--quantiles", "a,b"], "numbers separated by commas"),
        "resume": ([*fit, good, *basic, "--resume"], "no training to resume"),
        "seen": (["forecast", "evaluate", place / "model", place / "seen.csv"], "nothing is left to evaluate"),
        "where to": (["forecast", "predict", place / "model", good, "--output", "x.xlsx"], "expected .csv or .parquet"),
    }


CASES = (
    "no file, no text, missing column, unparsable dates, unequal spacing, too short, no target, folder is taken, "
    "no folder, not a folder of ours, cell, size, quantiles, resume, seen, where to"
).split(", ")


@pytest.mark.parametrize("case", CASES)
def test_faults_end_in_one_line_and_code_2(run, place, case):
    daily()[:120].to_csv(place / "seen.csv", index=False)
    arguments, message = broken_files(place)[case]
    code, out, err = run(*arguments)
    assert code == 2
    assert message in one_line(err)
    assert not (place / "new").exists()


def test_a_mistake_in_the_equations_is_shown_with_its_place(run, place, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import carousel as ca\n\n@ca.cell\ndef mine(x, h, p):\n    return ca.tanh(p.W @ x * h @ p.U)\n")
    arguments = ["--target", "sales", "--horizon", 4, "--cell", f"{path}:mine", "--output", tmp_path / "model"]
    code, _, err = run("forecast", "fit", place / "sales.csv", *arguments)
    assert code == 2 and "^" in err and "Traceback" not in err
    path.write_text("raise RuntimeError('oh')\n")
    code, _, err = run("forecast", "fit", place / "sales.csv", *arguments)
    assert code == 2 and "its file does not run: RuntimeError: oh" in one_line(err)


def test_usage_errors_and_help(run):
    assert run("forecast", "fit", "x.csv")[0] == 2
    code, out, _ = run("forecast", "--help")
    assert code == 0 and "evaluate" in out
    code, out, _ = run("info")
    assert code == 0 and "engine eager: available" in out


def test_interrupting_leaves_something_to_resume(tmp_path):
    daily(400).to_csv(tmp_path / "sales.csv", index=False)
    fit = [sys.executable, "-m", "carousel", "forecast", "fit", "sales.csv", "--target", "sales", "--horizon", "4"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    start = {"cwd": tmp_path, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    endless = ["--epochs", "9999", "--patience", "9999", "--threads", "1"]  # it cannot end before the signal comes
    with subprocess.Popen([*fit, *endless], **start) as process:
        checkpoint = tmp_path / "sales-forecast" / "checkpoints" / "last.ckpt"
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in one_line(err)


@pytest.mark.long
def test_two_processes(tmp_path):
    daily(300).to_csv(tmp_path / "sales.csv", index=False)
    fit = [sys.executable, "-m", "carousel", "forecast", "fit", "sales.csv", "--target", "sales", "--horizon", "4"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    two = ["--strategy", "ddp", "--devices", "2", "--epochs", "2"]
    done = subprocess.run([*fit, *two], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("exponential smoothing") == 1
    assert (tmp_path / "sales-forecast" / "weights.safetensors").exists()
