"""The experiments that transcribe: readers, parts, and each run on tiny files of the same format."""

import io
import random
import tarfile
import zipfile

import numpy as np
import pytest
import soundfile

from carousel.jobs import JobError
from carousel.reproduce import Work
from carousel.reproduce.data import digits, lines
from carousel.reproduce.papers import printed_lines, spoken_digits
from transcribe_data import RATE, picture, sentence

TINY = {"hidden_size": 6, "layers": 1, "epochs": 1}


def recordings(path, speakers=("ann", "bob"), indices=range(0, 14)):
    """An archive as the data set's, each digit a tone of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for number, speaker in enumerate(speakers):
            for digit in range(10):
                for index in indices:
                    file = io.BytesIO()
                    sound = 0.3 * np.sin(np.arange(600) * (0.2 + 0.2 * digit + 0.01 * number + 0.001 * index))
                    soundfile.write(file, sound, RATE, format="WAV", subtype="PCM_16")
                    archive.writestr(f"recordings/{digit}_{speaker}_{index}.wav", file.getvalue())
    return path


def pages(path, count=12):
    """An archive as the data set's, of lines of text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(0)
    with tarfile.open(path, "w:gz") as archive:
        for number in range(count):
            text, image = sentence(rng), io.BytesIO()
            picture(text).save(image, "PNG")
            for ending, data in ((".bin.png", image.getvalue()), (".gt.txt", f"{text}\n".encode())):
                entry = tarfile.TarInfo(f"book/{number // 2:04}/{number:06}{ending}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return path


def test_digits_are_read_and_joined(tmp_path):
    found = digits.read(recordings(tmp_path / "a.zip"))
    assert len(found) == 2 * 10 * 14 and {one.speaker for one in found} == {"ann", "bob"}
    rows = spoken_digits.write_strings(tmp_path / "strings", found, 8, 3, random.Random(0))
    for path, text in rows:
        samples, rate = soundfile.read(path, dtype="int16")
        assert rate == RATE and len(samples) == 600 * len(text) and 1 <= len(text) <= 3


def test_no_recording_is_in_two_parts(tmp_path):
    found = digits.read(recordings(tmp_path / "a.zip"))
    for held_out in ("", "ann"):
        parts = spoken_digits.pools(found, held_out)
        seen = {part: {one[1:] for of in some for one in of} for part, some in parts.items()}
        assert not seen["training"] & seen["validation"] and not seen["test"] & (seen["training"] | seen["validation"])
        assert ("ann" in {who for _, who, _ in seen["training"]}) == (not held_out)
        assert {who for _, who, _ in seen["test"]} == ({"ann"} if held_out else {"ann", "bob"})


def test_lines_are_unpacked_with_their_pages(tmp_path):
    table = lines.unpack(pages(tmp_path / "a.tgz"), tmp_path / "lines")
    assert len(table) == 12 and table["speaker"].nunique() == 6
    assert len(list((tmp_path / "lines").iterdir())) == 12


@pytest.mark.parametrize("reader", [digits.read, lambda path: lines.unpack(path, path.parent / "x")])
def test_archives_that_cannot_be_read(tmp_path, reader):
    (tmp_path / "a").write_bytes(b"nothing")
    with pytest.raises(JobError, match="not (readable as )?an? (tar )?archive"):
        reader(tmp_path / "a")


def test_a_line_without_text(tmp_path):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("book/1/2.bin.png"))
    with pytest.raises(JobError, match=r"2.bin.png has no .gt.txt beside it"):
        lines.unpack(tmp_path / "a.tgz", tmp_path / "x")


@pytest.mark.parametrize("name", ["spoken_digits", "printed_lines"])
def test_each_runs(tmp_path, name):
    recordings(tmp_path / "data" / spoken_digits.FILE)
    pages(tmp_path / "data" / printed_lines.FILE)
    told = []
    work = Work([3], tmp_path / "work", tmp_path / "data", lambda done, says: told.append(done))
    if name == "spoken_digits":
        options = {**spoken_digits.OPTIONS, **TINY, "strings": 20, "most": 3, "held_out": "bob"}
        (trial,) = spoken_digits.run(work, **options)
    else:
        (trial,) = printed_lines.run(work, **{**printed_lines.OPTIONS, **TINY})
    assert 0 < trial["label error rate"] <= 1.5 and trial["epochs"] == 1 and told[-1] == 1
    assert len(trial["validation by epoch"]) == 2


def test_a_trial_that_was_cut_off_goes_on(tmp_path):
    recordings(tmp_path / "data" / spoken_digits.FILE)
    options = {**spoken_digits.OPTIONS, **TINY, "strings": 20, "most": 2, "epochs": 3}
    whole = spoken_digits.run(Work([1], tmp_path / "one", tmp_path / "data"), **options)

    class Cut(Exception):
        pass

    def cut(done, says):
        if done > 0.5:
            raise Cut

    with pytest.raises(Cut):
        spoken_digits.run(Work([1], tmp_path / "two", tmp_path / "data", cut), **options)
    assert spoken_digits.run(Work([1], tmp_path / "two", tmp_path / "data"), **options) == whole
