"""The whole job from Python: what is easy is learned, equality after saving, resuming, own cells."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

import carousel as ca
from carousel.jobs import JobError
from carousel.jobs.transcribe import Decoding, Transcriber
from carousel.jobs.transcribe.alignment import text_grid
from carousel.jobs.transcribe.augment import Warp
from carousel.jobs.transcribe.inputs import stacked
from carousel.labelling import Partial
from transcribe_data import QUICK, RATE, tones, write_lines, write_recordings

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
    for one, other in zip(transcriber.fitted.outputs(frames, 2), loaded.fitted.outputs(frames, 2), strict=True):
        assert torch.equal(one, other)
    loaded.save(tmp_path / "copy")
    assert Transcriber.load(tmp_path / "copy").predict(recordings).equals(transcriber.predict(recordings))


def test_a_batch_is_as_one_alone(fitted):
    transcriber, _ = fitted
    frames = [sample.frames for sample in transcriber.prepared.parts["training"][:5]]
    together, alone = (list(transcriber.fitted.outputs(frames, size)) for size in (5, 1))
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_lines_are_learned(tmp_path):
    folder = write_lines(tmp_path / "lines", 120)
    settings = QUICK | {"height": 16, "hidden_size": 24, "epochs": 20, "batch_size": 6}
    transcriber = Transcriber(**settings).fit(folder)
    assert transcriber.evaluation.characters.rate < 0.1
    assert transcriber.predict(folder / "000.bin.png")["text"].tolist() == [(folder / "000.gt.txt").read_text().strip()]


@pytest.mark.parametrize("model", ["ctc", "transducer"])
def test_resuming_gives_the_same_bits(recordings, tmp_path, model):
    settings = QUICK | {"model": model, "epochs": 3, "noise": 0.1, "warp": 0.1, "dropout": 0.1, "hidden_size": 6}
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
    assert transcriber.evaluate(split).items == 90
    assert transcriber.evaluate(split.assign(split=["test", *split["split"][1:]])).items == 1


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
        ({"warp": 0.7}, "warp is 0.7, expected a part from 0 to 0.5"),
        ({"language_model": "transcripts", "devices": 2}, "learned by one process"),
    ],
)
def test_settings_out_of_range(setting, message):
    with pytest.raises(JobError, match=message):
        Transcriber(**setting)


@pytest.fixture(scope="module")
def listening(recordings):
    """A model that can stream, and one that has a language model beside it."""
    settings = QUICK | {"bidirectional": False, "hidden_size": 32, "epochs": 16, "language_model": "transcripts"}
    folder = recordings.parent / "listening"
    return Transcriber(**settings).fit(recordings, output=folder), folder


@pytest.mark.parametrize("stack, stride", [(3, 3), (4, 2), (2, 3), (1, 1)])
def test_a_stream_sees_what_the_whole_is(recordings, stack, stride):
    settings = QUICK | {"epochs": 1, "bidirectional": False, "stack": stack, "stride": stride, "layers": 2}
    transcriber = Transcriber(**settings).fit(recordings)
    fitted = transcriber.fitted
    listener, sample = transcriber.listen(), transcriber.prepared.parts["test"][0]
    (whole,) = fitted.outputs([sample.frames], 1)
    seen = []
    listener._text = type("Ear", (), {"feed": lambda self, scores: seen.append(scores.clone()) or Partial((), (), 0)})()
    samples = fitted.inputs.features.read(sample.item.path)
    for piece in samples.split(333):
        listener.feed(piece)
    listener._read(stacked(listener._frames, stack, stride)) if len(listener._frames) else None
    torch.testing.assert_close(torch.cat(seen), whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("decoding", [Decoding(), Decoding("beam", 8), Decoding("beam", 8, "own")])
def test_a_stream_writes_what_the_whole_does(listening, recordings, decoding):
    transcriber, _ = listening
    listener, texts = transcriber.listen(decoding=decoding), transcriber.predict(recordings, decoding=decoding)
    features = transcriber.fitted.inputs.features
    for path, text in texts[:6].itertuples(index=False):
        partial = [listener.feed(piece) for piece in features.read(Path(path)).split(500)]
        assert listener.finish() == text
        assert all(text.startswith(one.text[: one.stable]) for one in partial)
        assert any(0 < len(one.text) < len(text) for one in partial) or len(text) < 3


def test_what_cannot_stream_says_why(fitted, listening):
    bidirectional, (transcriber, _) = fitted[0], listening
    with pytest.raises(JobError, match="it reads both ways; fit with --one-directional"):
        bidirectional.listen()
    with pytest.raises(JobError, match="prefix search looks at the whole"):
        transcriber.listen(decoding=Decoding("prefix-search"))


def test_decoders_and_language_models(listening, recordings, tmp_path):
    transcriber, folder = listening
    rates = {}
    for decoding in (Decoding(), Decoding("prefix-search"), Decoding("beam", 16), Decoding("beam", 16, "own", 0.3)):
        rates[decoding] = transcriber.evaluate(recordings, decoding=decoding).characters.rate
    assert max(rates.values()) < 0.25 and rates[Decoding("beam", 16, "own", 0.3)] <= rates[Decoding()]
    loaded = Transcriber.load(folder)
    own = Decoding("beam", 4, "own")
    assert loaded.predict(recordings, decoding=own).equals(transcriber.predict(recordings, decoding=own))
    words = "\\data\\\nngram 1=4\n\n\\1-grams:\n-1 <unk>\n-1 </s>\n-0.5 ab\n-0.7 cab\n\n\\end\\\n"
    letters = "\\data\\\nngram 1=5\n\n\\1-grams:\n-1 </s>\n-0.7 a\n-0.7 b\n-0.7 c\n-0.7 <space>\n\n\\end\\\n"
    for name, text in (("words.arpa", words), ("letters.arpa", letters)):
        (tmp_path / name).write_text(text)
        decoding = Decoding("beam", 8, str(tmp_path / name), 0.2)
        assert transcriber.evaluate(recordings, decoding=decoding).characters.rate < 0.4


@pytest.mark.parametrize(
    "decoding, message",
    [
        (Decoding("best"), "decoder is 'best', expected one of best-path"),
        (Decoding(language_model="x.arpa"), "a language model needs --decoder beam"),
        (Decoding("beam", language_model="own"), "no language model of its own"),
        (Decoding("beam", language_model="gone.arpa"), "gone.arpa: no such file"),
        (Decoding("beam", language_model="some.txt"), "ends in .arpa or .arpa.gz"),
        (Decoding("beam", weight=-1.0), "lm_weight is -1.0"),
    ],
)
def test_decodings_that_make_no_sense(fitted, recordings, decoding, message):
    with pytest.raises(JobError, match=message):
        fitted[0].predict(recordings, decoding=decoding)


def test_characters_are_where_their_tones_are(fitted, tmp_path):
    transcriber, _ = fitted
    (tmp_path / "x.txt").write_text("aab cb")
    sound = [tones(text, 5) for text in ("aab", " ", "cb")]
    soundfile.write(tmp_path / "x.wav", np.concatenate(sound), RATE)
    (aligned,) = transcriber.align(tmp_path)
    assert [span.text for span in aligned.characters] == list("aabcb") and aligned.ruler.unit == "s"
    assert [span.text for span in aligned.words] == ["aab", "cb"]
    starts = [span.start for span in aligned.characters]
    assert starts == sorted(starts) and all(span.start < span.end for span in aligned.characters)
    change = (len(sound[0]) + len(sound[1]) / 2) / RATE
    assert starts[2] < change < starts[3] and aligned.ruler.length == pytest.approx(
        sum(map(len, sound)) / RATE, abs=0.02
    )
    grid = text_grid(aligned)
    assert grid.count("intervals [") == sum(grid.count(f"intervals: size = {n}\n") * n for n in range(30))
    assert 'text = "aab"' in grid and 'name = "characters"' in grid


def test_what_warps_keeps_its_place_in_the_middle():
    warp = Warp(0.2, torch.linspace(-1, 1, 9))
    frames = torch.zeros(50, 9)
    frames[:, 4] = 1
    found = [warp(frames, 10) for _ in range(5)]
    assert len({len(one) for one in found}) > 1 and all(40 <= len(one) <= 60 for one in found)
    torch.testing.assert_close(torch.cat(found)[:, 4], torch.ones(sum(map(len, found))))
    assert len(warp(frames, 90)) == 90
    assert warp(torch.cat([frames, frames], 1), 10).shape[1] == 18  # deltas beside
    still = Warp(0.0, torch.linspace(100, 4000, 9))
    noise = torch.randn(50, 9)
    torch.testing.assert_close(still(noise, 10), noise)


def test_warps_and_language_models_follow_the_seed(recordings):
    settings = QUICK | {"epochs": 2, "warp": 0.1, "hidden_size": 4, "language_model": "transcripts"}
    one, other = (Transcriber(**settings).fit(recordings).fitted.training for _ in range(2))
    assert one == other and one["language_model"]["validation_loss"] < 3
