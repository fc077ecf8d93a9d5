"""Experiments trained by back-propagation: what generators and readers promise; that each runs and resumes."""

import gzip
import math
import struct

import numpy as np
import pytest
import scipy.io
import torch

from carousel import reproduce
from carousel.jobs import JobError
from carousel.reproduce import Work, running
from carousel.reproduce.data import mnist, music
from carousel.reproduce.papers import polyphonic_music
from carousel.reproduce.papers.adding_600 import sequences, sums
from carousel.reproduce.papers.copy_memory import copies, memoryless
from carousel.reproduce.progress import Progress
from carousel.reproduce.training import Reader, chrono_


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# -- laws of the generators


def test_adding_marks_two_steps_and_sums_them():
    tasks = sums(4000, 50, generator())
    x = sequences(tasks.values, tasks.marked)
    assert x.shape == (50, 4000, 2)
    numbers, marks = x.unbind(-1)
    assert torch.equal(marks.sum(0), torch.full((4000,), 2.0))
    torch.testing.assert_close((numbers * marks).sum(0), tasks.target)
    assert 0 <= numbers.min() and numbers.max() <= 1
    # both steps fall anywhere; answering 1 has the mean squared error 1/6
    assert marks.sum(1).min() > 0.5 * 2 * 4000 / 50
    assert ((tasks.target - 1) ** 2).mean() == pytest.approx(1 / 6, abs=0.01)


def test_copy_memory_is_laid_out_as_in_the_paper():
    lag = 30
    x, answers = copies(500, lag, generator())
    assert x.shape == answers.shape == (500, lag + 20)
    assert torch.equal(answers[:, -10:], x[:, :10]) and not answers[:, :-10].any()
    assert set(x[:, :10].unique().tolist()) == set(range(1, 9))
    assert not x[:, 10 : 10 + lag - 1].any() and bool((x[:, 10 + lag - 1 :] == 9).all())


def test_the_memoryless_loss():
    assert memoryless(1000) == pytest.approx(0.0204, abs=1e-4)  # the paper's LSTM has learned nothing more
    scores = torch.full((10, 10), -1e9)
    scores[:, 1:9] = 0.0  # each of the eight symbols alike, in ten steps; no doubt in the others
    loss = torch.nn.functional.cross_entropy(scores, torch.arange(10) % 8 + 1, reduction="sum") / 120
    assert memoryless(100) == pytest.approx(loss.item(), rel=1e-6)


def test_chrono_biases_lie_where_memories_last():
    layer = Reader("lstm", 2, 500, 1).layer
    chrono_(layer, 100)
    assert 0 <= layer.b_f_l0.min() and layer.b_f_l0.max() <= math.log(99)
    spans = layer.b_f_l0.exp()  # uniform
    assert spans.mean().item() == pytest.approx(50, abs=4)


def test_the_nets_have_the_papers_sizes():
    def count(one, setting):
        options = reproduce.get(one).setting(setting).options
        return options["hidden_size"]

    h = count("adding_600", "lstm")
    assert 4 * h * (2 + h + 1) + h + 1 == 69_291  # "70K"
    h = count("jsb_chorales", "lstm_300k")
    assert 4 * h * (88 + h + 1) + 88 * (h + 1) == 291_368  # "300K"


# -- readers


def idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


@pytest.fixture
def digits(tmp_path):
    """MNIST's files with few images, of which the first pixel tells the class; half of them train."""
    random = np.random.default_rng(0)
    for images, labels, count in [(mnist.FILES[0], mnist.FILES[1], 5_040), (mnist.FILES[2], mnist.FILES[3], 20)]:
        classes = random.integers(0, 10, count)
        pixels = np.zeros((count, 28, 28))
        pixels[:, 0, 0] = 25 * classes
        idx(tmp_path / images, pixels)
        idx(tmp_path / labels, classes)
    return tmp_path


@pytest.fixture
def pieces(tmp_path):
    """A collection in which a chord rises by a key at every step."""

    def piece(start, steps):
        roll = np.zeros((steps, 88), np.uint8)
        roll[np.arange(steps), (start + np.arange(steps)) % 88] = 1
        return roll

    parts = {}
    for name, count in zip(music.PARTS, (6, 2, 3), strict=True):
        cell = np.empty((1, count), object)
        for k in range(count):
            cell[0, k] = piece(10 * k, 5 + k)
        parts[name] = cell
    for file in (polyphonic_music.JSB, polyphonic_music.PIANO):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        scipy.io.savemat(tmp_path / file, parts)
    return tmp_path


def test_idx_files(digits):
    pixels, classes = mnist.images(digits / mnist.FILES[2]), mnist.labels(digits / mnist.FILES[3])
    assert pixels.shape == (20, 784) and torch.equal(pixels[:, 0].long(), 25 * classes)
    with pytest.raises(JobError, match="not a gzipped idx file"):
        mnist.labels(digits / mnist.FILES[2])
    (digits / "x.gz").write_bytes(gzip.compress(b"\0\0\0\0\0\0\0\0"))
    with pytest.raises(JobError, match="expected 0x801"):
        mnist.labels(digits / "x.gz")
    (digits / "x.gz").write_bytes(b"nothing")
    with pytest.raises(JobError, match="not a gzipped idx file"):
        mnist.images(digits / "x.gz")


def test_piano_rolls(pieces, tmp_path):
    found = music.read(pieces / polyphonic_music.JSB)
    assert [len(part) for part in found] == [6, 2, 3] and found.training[1].shape == (6, 88)
    batch = music.collate(found.training)
    assert batch.x.shape == (9, 6, 88) and batch.lengths.tolist() == [4, 5, 6, 7, 8, 9]
    total, steps = music.surprise(torch.zeros(9, 6, 88), batch)
    assert (total / steps).item() == pytest.approx(88 * math.log(2), rel=1e-5) and steps == 39
    sure = 50 * (2 * batch.following - 1)
    assert music.surprise(sure, batch)[0].item() == pytest.approx(0, abs=1e-6)
    for name, content in [("none.mat", b"nothing"), ("other.mat", None)]:
        if content:
            (tmp_path / name).write_bytes(content)
        else:
            scipy.io.savemat(tmp_path / name, {"a": np.ones(3)})
        with pytest.raises(JobError, match="expected a MATLAB file"):
            music.read(tmp_path / name)


# -- runs, as small as they can be

TINY = {
    "adding_600": {"steps": 12, "count": 320, "hidden_size": 8, "epochs": 2},
    "copy_memory": {"lag": 5, "count": 320, "hidden_size": 8, "epochs": 2},
    "sequential_mnist": {"count": 40, "hidden_size": 4, "batch_size": 40, "epochs": 1},
    "permuted_mnist": {"count": 40, "hidden_size": 4, "batch_size": 40, "epochs": 1},
    "jsb_chorales": {"hidden_size": 8, "epochs": 3},
    "piano_midi": {"hidden_size": 8, "epochs": 3},
}


def run(name, folder, data, setting=None):
    """One trial of a setting cut to nothing."""
    one = reproduce.get(name)
    setting = one.setting(setting) if setting else one.settings[0]
    with running.seeded(5):
        return one.run(Work([5], folder, data), **{**setting.options, **TINY[name]})


@pytest.mark.parametrize("name, setting", [
    ("adding_600", "lstm"), ("adding_600", "lstm_chrono"), ("copy_memory", "lstm"), ("copy_memory", "lstm_chrono_100"),
    ("jsb_chorales", "lstm_36"), ("jsb_chorales", "lstm_dropout"), ("piano_midi", "lstm_36"),
])  # fmt: skip
def test_an_experiment_runs(name, setting, tmp_path, pieces):
    (found,) = run(name, tmp_path / "work", pieces, setting)
    one = reproduce.get(name)
    assert {measure.name for measure in one.measures} <= set(found)
    assert set(one.curves) <= set(found) and all(math.isfinite(y) for name in one.curves for _, y in found[name])


@pytest.mark.parametrize("name", ["sequential_mnist", "permuted_mnist"])
def test_pixel_mnist_runs(name, tmp_path, digits):
    (found,) = run(name, tmp_path / "work", digits, "lstm_chrono")
    assert 0 <= found["test accuracy"] <= 1


@pytest.mark.parametrize("name", ["adding_600", "jsb_chorales"])
def test_stopped_in_the_midst_and_resumed_is_the_same(name, tmp_path, pieces):
    one = reproduce.get(name)
    setting = one.settings[-1]
    options = {**setting.options, **TINY[name], "epochs": 4}
    plan = running.make_plan(one, settings=[setting.name], trials=2)._replace(settings={setting.name: options})

    class Stopping(Progress):
        def step(self, share, says):
            if self.stop and self.text.startswith(f"{setting.name}: trial 2") and share > 0.6:
                raise KeyboardInterrupt

    def go(folder, stop, resume):
        progress = Stopping(None)
        progress.stop = stop
        return running.run(one, plan, tmp_path / folder, data=pieces, resume=resume, progress=progress)[0].trials

    with pytest.raises(KeyboardInterrupt):
        go("cut", True, False)
    kept = [p.name for p in (tmp_path / "cut" / setting.name).rglob("last.ckpt")]
    assert kept == ["last.ckpt"]
    assert go("cut", False, True) == go("whole", False, False)


def test_a_permutation_is_one_for_all_images():
    from carousel.reproduce.papers.pixel_mnist import sequences

    pixels = torch.arange(784, dtype=torch.uint8).repeat(3, 1)
    order = torch.randperm(784, generator=generator(1))
    x = sequences(pixels, order)
    assert x.shape == (784, 3, 1) and torch.equal(x[:, 0], x[:, 2])
    assert torch.equal(x[:, 0, 0].sort().values, pixels[0].float().sort().values / 255)
