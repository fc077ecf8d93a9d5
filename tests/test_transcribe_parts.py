"""The parts of transcribing: features against librosa, images, stacking, reading, division, the alphabet."""

import random
import unicodedata
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from PIL import Image

from carousel.jobs import JobError
from carousel.jobs.transcribe.alphabet import Alphabet, least_steps
from carousel.jobs.transcribe.image import ImageColumns, middle_of_ink
from carousel.jobs.transcribe.inputs import Inputs, Scale, stacked, with_deltas
from carousel.jobs.transcribe.reading import Item, find, kind
from carousel.jobs.transcribe.samples import divide
from carousel.jobs.transcribe.sound import LogMel, mel_filters
from transcribe_data import RATE, picture, tones, write_recordings


@pytest.mark.parametrize("rate, size, bands", [(8000, 256, 40), (16000, 512, 80), (22050, 1024, 23)])
def test_mel_filters_are_htks(rate, size, bands):
    expected = librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands, htk=True, norm=None)
    torch.testing.assert_close(mel_filters(rate, size, bands), torch.from_numpy(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_log_mel_is_librosas(rate):
    samples = np.random.default_rng(0).normal(0, 0.1, rate).astype(np.float32)
    features = LogMel(rate)
    size = 1 << (features.taken - 1).bit_length()
    before = (size - features.taken) // 2  # librosa puts the window in the middle of its frame
    energies = librosa.feature.melspectrogram(
        y=np.pad(samples, (before, size)), sr=rate, n_fft=size, hop_length=features.step, win_length=features.taken,
        center=False, htk=True, norm=None, n_mels=40,
    )  # fmt: skip
    found = features(torch.from_numpy(samples))
    assert len(found) == 1 + (len(samples) - features.taken) // features.step
    expected = torch.from_numpy(np.log(energies.T[: len(found)]))
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-4)


def test_deltas_are_librosas():
    frames = torch.randn(30, 4)
    expected = librosa.feature.delta(frames.T.numpy(), width=5, mode="nearest").T
    torch.testing.assert_close(with_deltas(frames, 1)[:, 4:], torch.from_numpy(expected.copy()))
    assert with_deltas(frames, 2).shape == (30, 12)
    assert with_deltas(torch.zeros(0, 4), 1).shape[0] == 0


def test_resampling_keeps_a_tone(tmp_path):
    time = np.arange(16000) / 16000
    soundfile.write(tmp_path / "high.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 16000)
    samples = LogMel(8000).read(tmp_path / "high.wav")
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)
    torch.testing.assert_close(samples[100:-100].double(), torch.from_numpy(expected)[100:-100], atol=2e-3, rtol=0)


def test_flac_is_read_as_wav_is(tmp_path):
    for ending in (".wav", ".flac"):
        soundfile.write(tmp_path / f"one{ending}", (tones("ab") * 2**15).astype(np.int16), RATE)
    wav, flac = (LogMel(RATE).read(tmp_path / f"one{ending}") for ending in (".wav", ".flac"))
    assert torch.equal(wav, flac)


def test_channels(tmp_path):
    both = np.stack([tones("a"), tones("a") * 0.5], 1)
    soundfile.write(tmp_path / "two.wav", both, RATE, subtype="FLOAT")
    with pytest.raises(JobError, match="has 2 channels, expected one; --channel mean"):
        LogMel(RATE).read(tmp_path / "two.wav")
    mean = LogMel(RATE, channel="mean").read(tmp_path / "two.wav")
    second = LogMel(RATE, channel=1).read(tmp_path / "two.wav")
    torch.testing.assert_close(mean, second * 1.5)
    with pytest.raises(JobError, match="there is no channel 2"):
        LogMel(RATE, channel=2).read(tmp_path / "two.wav")


def test_a_lower_rate_is_refused(tmp_path):
    soundfile.write(tmp_path / "low.wav", tones("a", rate=4000), 4000)
    with pytest.raises(JobError, match="4000 samples a second, expected at least 8000"):
        LogMel(RATE).read(tmp_path / "low.wav")


def test_lines_are_straightened_and_scaled_by_their_ink(tmp_path):
    columns = ImageColumns(24)
    text = " ".join(["abc cab bac"] * 3)
    rising = torch.from_numpy(ink(picture(text, 0.05)))
    assert slope(ImageColumns(24, "whole")(rising)) < -0.04 and abs(slope(columns(rising))) < 0.01
    straight = columns(torch.from_numpy(ink(picture("abc abc abc"))))
    large = torch.from_numpy(ink(picture("abc abc abc").resize((210, 80))))
    assert abs(len(columns(large)) - len(straight)) < 0.5 * len(straight)
    whole = ImageColumns(24, "whole")(torch.from_numpy(ink(picture("abc"))))
    assert whole.shape[1] == 24


def slope(columns):
    """How many rows the ink falls from one column (T, D) to the next."""
    place, row = (part.float() for part in columns.gt(0.5).nonzero().T)
    return float(((place - place.mean()) * (row - row.mean())).mean() / place.var())


def ink(image):
    return 1 - np.asarray(image, dtype=np.float32) / 255


def test_paper_may_be_dark_transparent_or_of_any_depth(tmp_path):
    picture("abc").save(tmp_path / "light.png")
    picture("abc", dark=True).save(tmp_path / "dark.png")
    clear = Image.new("RGBA", picture("abc").size, (0, 0, 0, 0))
    clear.putalpha(picture("abc", dark=True))
    clear.save(tmp_path / "clear.png")
    light, dark, transparent = (ImageColumns().read(tmp_path / f"{name}.png") for name in ("light", "dark", "clear"))
    torch.testing.assert_close(light, dark)
    torch.testing.assert_close(light, transparent, atol=0.02, rtol=0)
    assert light.max() == 1 and light.median() == 0


def test_an_empty_image_has_its_middle():
    middle, spread = middle_of_ink(torch.zeros(10, 5))
    torch.testing.assert_close(middle, torch.full((5,), 4.5))
    assert spread == 0
    assert ImageColumns(8)(torch.zeros(10, 20)).isfinite().all()


@pytest.mark.parametrize("T, stack, stride", [(10, 3, 3), (10, 3, 2), (9, 1, 1), (1, 4, 4), (7, 2, 3)])
def test_stacking_by_hand(T, stack, stride):
    frames = torch.randn(T, 2)
    filled = torch.cat([frames, torch.zeros(20, 2)])
    expected = torch.stack([filled[t : t + stack].flatten() for t in range(0, T, stride)])
    assert torch.equal(stacked(frames, stack, stride), expected)
    assert Inputs(LogMel(RATE), Scale("none"), stack, stride).count(T) == len(expected)


def test_scales():
    parts = [torch.randn(50, 3) * 5 + 2, torch.randn(20, 3) * 5 + 2]
    found = torch.cat([Scale.learn("global", parts).apply(part) for part in parts])
    torch.testing.assert_close(found.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(0, correction=0), torch.ones(3))
    own = Scale.learn("own", parts).apply(parts[1])
    torch.testing.assert_close(own.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    assert torch.equal(Scale.learn("none", parts).apply(parts[0]), parts[0])


def test_folders_and_tables_give_the_same_items(tmp_path):
    write_recordings(tmp_path / "data", 4)
    (tmp_path / "data" / "007.wav").write_bytes((tmp_path / "data" / "000.wav").read_bytes())
    items = find(tmp_path / "data")
    assert [item.path.name for item in items] == ["000.wav", "001.wav", "002.wav", "003.wav", "007.wav"]
    assert items[-1].text is None and kind(items) == "recordings"
    rows = pd.DataFrame({"path": [f"data/{item.path.name}" for item in items], "text": [item.text for item in items]})
    rows.loc[0, "text"] = "007"
    rows.loc[1, "text"] = "NA"
    for name, write in (("t.csv", rows.to_csv), ("t.parquet", rows.to_parquet)):
        write(tmp_path / name, index=False)
        found = find(tmp_path / name)
        assert [item.path for item in found] == [item.path for item in items]
        assert [item.text for item in found[:2]] == ["007", "NA"]
    rows.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    assert find(tmp_path / "t.tsv")[2] == items[2]
    assert find(tmp_path / "data" / "001.wav") == [items[1]]


def test_transcripts_are_composed_and_single_spaced(tmp_path):
    soundfile.write(tmp_path / "x.wav", tones("a"), RATE)
    (tmp_path / "x.gt.txt").write_text(unicodedata.normalize("NFD", " é  b\t") + "\n")
    assert find(tmp_path)[0].text == "é b"
    (tmp_path / "x.gt.txt").write_text("two\nlines")
    with pytest.raises(JobError, match="holds 2 lines"):
        find(tmp_path)


def items(count, **columns):
    return [
        Item(Path(f"{k}.wav"), "a", **{name: values[k % len(values)] for name, values in columns.items()})
        for k in range(count)
    ]


def test_division_draws_a_tenth_by_the_seed():
    parts, _ = divide(items(50), seed=1)
    assert {name: len(part) for name, part in parts.items()} == {"training": 40, "validation": 5, "test": 5}
    assert sorted(k for part in parts.values() for k in part) == list(range(50))
    assert parts == divide(items(50), seed=1)[0] != divide(items(50), seed=2)[0]


def test_division_holds_out_whole_speakers():
    speakers = ["kim", "lee", "ada", "bob"]
    parts, how = divide(items(40, speaker=speakers), seed=0)
    who = {name: {speakers[k % 4] for k in parts[name]} for name in ("training", "validation", "test")}
    assert [len(one) for one in who.values()] == [2, 1, 1]
    assert not who["training"] & who["test"] and "whole speakers are held out" in how
    with pytest.raises(JobError, match="2 speakers .* are too few"):
        divide(items(40, speaker=["kim", "lee"]), seed=0)


def test_division_follows_the_column():
    parts, how = divide(items(20, split=["training", "training", "test", "training"]), seed=0)
    assert parts["test"] == [2, 6, 10, 14, 18] and len(parts["validation"]) == 2
    assert "a tenth of its training for validation" in how
    mixed = items(3) + items(1, split=["test"])
    with pytest.raises(JobError, match="has no split, but others have"):
        divide(mixed, seed=0)


def test_least_steps_is_what_ctc_needs():
    rng = random.Random(0)
    for _ in range(20):
        text = "".join(rng.choices("ab", k=rng.randint(1, 6)))
        spread = [text[0]]
        for one, following in zip(text, text[1:], strict=False):
            spread += ["-", following] if one == following else [following]
        assert least_steps(text) == len(spread)


def test_the_alphabet_goes_both_ways():
    alphabet = Alphabet.of(["für", "elise"])
    assert alphabet.text(alphabet.labels("reif").tolist()) == "reif"
    assert alphabet.unknown("exil") == ["x"] and len(alphabet.strings) == len(alphabet.characters) + 1
