"""The whole job from Python: what is easy is learned, equality after saving, resuming, own cells."""

import json
import shutil

import pandas as pd
import pytest
import torch

import carousel as ca
from carousel.jobs import JobError
from carousel.jobs.transcribe import Transcriber
from transcribe_data import QUICK, write_lines, write_recordings

CELL = """
import carousel as ca

@ca.cell
def leaky(x, h, p):
    a = ca.sigmoid(p.a)
    return a * h + (1 - a) * ca.tanh(p.W @ x + p.b)
"""


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("recordings") / "data", 90)


@pytest.fixture(scope="module")
def fitted(recordings):
    """A model of the recordings, in a folder."""
    folder = recordings.parent / "model"
    return Transcriber(**QUICK).fit(recordings, output=folder), folder


def test_tones_are_learned(fitted):
    transcriber, folder = fitted
    evaluation = transcriber.evaluation
    assert evaluation.items == 9 and evaluation.characters.rate < 0.1
    assert evaluation.characters.low <= evaluation.characters.rate <= evaluation.characters.high
    assert json.loads((folder / "metrics.json").read_text())["characters"]["rate"] == evaluation.characters.rate


def test_new_recordings_are_transcribed(fitted, tmp_path):
    transcriber, _ = fitted
    new = write_recordings(tmp_path / "new", 10, seed=7)
    found = transcriber.evaluate(new)
    assert found.characters.rate < 0.1
    texts = transcriber.predict(new)
    assert texts["path"].tolist() == sorted(map(str, new.glob("*.wav")))
    right = [text == (new / f"{k:03}.txt").read_text().strip() for k, text in enumerate(texts["text"])]
    assert sum(right) == found.items - found.faulty


def test_a_loaded_model_writes_the_same(fitted, recordings, tmp_path):
    transcriber, folder = fitted
    loaded = Transcriber.load(folder)
    assert loaded.settings == transcriber.settings
    frames = [transcriber.prepared.parts["test"][k].frames for k in range(3)]
    for one, other in zip(transcriber.fitted.scores(frames, 2), loaded.fitted.scores(frames, 2), strict=True):
        assert torch.equal(one, other)
    loaded.save(tmp_path / "copy")
    assert Transcriber.load(tmp_path / "copy").predict(recordings).equals(transcriber.predict(recordings))


def test_a_batch_is_as_one_alone(fitted):
    transcriber, _ = fitted
    frames = [sample.frames for sample in transcriber.prepared.parts["training"][:5]]
    together, alone = (list(transcriber.fitted.scores(frames, size)) for size in (5, 1))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_lines_are_learned(tmp_path):
    folder = write_lines(tmp_path / "lines", 120)
    settings = QUICK | {"height": 16, "hidden_size": 24, "epochs": 20, "batch_size": 6}
    transcriber = Transcriber(**settings).fit(folder)
    assert transcriber.evaluation.characters.rate < 0.1
    assert transcriber.predict(folder / "000.bin.png")["text"].tolist() == [(folder / "000.gt.txt").read_text().strip()]


def test_resuming_gives_the_same_bits(recordings, tmp_path):
    settings = QUICK | {"epochs": 3, "noise": 0.1, "dropout": 0.1, "hidden_size": 6}
    whole = Transcriber(**settings).fit(recordings, output=tmp_path / "whole")

    class Stop(Exception):
        pass

    def stop_after_two(history):
        if len(history) == 3:
            raise Stop
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("carousel.train.Patience", lambda rounds: stop_after_two)
        with pytest.raises(Stop):
            Transcriber(**settings).fit(recordings, output=tmp_path / "cut")
    with pytest.raises(JobError, match="was not finished"):
        Transcriber.load(tmp_path / "cut")
    with pytest.raises(JobError, match="begun with noise = 0.1, now it is 0.2"):
        Transcriber(**settings | {"noise": 0.2}).fit(recordings, output=tmp_path / "cut", resume=True)
    resumed = Transcriber(**settings).fit(recordings, output=tmp_path / "cut", resume=True)
    for name, value in whole.fitted.network.state_dict().items():
        assert torch.equal(value, resumed.fitted.network.state_dict()[name]), name
    assert resumed.fitted.training == whole.fitted.training


def test_the_seed_decides(recordings):
    settings = QUICK | {"epochs": 1, "hidden_size": 4, "noise": 0.1}
    one, same, other = (Transcriber(**settings, seed=seed).fit(recordings).fitted.training for seed in (1, 1, 2))
    assert one == same != other


def test_any_cell_and_a_folder_without_its_source(recordings, tmp_path):
    (tmp_path / "mine.py").write_text(CELL)
    settings = QUICK | {"epochs": 1, "hidden_size": 4}
    for cell in (f"{tmp_path / 'mine.py'}:leaky", "slstm(heads=2)", ca.cells.gru):
        Transcriber(**settings, cell=cell).fit(recordings, output=tmp_path / "model", overwrite=True)
        (tmp_path / "mine.py").unlink(missing_ok=True)
        assert len(Transcriber.load(tmp_path / "model").predict(recordings)) == 90


def test_a_table_with_speakers_and_splits(recordings, tmp_path):
    paths = sorted(recordings.glob("*.wav"))
    rows = {"path": map(str, paths), "text": [path.with_suffix(".txt").read_text() for path in paths]}
    table = pd.DataFrame(rows)
    settings = QUICK | {"epochs": 1, "hidden_size": 4}
    speakers = table.assign(speaker=[f"s{k % 4}" for k in range(len(table))])
    parts = Transcriber(**settings).fit(speakers).prepared.parts
    who = {name: {sample.item.speaker for sample in part} for name, part in parts.items()}
    assert [len(one) for one in who.values()] == [2, 1, 1] and not who["training"] & (who["test"] | who["validation"])
    split = table.assign(split=["training", "training", "validation"] * 30)
    transcriber = Transcriber(**settings).fit(split)
    assert transcriber.evaluation is None and len(transcriber.prepared.parts["training"]) == 60


def test_what_is_damaged_is_told(fitted, recordings, tmp_path):
    _, folder = fitted
    for name, content, message in (
        ("model.json", "{}", "model folder of format None"),
        ("model.json", "nothing", "not readable as JSON"),
        ("weights.safetensors", "nothing", "missing or damaged"),
    ):
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / name).write_text(content)
        with pytest.raises(JobError, match=message):
            Transcriber.load(copy)
        shutil.rmtree(copy)
    with pytest.raises(JobError, match="not fitted yet"):
        Transcriber().predict(recordings)


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"hidden_size": 0}, "hidden_size is 0, expected a whole number of at least 1"),
        ({"stack": 0}, "stack is 0"),
        ({"dropout": 1.0}, "expected a probability below 1"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"learning_rate": 0.0}, "expected a positive number"),
        ({"scale": "some"}, "expected one of 'global', 'own', 'none'"),
        ({"channel": "left"}, "expected 'mean' or a number"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(JobError, match=message):
        Transcriber(**setting)
