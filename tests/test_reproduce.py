"""`carousel reproduce`: the table's arithmetic, runs that are killed and resumed, files, errors, the page."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import scipy.stats
import torch

from carousel import reproduce
from carousel.jobs import JobError
from carousel.reproduce import Experiment, Figure, Measure, Quick, Setting, Work, page, plot, record, running, table
from carousel.reproduce.progress import Progress
from carousel.reproduce.statistics import summarise, verdict
from tiny_experiment import tiny

ROOT = Path(__file__).parents[1]
COUNT, SHARE = Measure("steps", "lower", "count"), Measure("solved", "higher", "share")


@pytest.fixture
def command(run, monkeypatch, tmp_path):
    """The command line on the tiny experiment."""
    monkeypatch.setattr(reproduce, "get", lambda name: tiny)
    monkeypatch.setattr(reproduce, "experiments", lambda: iter([tiny]))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: run("reproduce", *arguments)


def results(folder="carousel-results"):
    return json.loads((Path(folder) / "tiny.json").read_text())["results"]


def trials(folder="carousel-results"):
    return {(entry["setting"], entry["quick"]): entry["trials"] for entry in results(folder)}


# -- arithmetic


def test_the_interval_is_students():
    values = [3.0, 1.0, 4.0, 1.5, 9.0]
    found = summarise(COUNT, values)
    low, high = scipy.stats.t.interval(0.95, 4, loc=found.mean, scale=scipy.stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.mean, found.counted, found.trials) == (pytest.approx(3.7), 5, 5)


@pytest.mark.parametrize("solved, n", [(0, 5), (29, 30), (30, 30), (7, 10)])
def test_the_interval_of_shares_is_wilsons(solved, n):
    found = summarise(SHARE, [1] * solved + [0] * (n - solved))
    theirs = scipy.stats.binomtest(solved, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))


def test_shares_that_are_no_outcomes_have_students_interval():
    found = summarise(SHARE, [0.9, 0.8, 0.85])
    assert found.high - found.mean == pytest.approx(found.mean - found.low)


def test_trials_without_a_number_are_counted():
    assert summarise(COUNT, [None, None]) is None
    assert summarise(COUNT, [5, None])[-2:] == (1, 2)


@pytest.mark.parametrize("better, paper, said", [
    ("lower", 100.0, "better"), ("lower", 10.0, "inside"), ("lower", 1.0, "worse"),
    ("higher", 100.0, "worse"), ("higher", 11.0, "inside"), ("higher", 1.0, "better"),
])  # fmt: skip
def test_the_verdict_says_where_the_printed_mean_lies(better, paper, said):
    measure = Measure("x", better)
    assert verdict(measure, Figure(paper), summarise(measure, [9.0, 10.0, 11.0, 12.0])) == said


@pytest.mark.parametrize("paper, said", [(3.0, "worse"), (5.0, "inside"), (7.0, "better")])
def test_one_trial_stands_for_itself(paper, said):
    assert verdict(COUNT, Figure(paper), summarise(COUNT, [5.0])) == said


# -- the command


def test_a_run_writes_and_tells(command):
    code, out, err = command("tiny", "--data", "nowhere")  # which it does not read
    assert code == 0, err
    assert {k: len(v) for k, v in trials().items()} == {
        ("still", False): 4,
        ("uphill", False): 3,
        ("downhill", False): 4,
    }
    table_of_run = out[out.index("A walk that drifts") :]
    places = [table_of_run.index(word) for word in ("As published", "still", "downhill", "Today", "uphill")]
    assert places == sorted(places)
    words = " ".join(out.split())
    assert "still is worse in place. It has nowhere to go." in words
    assert "downhill is worse in steps. Not explained yet." in words and "no trial" in words
    entry = results()[0]
    assert entry["command"] == "carousel reproduce tiny" and entry["kind"] == "as published"
    assert entry["machine"]["threads"] == 1 and entry["machine"]["processor"] and entry["versions"]["torch"]
    assert entry["trials"][1]["seed"] == 1 and entry["trials"][0]["never"] is None
    assert len(entry["trials"][0]["path"]) == 6
    assert (Path("carousel-results") / "tiny.png").stat().st_size > 10_000
    assert not Path("carousel-results/tiny.partial").exists()


def test_quick_trials_settings_and_seed(command):
    command("tiny", "--quick")
    assert {k: len(v) for k, v in trials().items()} == {("still", True): 2, ("uphill", True): 2}
    assert results()[0]["options"] == {"drift": 0.5}
    code, out, _ = command("tiny", "--settings", "still, downhill", "--trials", 2, "--seed", 7)
    assert code == 0 and "It has nowhere to go" in " ".join(out.split())
    found = results()  # quick and full runs stand side by side
    assert [(e["setting"], e["quick"]) for e in found] == [
        ("still", False), ("still", True), ("uphill", True), ("downhill", False)]  # fmt: skip
    assert [trial["seed"] for trial in found[0]["trials"]] == [70_000, 70_001]
    assert found[0]["command"] == "carousel reproduce tiny --trials 2 --settings still,downhill --seed 7"


def test_json(command):
    code, out, _ = command("tiny", "--json", "--trials", 2, "--settings", "uphill")
    found = json.loads(out)
    assert code == 0 and found["rows"][-1]["measure"] == "place"
    assert found["rows"][-1]["paper"] == {"value": 0.5, "mark": "as remembered", "note": "about"}
    assert found["rows"][-1]["verdict"] in ("better", "inside", "worse")


def test_more_trials_go_on_where_fewer_ended(command):
    command("tiny", "--trials", 2, "--output", "two")
    command("tiny", "--trials", 4, "--output", "four")
    for key, found in trials("two").items():
        assert trials("four")[key][:2] == found


def test_lists(command):
    code, out, _ = command()
    assert code == 0 and "A walk that drifts" in out and "generated" in out
    code, out, _ = command("tiny", "--list")
    words = " ".join(out.split())
    assert code == 0 and "As published" in words and "0.5 place (as remembered)" in words
    assert "--quick runs the settings still, uphill, 2 trials a setting, and cuts the drift." in words
    assert json.loads(command("--json")[1])[0]["name"] == "tiny"
    assert json.loads(command("tiny", "--list", "--json")[1])["settings"][2]["options"] == {"drift": -9.0}


@pytest.mark.parametrize("arguments, said", [
    (("--settings", "uphil"), "has no setting 'uphil'. Did you mean 'uphill'? It has: still, uphill, downhill."),
    (("--trials", 20_000), "expected at most 10,000"),
    (("--resume",), "no run of tiny to resume there; start without --resume."),
    (("--output", "file"), "cannot be made"),
])  # fmt: skip
def test_faults_are_one_clear_line(command, arguments, said):
    Path("file").write_text("")
    code, out, err = command("tiny", *arguments)
    assert (code, out) == (2, "") and len(err.strip().splitlines()) == 1
    assert err.startswith("carousel: ") and said in err


def test_an_unknown_experiment_is_a_fault(run):
    code, _, err = run("reproduce", "nothing_of_the_kind")
    assert code == 2 and "there is no experiment 'nothing_of_the_kind'" in err


def test_a_file_that_is_no_file_of_results(command):
    Path("carousel-results").mkdir()
    Path("carousel-results/tiny.json").write_text("[]")
    code, _, err = command("tiny")
    assert code == 2 and "is no file of results" in err


# -- interrupted and resumed


def test_stopped_and_resumed_is_the_same(command, monkeypatch):
    command("tiny", "--output", "whole")
    monkeypatch.setenv("TINY_STOPS", "1,3")
    code, _, err = command("tiny")
    assert code == 130 and "--resume" in err and not Path("carousel-results/tiny.json").exists()
    monkeypatch.delenv("TINY_STOPS")
    code, _, err = command("tiny")
    assert code == 2 and "holds an unfinished run; continue it with --resume" in err
    for arguments, said in [
        (("--trials", 2), "begun with trials of still = 4, now it is 2"),
        (("--quick",), "begun with quick = False, now it is True"),
        (("--settings", "still,uphill"), "begun with settings = 'still, uphill, downhill', now it is 'still, uphill'"),
        (("--seed", 1), "begun with seed = 0, now it is 1"),
        (("--threads", 2), "begun with threads = 1, now it is 2"),
    ]:
        code, _, err = command("tiny", "--resume", *arguments)
        assert code == 2 and said in err, err
    torch.set_num_threads(1)
    code, _, err = command("tiny", "--resume")
    assert code == 0, err
    assert trials() == trials("whole")
    assert not Path("carousel-results/tiny.partial").exists()


def test_killed_and_resumed_is_the_same(command):
    code = (
        "import sys; from carousel import reproduce; from tiny_experiment import tiny\n"
        "reproduce.get = lambda name: tiny\n"
        "from carousel.cli import main; sys.argv[0] = 'carousel'; main()"
    )
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    killed = subprocess.run(
        [sys.executable, "-c", code, "reproduce", "tiny"],
        env={**os.environ, "TINY_DIES": "2,4", "PYTHONPATH": path}, capture_output=True,
    )  # fmt: skip
    assert killed.returncode == -9
    kept = Path("carousel-results/tiny.partial/still")
    assert sorted(p.name for p in kept.iterdir()) == ["00000.json", "00001.json", "00002"]
    code, _, err = command("tiny", "--resume")
    assert code == 0, err
    command("tiny", "--output", "whole")
    assert trials() == trials("whole")


def test_a_damaged_state_is_told(tmp_path):
    work = Work([0], tmp_path)
    work.save({"a": 1})
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(JobError, match="cannot be read"):
        work.load()


def test_nothing_is_unpickled(tmp_path):
    torch.save({"path": Path("x")}, tmp_path / "state.pt")
    with pytest.raises(JobError, match="cannot be read"):
        Work([0], tmp_path).load()


def test_groups_of_trials():
    def walk(work, **options):
        seen.append(work.seeds)
        return [{"steps": seed} for seed in work.seeds]

    def experiment(together):
        return Experiment("e", "", "", walk, [COUNT], [Setting("a", "")], 5, Quick(1, ""), together=together)

    for together, groups in [(None, [(0, 1, 2, 3, 4)]), (2, [(0, 1), (2, 3), (4,)])]:
        seen = []
        one = experiment(together)
        finished = running.run(
            one, running.make_plan(one), Path(tempfolder()), data=None, resume=False, progress=Progress(None)
        )
        assert seen == groups and [trial["steps"] for trial in finished[0].trials] == list(range(5))


def tempfolder():
    import tempfile

    return Path(tempfile.mkdtemp()) / "partial"


# -- data


def test_data_that_are_missing(tmp_path):
    needs = Experiment("e", "", "", lambda work: [], [COUNT], [Setting("a", "")], 1, Quick(1, ""), needs=("set/x.gz",))
    plan = running.make_plan(needs)
    for data, said in [(None, "with --data DIR"), (tmp_path, "there is no set/x.gz")]:
        with pytest.raises(JobError, match=said):
            running.run(needs, plan, tmp_path / "p", data=data, resume=False, progress=Progress(None))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x.gz").touch()
    assert Work([0], tmp_path, tmp_path).file("set/x.gz").exists()


# -- progress


def test_the_bar_says_where_it_is():
    from io import StringIO

    from rich.console import Console

    screen = StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with Progress(console) as progress:
        progress.start(4)
        progress.group("still", 0, 4, 2)
        progress.step(0.5, "loss 0.3")
        progress.bar.refresh()
        task = progress.bar.tasks[0]
        assert (task.completed, task.description) == (1.0, "still: trials 1 to 2 of 4, loss 0.3")
        progress.group("still", 2, 4, 2)
        assert progress.bar.tasks[0].completed == 2
    assert "loss 0.3" in screen.getvalue()


# -- the page of results


def test_the_page_says_all(command, tmp_path, monkeypatch):
    command("tiny", "--output", "results")
    command("tiny", "--output", "results", "--quick")
    monkeypatch.setattr(page, "experiments", lambda: iter([tiny]))
    text = page.page(Path("results"))
    assert "## A walk that drifts" in text and "| still: no drift | place | 100 (verified) |" in text
    assert "| [A walk that drifts](#a-walk-that-drifts) | 3 | 1 | 2 | full |" in text
    assert "**ours worse**" in text and "It has nowhere to go." in text and "`carousel reproduce tiny`: " in text
    assert "(quick)" not in text.split("##")[1]  # the full run is there
    assert "![A walk that drifts](../results/tiny.png)" in text
    assert "Not run yet: `tiny`" in page.page(tmp_path / "nothing")


def test_a_plot_of_curves_and_of_one_trial(tmp_path):
    entries = [{"setting": "uphill", "kind": "today", "quick": True, "options": {},
                "trials": [{"seed": 0, "place": 1.0, "path": [[0, 1.0], [1, None], [2, 3.0]]}]}]  # fmt: skip
    plot.draw(tmp_path / "one.png", tiny, entries)
    assert plot._mean([[[0, 1.0], [1, None]], [[0, 3.0], [1, 5.0]]]) == [(0, 2.0)]


# -- the stored experiments and results


def test_every_experiment_is_whole():
    for one in reproduce.experiments():
        assert one.name in reproduce.names() and one.title and one.citation and one.quick.cut
        assert json.loads(json.dumps([dict(s.options) for s in one.settings])) == [
            dict(s.options) for s in one.settings
        ]
        for setting in one.settings:
            assert all(math.isfinite(f.value) and f.mark in ("verified", "derived", "as remembered")
                       for f in setting.paper.values())  # fmt: skip


def test_stored_results_are_of_the_stored_settings():
    for path in (ROOT / "results").glob("*.json"):
        one = reproduce.get(path.stem)
        for entry in record.read(path):
            plan = running.make_plan(one, settings=[entry["setting"]], quick=entry["quick"])
            assert json.loads(json.dumps(plan.settings[entry["setting"]])) == entry["options"], (path, entry["setting"])


def test_what_is_worse_is_explained():
    for one in reproduce.experiments():
        for entry in record.read(ROOT / "results" / f"{one.name}.json"):
            told = table.explanations(one, table.rows(one, [entry]))
            assert not any("Not explained yet" in line for line in told), told
