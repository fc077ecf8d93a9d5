"""The command line of transcribing: files from end to end, JSON, exit codes, one clear line for each fault."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from carousel.jobs.transcribe import Transcriber
from transcribe_data import QUICK, RATE, picture, tones, write_lines, write_recordings

FAST = ["--epochs", "1", "--hidden-size", "4", "--layers", "1", "--threads", "1"]


@pytest.fixture(autouse=True)
def threads_stay():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with recordings and a model fitted to them."""
    folder = tmp_path_factory.mktemp("cli")
    write_recordings(folder / "data", 30)
    Transcriber(**QUICK | {"epochs": 1}).fit(folder / "data", output=folder / "model")
    return folder


def one_line(err):
    lines = [line for line in err.strip().splitlines() if line.strip()]
    assert len(lines) == 1 and "Traceback" not in err, err
    return lines[0]


def test_from_recordings_to_text(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recordings(tmp_path / "calls", 30, ending=".flac")
    code, out, err = run("transcribe", "fit", "calls", "--one-directional", "--cell", "gru", "--deltas", 1, *FAST)
    assert code == 0, err
    for part in (
        "30 recordings, 0.",
        "4 characters: ␣abc",
        "24 training, 3 validation, 3 test: a tenth for validation",
        "gru (hidden_size 4, layers 1, one way",
        "3 frames of 40 log-mel bands every 3",
        "validation label error rate",
        "3 items have an error",
        "model calls-transcribe",
    ):
        assert part in out, part
    code, out, err = run("transcribe", "predict", "calls-transcribe", "calls", "--output", "texts.csv")
    assert code == 0 and out.splitlines()[0].startswith("calls/000.flac\t"), err
    assert list(pd.read_csv("texts.csv")) == ["path", "text"]
    code, out, err = run("transcribe", "predict", "calls-transcribe", "calls", "--output", "texts.csv")
    assert code == 2 and "texts.csv exists; use --overwrite" in one_line(err)
    code, out, err = run("transcribe", "evaluate", "calls-transcribe", "calls")
    assert code == 0 and "characters" in out and "of 30 items have an error" in out


def test_json_is_all_that_stands_on_standard_output(run, tmp_path):
    write_lines(tmp_path / "lines", 12)
    model = tmp_path / "model"
    code, out, err = run("transcribe", "fit", tmp_path / "lines", "--output", model, "--json", *FAST)
    told = json.loads(out)
    assert code == 0 and told["division"] == {"training": 10, "validation": 1, "test": 1}, err
    assert told["inputs"]["features"] == {"height": 32, "line": "ink"} and "validation label error rate" in err
    code, out, _ = run("transcribe", "predict", model, tmp_path / "lines" / "003.bin.png", "--json")
    (row,) = json.loads(out)["texts"]
    assert row["path"].endswith("003.bin.png")
    code, out, _ = run("transcribe", "evaluate", model, tmp_path / "lines", "--json")
    assert json.loads(out)["items"] == 12 and set(json.loads(out)["characters"]) >= {"rate", "low", "high"}


def broken_data(place):
    """Data that will not do, and what the one line says."""
    for name in ("none", "silent", "short", "rates", "stereo", "mixed", "bytes", "empty", "unread"):
        (place / name).mkdir(exist_ok=True)
    for name in ("silent", "short", "rates", "stereo", "mixed", "empty", "unread"):
        write_recordings(place / name, 5)
    (place / "silent" / "002.txt").unlink()
    (place / "empty" / "001.txt").write_text("\n")
    (place / "short" / "003.txt").write_text("abc" * 50)
    soundfile.write(place / "rates" / "004.wav", tones("ab", rate=16000), 16000)
    soundfile.write(place / "stereo" / "000.wav", np.stack([tones("ab")] * 2, 1), RATE)
    picture("ab").save(place / "mixed" / "x.png")
    (place / "unread" / "001.wav").write_bytes(b"RIFF" + bytes(100))
    pd.DataFrame({"file": ["a.wav"]}).to_csv(place / "columns.csv", index=False)
    pd.DataFrame({"path": ["gone.wav"], "text": ["a"]}).to_csv(place / "gone.csv", index=False)
    pd.DataFrame({"path": ["a.wav"], "split": ["train"]}).to_csv(place / "split.csv", index=False)
    return {
        "no folder": ("nothing", "no such folder"),
        "nothing in it": ("none", "holds no recordings and no images"),
        "no transcript": ("silent", "002.wav: has no transcript (looked for 002.gt.txt, 002.txt"),
        "empty transcript": ("empty", "001.wav: has an empty transcript. --skip-faulty leaves"),
        "too short": ("short", "its 150 characters need 150"),
        "rates": ("rates", "sampling rates differ"),
        "stereo": ("stereo", "has 2 channels, expected one; --channel mean"),
        "mixed": ("mixed", "are mixed; give one kind"),
        "unreadable": ("unread", "001.wav: not readable as a recording"),
        "columns": ("columns.csv", "no column 'path'; it has: file"),
        "gone": ("gone.csv", "gone.wav: not readable"),
        "split": ("split.csv", "split is 'train', expected one of training, validation, test"),
    }


CASES = (
    "no folder, nothing in it, no transcript, empty transcript, too short, rates, stereo, mixed, unreadable, columns, "
    "gone, split"
).split(", ")


@pytest.mark.parametrize("case", CASES)
def test_faults_of_the_data_end_in_one_line_and_code_2(run, place, case):
    data, message = broken_data(place)[case]
    code, _, err = run("transcribe", "fit", place / data, "--output", place / "new", *FAST)
    assert code == 2 and message in one_line(err)
    assert not (place / "new").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fit", "data", "--output", "model"], "use --overwrite"),
        (["fit", "data", "--output", "new", "--resume"], "no training to resume"),
        (["fit", "data", "--output", "new", "--cell", "nosuch.py:cell"], "no file nosuch.py"),
        (["fit", "data", "--output", "new", "--scale", "some"], "expected one of 'global'"),
        (["predict", "nothing", "data"], "no such model folder"),
        (["predict", "data", "data"], "no model.json"),
        (["evaluate", "model", "x.pdf"], "x.pdf: expected a folder, a table"),
    ],
)
def test_faults_of_the_call_end_in_one_line_and_code_2(run, place, arguments, message, monkeypatch):
    monkeypatch.chdir(place)
    code, _, err = run("transcribe", *arguments)
    assert code == 2 and message in one_line(err)


def test_faulty_files_are_left_out_only_when_asked(run, place, tmp_path):
    write_recordings(tmp_path / "some", 12)
    (tmp_path / "some" / "002.txt").unlink()
    (tmp_path / "some" / "004.wav").write_bytes(b"no sound")
    code, _, err = run("transcribe", "fit", tmp_path / "some", "--output", tmp_path / "model", *FAST)
    assert code == 2 and "with 1 more" in one_line(err)
    code, out, _ = run("transcribe", "fit", tmp_path / "some", "--output", tmp_path / "model", "--skip-faulty", *FAST)
    assert code == 0 and "left out" in out and "004.wav: not readable" in out
    code, out, err = run("transcribe", "predict", place / "model", tmp_path / "some", "--skip-faulty")
    assert code == 0 and len(out.splitlines()) == 11 and "004.wav" in err


def test_unknown_characters_are_told_or_counted(run, place, tmp_path):
    write_recordings(tmp_path / "some", 3)
    (tmp_path / "some" / "001.txt").write_text("abxy")
    code, _, err = run("transcribe", "evaluate", place / "model", tmp_path / "some")
    assert code == 2 and "001.wav: its transcript has x y, which the model was not fitted on" in one_line(err)
    code, out, _ = run("transcribe", "evaluate", place / "model", tmp_path / "some", "--unknown-as-errors", "--json")
    assert code == 0 and json.loads(out)["characters"]["errors"] >= 2


def test_align_writes_tables_text_grids_and_plots(run, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recordings(tmp_path / "some", 2)
    align = ["transcribe", "align", place / "model", "some"]
    code, out, err = run(*align, "--output", "spans.csv", "--plots", "plots", "--textgrids", "grids")
    assert code == 0 and not out, err
    spans = pd.read_csv("spans.csv")
    assert list(spans) == ["path", "unit", "text", "start", "end", "probability"]
    for path, some in spans[spans["unit"] == "character"].groupby("path"):
        said = (tmp_path / path).with_suffix(".txt").read_text().strip()
        assert "".join(some["text"]) == said.replace(" ", "") and some["start"].is_monotonic_increasing
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["000.png", "001.png"]
    assert (tmp_path / "grids" / "001.TextGrid").read_text().startswith('File type = "ooTextFile"')
    code, _, err = run(*align, "--plots", "plots")
    assert code == 2 and "plots is not empty; use --overwrite" in one_line(err)
    code, out, _ = run(*align, "--json")
    assert json.loads(out)["unit"] == "s" and len(json.loads(out)["spans"]) == len(spans)
    code, out, _ = run(*align, "--written")
    assert code == 0 and out.splitlines()[0] == "path\tunit\ttext\tstart\tend\tprobability"


def test_align_images(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "lines", 6)
    assert run("transcribe", "fit", "lines", *FAST)[0] == 0
    assert (tmp_path / "lines-transcribe" / "alignment.png").exists()
    code, out, _ = run("transcribe", "align", "lines-transcribe", "lines/003.bin.png", "--plots", "plots")
    assert code == 0 and (tmp_path / "plots" / "003.bin.png").exists()
    assert max(float(line.split("\t")[4]) for line in out.splitlines()[1:]) <= picture("cab baa").size[0] * 3
    code, _, err = run("transcribe", "align", "lines-transcribe", "lines", "--textgrids", "grids")
    assert code == 2 and "TextGrids are for recordings" in one_line(err)


def test_streaming(run, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = ["transcribe", "fit", place / "data", "--output", "model", "--one-directional", *FAST[2:], "--epochs", 4]
    assert run(*fit, "--learning-rate", "0.03", "--hidden-size", 12)[0] == 0
    code, out, err = run("transcribe", "predict", "model", place / "data", "--stream", "--chunk", 0.05)
    assert code == 0, err
    streamed = [line for line in out.splitlines() if line.startswith(str(place))]
    assert streamed == run("transcribe", "predict", "model", place / "data")[1].splitlines()
    path, text = streamed[0].split("\t")
    samples, _ = soundfile.read(path, dtype="int16")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(samples.tobytes())))
    code, out, _ = run("transcribe", "predict", "model", "-", "--stream")
    assert code == 0 and out.splitlines()[-1] == f"-\t{text}"
    code, _, err = run("transcribe", "predict", "model", place / "data", "--stream", "--json")
    assert code == 2 and "leave out --json" in one_line(err)
    code, _, err = run("transcribe", "predict", place / "model", place / "data", "--stream")
    assert code == 2 and "it reads both ways; fit with --one-directional" in one_line(err)


def test_a_language_model_from_a_text_file(run, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("abc cab\nbaa xyz ab\n" * 4)
    code, out, err = run("transcribe", "fit", place / "data", "--output", "m", "--language-model", "words.txt", *FAST)
    assert code == 0 and "LSTM of characters from 3 texts (" in out, err
    own = ["--decoder", "beam", "--beam", 4, "--language-model", "own"]
    assert run("transcribe", "evaluate", "m", place / "data", *own)[0] == 0
    code, _, err = run("transcribe", "fit", place / "data", "--output", "n", "--language-model", "x.arpa", *FAST)
    assert code == 2 and "an ARPA file needs no training" in one_line(err)


def test_an_interrupt_says_how_to_go_on(run, place, tmp_path, monkeypatch):
    def interrupted(*given, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr("carousel.train.fit", interrupted)
    code, _, err = run("transcribe", "fit", place / "data", "--output", tmp_path / "model", *FAST)
    assert code == 130 and "Continue with the same command and --resume" in one_line(err)


@pytest.mark.long
def test_interrupting_leaves_something_to_resume(tmp_path):
    write_recordings(tmp_path / "data", 30)
    fit = [sys.executable, "-m", "carousel", "transcribe", "fit", "data", *FAST]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"}
    start = {"cwd": tmp_path, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*fit, "--epochs", "9999", "--patience", "9999"], **start) as process:
        checkpoint = tmp_path / "data-transcribe" / "checkpoints" / "last.ckpt"
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in one_line(err)
