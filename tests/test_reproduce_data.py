"""Experiments on given data: readers, splits, protocols; each runs on tiny files of the same format, and resumes."""

import gzip
import io
import math
import tarfile
import wave
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.stats
import torch

from carousel import reproduce
from carousel.jobs import JobError
from carousel.reproduce import Work
from carousel.reproduce.data import digits, physionet, series
from carousel.reproduce.papers import lstm_fcn, odyssey, odyssey_digits, penn_treebank, time_aware

UNIVARIATE = """\
# a comment
@problemName Tiny
@univariate true
@classLabel true 1 2
@data
{}
"""


def same_after_a_break(run, tmp_path, seed, **options):
    """The trial, run at once; and interrupted and continued, with the same result."""

    def stop(done, says):
        if done > 0.5:
            raise KeyboardInterrupt

    def trial(folder, report=None):
        torch.manual_seed(seed)
        return run(Work([seed], tmp_path / folder, tmp_path, report), **options)

    (whole,) = trial("whole")
    with pytest.raises(KeyboardInterrupt):
        trial("cut", stop)
    assert trial("cut") == [whole]
    return whole


def compressed(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()))
    return path


# -- time series


def test_series_of_several_variables_and_lengths(tmp_path):
    cases = series.read(compressed(tmp_path / "a.ts.gz", "@data\n1,2,3:4,5,6:one\n\n7,8:9,10:two\n"))
    assert cases.labels == ["one", "two"]
    assert [one.tolist() for one in cases.series] == [[[1, 4], [2, 5], [3, 6]], [[7, 9], [8, 10]]]
    assert series.padded(cases.series, 3)[1, 2].tolist() == [0, 0]


@pytest.mark.parametrize("text, said", [("1,2:3\n", "no line @data"), ("@data\n1,x:a\n", "line 2: .*'x'")])
def test_series_that_cannot_be_read(tmp_path, text, said):
    with pytest.raises(JobError, match=said):
        series.read(compressed(tmp_path / "a.ts.gz", text))


def waves(tmp_path, name, count=12, length=16):
    """Two classes that differ in frequency, one rarer than the other."""
    random = np.random.default_rng(0)
    for part in ("TRAIN", "TEST"):
        lines = []
        for k in range(count):
            label = 1 + (k % 3 == 0)
            values = np.sin(np.arange(length) * 0.4 * label + random.uniform(0, 6)) * 3 + 5
            lines.append(",".join(f"{value:.4f}" for value in values) + f":{label}")
        compressed(tmp_path / lstm_fcn.FILE.format(name, part), UNIVARIATE.format("\n".join(lines)))


def test_the_series_of_one_variable_are_standardised_each(tmp_path):
    waves(tmp_path, "GunPoint")
    cases = [series.read(tmp_path / lstm_fcn.FILE.format("GunPoint", part)) for part in ("TRAIN", "TEST")]
    task = lstm_fcn.task(*cases)
    assert task.x.shape == (12, 16, 1) and task.classes == 2 and task.y.tolist()[:4] == [1, 0, 0, 1]
    torch.testing.assert_close(task.x.mean(1), torch.zeros(12, 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(task.x.std(1, correction=0), torch.ones(12, 1))


def test_series_of_several_variables_are_standardised_together_and_padded_after_that():
    training = series.Cases([torch.full((2, 2), 3.0), torch.full((2, 2), 5.0)], ["a", "b"])
    task = lstm_fcn.task(training, series.Cases([torch.full((3, 2), 4.0)], ["b"]))
    assert task.x.shape == (2, 3, 2) and not task.x[:, 2].any()
    assert task.x[0, 0, 0] == -task.x[1, 0, 0] < 0 and not task.test_x.any()


def test_classes_weigh_alike_together():
    y = torch.tensor([0] * 7 + [1] * 2 + [2])
    weights = lstm_fcn.class_weights(y, 3)
    torch.testing.assert_close(torch.bincount(y) * weights, torch.full((3,), 10 / 3))


def test_the_rate_shrinks_by_the_cube_root_of_two_down_to_a_tenth(tmp_path):
    waves(tmp_path, "GunPoint", 4)
    cases = [series.read(tmp_path / lstm_fcn.FILE.format("GunPoint", part)) for part in ("TRAIN", "TEST")]
    training = lstm_fcn.Training(lstm_fcn.task(*cases), 8, 0)
    rates = []
    for _ in range(1200):
        training.plateau.step(1.0)
        rates.append(training.optimizer.param_groups[0]["lr"])
    assert rates[99] == 1e-3 and rates[100] == pytest.approx(1e-3 / 2 ** (1 / 3))
    assert rates[-1] == 1e-4


def test_lstm_fcn_learns_and_resumes_to_the_same_bits(tmp_path, monkeypatch):
    waves(tmp_path, "GunPoint")
    monkeypatch.setattr(lstm_fcn, "KEEP", 5)
    found = same_after_a_break(lstm_fcn.run, tmp_path, 3, dataset="GunPoint", hidden_size=4, epochs=15)
    assert found["test accuracy"] > 0.5 and [x for x, _ in found["training loss by epoch"]] == [5, 10, 15]


# -- words


def text(tmp_path, lines=60):
    random = np.random.default_rng(0)
    for part, file in penn_treebank.FILES.items():
        found = ["a b c d", "c d a b"] if part == "train" else []
        for _ in range(lines):
            found.append(" ".join("abcd"[(k + random.integers(4)) % 4] for k in range(5)))
        compressed(tmp_path / file, "".join(f" {line} \n" for line in found))


def test_each_line_ends_in_a_word_of_its_own(tmp_path):
    text(tmp_path, 2)
    found = {part: penn_treebank.words(tmp_path / file) for part, file in penn_treebank.FILES.items()}
    assert found["train"][:6] == ["a", "b", "c", "d", "<eos>", "c"]
    numbers, count = penn_treebank.numbered(found)
    assert count == 5 and len(numbers["test"]) == 12 and numbers["train"][4] == numbers["test"][5]


def test_the_small_net_has_the_weights_of_the_paper():
    net = penn_treebank.LanguageModel(10, 200)
    embedding_and_output = 2 * 10_000 * 200 + 10_000
    recurrent = sum(p.numel() for p in net.layer.parameters())
    assert embedding_and_output + recurrent == 4_651_600  # derived
    assert all(p.abs().max() <= 0.1 and p.abs().max() > 0.05 for p in net.parameters())


def test_perplexity_does_not_depend_on_where_the_text_is_cut():
    torch.manual_seed(0)
    net = penn_treebank.LanguageModel(7, 8)
    words = torch.randint(7, (50,))
    found = [penn_treebank.perplexity(net, words, steps) for steps in (50, 7)]
    scores, _ = net(words[:-1, None])
    byhand = math.exp(-scores[:, 0].log_softmax(1)[torch.arange(49), words[1:]].mean().item())
    assert found == pytest.approx([byhand, byhand], rel=1e-5)


def test_the_gradient_is_of_the_sum_over_steps_and_the_mean_over_lanes():
    from carousel.train import Chunk

    net = penn_treebank.LanguageModel(7, 8)
    words = torch.randint(7, (5, 3))
    chunk = Chunk(words, words, torch.zeros(5, 3, dtype=torch.bool), torch.ones(5, 3, dtype=torch.bool))
    (total, count), state = penn_treebank.loss(net, chunk, None)
    scores, _ = net(words)
    each = torch.nn.functional.cross_entropy(scores.flatten(0, 1), words.flatten(), reduction="none").view(5, 3)
    torch.testing.assert_close(total / count, each.sum(0).mean())
    fresh = Chunk(words, words, torch.tensor([[True] * 3] + [[False] * 3] * 4), chunk.counts)
    assert penn_treebank.loss(net, fresh, state)[0][0] == total != penn_treebank.loss(net, chunk, state)[0][0]


def test_penn_treebank_resumes_to_the_same_bits(tmp_path):
    text(tmp_path)
    options = {"hidden_size": 8, "steps": 5, "lanes": 4, "epochs": 2, "share": 0.9}
    found = same_after_a_break(penn_treebank.run, tmp_path, 0, **options)
    assert found["test perplexity"] < 6 and len(found["training perplexity by epoch"]) == 17
    assert found["training perplexity by epoch"][-1][0] == 2.0


# -- patients


def archive(tmp_path, records, deaths):
    """A compressed archive of records, each a list of lines, and their outcomes."""
    folder = tmp_path / "physionet2012"
    folder.mkdir()
    with tarfile.open(folder / "set-a.tar.gz", "w:gz") as files:
        for number, lines in records.items():
            content = "\n".join(["Time,Parameter,Value", f"00:00,RecordID,{number}", *lines, ""]).encode()
            info = tarfile.TarInfo(f"set-a/{number}.txt")
            info.size = len(content)
            files.addfile(info, io.BytesIO(content))
    rows = [f"{number},6,1,5,-1,{int(number in deaths)}" for number in records]
    head = "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death"
    (folder / "Outcomes-a.txt").write_text("\n".join([head, *rows, ""]))
    return [tmp_path / name for name in time_aware.FILES]


ONE = ["00:00,Age,54", "00:00,Gender,0", "00:00,Height,-1", "00:00,ICUType,4", "00:00,Weight,-1",
       "00:07,HR,73", "00:07,Temp,35.1", "01:37,HR,80", "01:37,HR,82", "47:30,Temp,36"]  # fmt: skip
OTHER = ["00:00,Age,80", "00:00,Gender,1", "00:00,Height,170", "00:00,ICUType,2", "00:00,Weight,-1"]


def test_a_record_has_a_step_for_each_time_of_measurement(tmp_path):
    found = physionet.read(*archive(tmp_path, {7: ONE, 5: OTHER}, {7}))
    assert found.variables == ("HR", "Temp", "Weight") and found.died.tolist() == [False, True]
    assert found.starts.tolist() == [0, 1, 4]  # record 5 first; nothing measured is one step
    torch.testing.assert_close(found.hours, torch.tensor([0, 7 / 60, 1 + 37 / 60, 47.5]))
    nan = torch.nan
    expected = torch.tensor([[nan] * 3, [73, 35.1, nan], [82, nan, nan], [nan, 36, nan]])
    torch.testing.assert_close(found.values, expected, equal_nan=True)
    torch.testing.assert_close(found.descriptors, torch.tensor([[80, 1, 170, 2], [54, 0, nan, 4.0]]), equal_nan=True)


def test_records_that_cannot_be_read(tmp_path):
    paths = archive(tmp_path, {7: ONE, 5: ["00:00,HR"]}, {7})
    with pytest.raises(JobError, match=r"set-a/5.txt: .*Time,Parameter,Value"):
        physionet.read(*paths)
    paths[1].write_text("RecordID,In-hospital_death\n7,1\n")
    with pytest.raises(JobError, match=r"set-a/5.txt|no outcome of record 5"):
        physionet.read(*paths)


def test_the_parts_of_a_split_are_apart_and_deaths_are_shared_out():
    died = torch.rand(1000, generator=torch.Generator().manual_seed(1)) < 0.14
    for seed in (0, 3, 10_001):
        parts = time_aware.split(died, seed)
        assert sorted(torch.cat(parts).tolist()) == list(range(1000))
        assert [len(part) for part in parts] == pytest.approx([700, 100, 200], abs=3)
        rate = died.float().mean().item()
        assert [died[part].float().mean().item() for part in parts] == pytest.approx([rate] * 3, abs=0.01)
    assert not set(time_aware.split(died, 0).test.tolist()) & set(time_aware.split(died, 1).test.tolist())
    assert time_aware.split(died, 0).test.tolist() != time_aware.split(died, 5).test.tolist()


def test_only_the_training_part_decides_the_scale(tmp_path):
    records = {k: [*OTHER, f"00:10,HR,{60 + k}", f"02:10,HR,{80 + k}"] for k in range(10)}
    records[9] = [*OTHER, "00:10,HR,9000"]
    found = physionet.read(*archive(tmp_path, records, {1}))
    stays = time_aware.Stays(found, torch.arange(9))
    batch = stays.batch([9, 0])
    heart = batch.x[:, :, found.variables.index("HR")]
    assert batch.x.shape == (2, 2, 1 + 1 + 3 + 4) and batch.lengths.tolist() == [1, 2]
    assert heart[0, 0] == heart[:, :].max() and heart[0, 0] < 2  # cut to what training holds
    assert batch.gap[:, 1, 0].tolist() == [0, pytest.approx(2)] and not batch.seen[0, 1, 1]


def test_the_time_since_each_was_measured():
    """The example of Che et al. (2018), Figure 2, as remembered; its intervals follow from the rule beside it."""
    hours = torch.tensor([0, 0.1, 0.6, 1.6, 2.2, 2.5, 3.1])
    seen = torch.tensor([[1, 1, 0, 1, 0, 1, 1], [0, 1, 1, 0, 0, 0, 1.0]]).T
    gap = torch.cat([torch.zeros(1), hours.diff()])[:, None, None]
    since = time_aware._since(gap, seen[:, None])[:, 0]
    torch.testing.assert_close(since[:, 0], torch.tensor([0, 0.1, 0.5, 1.5, 0.6, 0.9, 0.6]))
    torch.testing.assert_close(since[:, 1], torch.tensor([0, 0.1, 0.5, 1.0, 1.6, 1.9, 2.5]))


def test_the_area_is_mann_and_whitneys():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(6, (50,), generator=generator).float()
    positive = torch.rand(50, generator=generator) < 0.3
    theirs = scipy.stats.mannwhitneyu(scores[positive], scores[~positive]).statistic
    expected = theirs / (int(positive.sum()) * int((~positive).sum()))
    assert time_aware.area(scores, positive) == pytest.approx(expected)


@pytest.mark.parametrize("setting", [one.name for one in time_aware.time_aware.settings])
def test_time_aware_resumes_to_the_same_bits(tmp_path, setting):
    random = np.random.default_rng(0)
    records = {}
    for k in range(40):
        hours = sorted(random.choice(47, 3 + k % 3, replace=False))
        records[k] = [*OTHER, *(f"{hour:02d}:{random.integers(60):02d},HR,{90 + 20 * (k % 4 == 0)}" for hour in hours)]
    archive(tmp_path, records, set(range(0, 40, 4)))
    options = {**time_aware.time_aware.setting(setting).options, "hidden_size": 4, "epochs": 2}
    found = same_after_a_break(time_aware.run, tmp_path, 1, **options)
    assert 0 <= found["test AUC"] <= 1 and len(found["validation loss by update"]) == 3


# -- music


def chorales(tmp_path):
    random = np.random.default_rng(0)
    parts = {}
    for part, count in (("traindata", 5), ("validdata", 2), ("testdata", 2)):
        parts[part] = np.empty((1, count), dtype=object)
        for k in range(count):
            parts[part][0, k] = (random.random((4 + k, 88)) < 0.05).astype(np.uint8)
    path = tmp_path / "polyphonic_music" / "JSB_Chorales.mat"
    path.parent.mkdir()
    scipy.io.savemat(path, parts)


def test_the_ranges_of_the_search():
    drawn = [odyssey.sample(torch.Generator().manual_seed(k)) for k in range(500)]
    sizes, rates, momenta, noises = (np.array([one[name] for one in drawn]) for name in drawn[0])
    assert sizes.min() >= 20 and sizes.max() <= 200 and np.median(sizes) == pytest.approx(63, rel=0.1)
    assert 1e-6 <= rates.min() and rates.max() <= 1e-2 and np.median(rates) == pytest.approx(1e-4, rel=0.3)
    assert 0 <= momenta.min() and momenta.max() <= 0.99 and np.median(momenta) == pytest.approx(0.9, abs=0.02)
    assert 0 <= noises.min() and noises.max() <= 1


def test_importance_shares_out_what_was_put_in():
    random = np.random.default_rng(0)
    drawn = [odyssey.sample(torch.Generator().manual_seed(k)) for k in range(200)]
    for one in drawn:
        rate, size = math.log10(one["learning_rate"]) / 4, math.log(one["hidden_size"] / 63) / math.log(10)
        one["test"] = math.exp(2 + 0.3 * rate + 0.1 * size + 0.01 * random.standard_normal())
    found = odyssey.importance(drawn, 60.0)  # both uniform over a range of 1: shares as 9 to 1
    assert found["explained by learning rate"] == pytest.approx(0.9, abs=0.05)
    assert found["explained by hidden size"] == pytest.approx(0.1, abs=0.05)
    assert odyssey.importance(drawn[:19], 60.0) == {}


@pytest.mark.parametrize("cell", ["lstm_vanilla", "lstm_fgr"])
def test_a_search_resumes_to_the_same_numbers(tmp_path, cell):
    chorales(tmp_path)
    found = same_after_a_break(odyssey.run, tmp_path, 4, cell=cell, samples=3, epochs=2, patience=15)
    assert found["test NLL"] < 88 * math.log(2) and len(found["test NLL by learning rate"]) == 3


def test_all_variants_are_searched():
    assert [one.options["cell"] for one in reproduce.get("odyssey").settings] == [
        f"lstm_{name}" for name in ("vanilla", "nig", "nfg", "nog", "niaf", "noaf", "cifg", "np", "fgr")
    ]


# -- speech


def spoken(tmp_path, rate=8000):
    """Two digits, each a tone of its own, by two speakers, a test, a validation and two training takes of each."""
    path = tmp_path / digits.FILE
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as files:
        for digit, speaker, take in [(d, s, t) for d in (0, 7) for s in ("ann", "bob") for t in (0, 5, 10, 11)]:
            tone = np.sin(np.arange(600 + 80 * take) * 0.1 * (1 + digit)) * 2**14
            content = io.BytesIO()
            with wave.open(content, "wb") as file:
                file.setparams((1, 2, rate, len(tone), "NONE", ""))
                file.writeframes(tone.astype("<i2").tobytes())
            files.writestr(f"recordings/{digit}_{speaker}_{take}.wav", content.getvalue())
    return path


def test_spoken_digits(tmp_path):
    found = digits.read(spoken(tmp_path))
    assert [one[1:] for one in found[:3]] == [(0, "ann", 0), (0, "ann", 5), (0, "ann", 10)] and len(found) == 16
    assert len(found[1].samples) == 1000 and found[1].samples.abs().max() == pytest.approx(0.5, rel=0.01)
    parts = odyssey_digits.takes(found)
    assert [len(part) for part in parts] == [8, 4, 4]
    values = torch.cat([one.x for one in parts.training])
    torch.testing.assert_close(values.mean(0), torch.zeros(40), atol=1e-4, rtol=0)


def test_archives_that_hold_no_digits(tmp_path):
    with pytest.raises(JobError, match="channels, bytes a sample and rate"):
        digits.read(spoken(tmp_path, 16_000))
    path = tmp_path / "empty.zip"
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(JobError, match="holds no recordings"):
        digits.read(path)


def test_frames_past_the_end_do_not_count():
    net = odyssey_digits.Listener("lstm_vanilla", 40, 3, 0.0).eval()
    one, other = (odyssey_digits.Spoken(torch.randn(n, 40), torch.tensor(3), torch.tensor(n)) for n in (4, 9))
    alone = [odyssey_digits.wrong(net, odyssey_digits.collate([each])) for each in (one, other)]
    together = odyssey_digits.wrong(net, odyssey_digits.collate([one, other]))
    assert [int(value) for value in together] == [int(a + b) for a, b in zip(*alone, strict=True)]


def test_a_search_on_digits_runs(tmp_path):
    spoken(tmp_path)
    options = {"cell": "lstm_cifg", "samples": 2, "epochs": 2, "patience": 15, "length": None}
    (found,) = odyssey_digits.run(Work([0], tmp_path / "work", tmp_path), **options)
    assert 0 <= found["test error"] <= 1 and len(found["test error by learning rate"]) == 2
