"""A transducer in the job: learned, kept, aligned, streamed; what is for CTC alone is refused."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from carousel.jobs import JobError
from carousel.jobs.transcribe import Decoding, Transcriber
from carousel.jobs.transcribe.transduction import Transduction
from carousel.labelling import TransducerBeam, TransducerGreedy
from transcribe_data import QUICK, write_recordings

SETTINGS = QUICK | {"model": "transducer", "bidirectional": False, "hidden_size": 32, "epochs": 22}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return write_recordings(tmp_path_factory.mktemp("recordings") / "data", 90)


@pytest.fixture(scope="module")
def fitted(recordings):
    """A model of the recordings, in a folder."""
    folder = recordings.parent / "model"
    return Transcriber(**SETTINGS).fit(recordings, output=folder), folder


def test_tones_are_learned_and_the_folder_remembers_how(fitted, tmp_path):
    transcriber, folder = fitted
    assert transcriber.evaluation.characters.rate < 0.15
    assert json.loads((folder / "model.json").read_text())["settings"]["model"] == "transducer"
    loaded = Transcriber.load(folder)
    assert isinstance(loaded.fitted.network.head, Transduction)
    new = write_recordings(tmp_path / "new", 12, seed=7)
    for decoding in (Decoding(), Decoding("beam", 4)):
        assert loaded.predict(new, decoding=decoding).equals(transcriber.predict(new, decoding=decoding))
        assert loaded.evaluate(new, decoding=decoding).characters.rate < 0.2


@pytest.mark.parametrize("decoding", [Decoding(), Decoding("beam", 4)])
def test_a_stream_writes_what_the_whole_does(fitted, tmp_path, decoding):
    transcriber, _ = fitted
    new = write_recordings(tmp_path / "new", 4, seed=8)
    listener, texts = transcriber.listen(decoding=decoding), transcriber.predict(new, decoding=decoding)
    features = transcriber.fitted.inputs.features
    for path, text in texts.itertuples(index=False):
        partial = [listener.feed(piece) for piece in features.read(Path(path)).split(500)]
        assert listener.finish() == text
        assert all(text.startswith(one.text[: one.stable]) for one in partial)


def test_characters_are_aligned_in_order(fitted, recordings):
    transcriber, _ = fitted
    for one in transcriber.align(recordings):
        assert "".join(span.text for span in one.characters) == one.text.replace(" ", "")
        assert all(span.start < span.end and 0 <= span.probability <= 1 for span in one.characters)
        ends = [span.end for span in one.characters]
        assert all(end <= after.start + 1e-9 for end, after in zip(ends, one.characters[1:], strict=False))


def probabilities(head, read, labels):
    """(T, S + 1, K), each step with each beginning of the labels."""
    return head.net(read[:, None], labels[None])[:, 0].softmax(-1)


@torch.no_grad()
@pytest.mark.parametrize("text", [[], [2], [1, 1, 3], [3, 1, 2, 2]])
def test_marks_are_those_of_the_best_way(text):
    head, read, labels = Transduction(5, 4, 0.1).eval(), torch.randn(3, 5), torch.tensor(text, dtype=torch.int64)
    for weights in head.parameters():
        torch.nn.init.normal_(weights)
    given, T, S = probabilities(head, read, labels), 3, len(text)
    written = torch.stack([given[:, u, label] for u, label in enumerate(text)], 1) if text else given[:, :0, 0]
    ways = {}
    for steps in itertools.combinations_with_replacement(range(T), S):
        blanks = [given[t, sum(step <= t for step in steps), 0] for t in range(T)]
        ways[steps] = torch.stack([*blanks, *(written[t, u] for u, t in enumerate(steps))]).prod()
    best = max(ways, key=lambda steps: ways[steps])
    marks = head.align(read, labels)
    shares = [best.count(t) for t in best]
    places = [t + best[:u].count(t) / share for u, (t, share) in enumerate(zip(best, shares, strict=True))]
    assert marks.starts == pytest.approx(places)
    assert marks.ends == pytest.approx([place + 1 / share for place, share in zip(places, shares, strict=True)])
    assert marks.probabilities == pytest.approx([float(written[t, u]) for u, t in enumerate(best)], rel=1e-4)
    before = [sum(step < t for step in best) for t in range(T)]
    torch.testing.assert_close(marks.blank, torch.stack([given[t, u, 0] for t, u in enumerate(before)]))
    torch.testing.assert_close(marks.character, torch.stack([given[t, u, 1:].max() for t, u in enumerate(before)]))


@pytest.mark.parametrize(
    "decoding, message",
    [
        (Decoding("prefix-search"), "prefix-search is for models of CTC; a transducer takes --decoder best-path"),
        (Decoding("beam", language_model="own"), "a transducer predicts characters by itself"),
        (Decoding("beam", bonus=1.0), "a transducer predicts characters by itself"),
        (Decoding("beam", 0), "beam is 0, expected at least 1"),
    ],
)
def test_what_is_for_ctc_alone_is_refused(fitted, recordings, decoding, message):
    for call in (lambda: fitted[0].predict(recordings, decoding=decoding), lambda: fitted[0].listen(decoding=decoding)):
        with pytest.raises(JobError, match=message):
            call()


def test_settings_that_make_no_sense():
    with pytest.raises(JobError, match="model is 'hmm', expected one of 'ctc', 'transducer'"):
        Transcriber(model="hmm")
    with pytest.raises(JobError, match="language_model is for models of CTC"):
        Transcriber(model="transducer", language_model="transcripts")


def test_a_search_takes_one_item_alone():
    head, read = Transduction(5, 4, 0.1).eval(), torch.randn(6, 5)
    for search in (TransducerGreedy(head.net), TransducerBeam(head.net, beam=3, nbest=2)):
        assert search(read) == search(read[:, None])[0]


def test_from_the_command_line(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_recordings(tmp_path / "calls", 20)
    (tmp_path / "calls" / "003.txt").write_text("abc ab cab bab abc ab cab abc ab cab")  # more characters than steps
    fast = ["--epochs", "1", "--hidden-size", "4", "--layers", "1", "--threads", "1"]
    code, out, err = run("transcribe", "fit", "calls", "--model", "transducer", *fast)
    assert code == 0 and "every 3; transducer" in " ".join(out.split()), err
    code, out, err = run("transcribe", "evaluate", "calls-transcribe", "calls", "--decoder", "beam", "--beam", 2)
    assert code == 0 and "items have an error" in out, err
    more = ["--textgrids", "grids", "--plots", "plots", "--output", "spans.csv"]
    assert run("transcribe", "align", "calls-transcribe", "calls/003.wav", *more)[0] == 0
    grid = (tmp_path / "grids" / "003.TextGrid").read_text().splitlines()
    places = {
        name: [float(row.split("=")[1]) for row in grid if row.strip().startswith(name)] for name in ("xmin", "xmax")
    }
    assert all(begin < end for begin, end in zip(places["xmin"], places["xmax"], strict=True))
    code, _, err = run("transcribe", "predict", "calls-transcribe", "calls", "--decoder", "prefix-search")
    assert code == 2 and err.strip().count("\n") == 0 and "for models of CTC" in err
