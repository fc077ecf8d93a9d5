"""Language models: the ARPA format and back-off by hand, and beam search with them equal to enumeration."""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import carousel as ca
from carousel.labelling import LanguageModel
from labelling_paths import transcripts
from runs import ENGINES

LN10 = math.log(10)
ALPHABET = ["-", "a", "b", " "]
CHARACTERS = """
This goes before and is not read.

\\data\\
ngram 1=6
ngram 2=4
ngram 3=2

\\1-grams:
-99\t<s>\t-0.3
-0.9\t</s>
-0.6\ta\t-0.4
-0.7\tb\t-0.25
-0.8\t \t
-1.2\t<unk>

\\2-grams:
-0.3\t<s> a\t-0.1
-0.5\ta b\t-0.2
-0.4\tb a
-0.2\tb b\t-0.7

\\3-grams:
-0.15\t<s> a b
-0.05\ta b b

\\end\\
""".replace("-0.8\t \t", "-0.8\t<space>\t-0.1")
WORDS = """\\data\\
ngram 1=6
ngram 2=3
\\1-grams:
-99 <s> -0.5
-0.7 </s>
-1.1 a -0.3
-0.9 ab -0.2
-1.3 bb
-2.5 <unk> -0.1
\\2-grams:
-0.4 <s> ab
-0.6 ab a
-0.2 a </s>
\\end\\
"""


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with ca.use_engine(request.param):
        yield request.param


def read(path: Path, text: str) -> ca.NGram:
    path.write_text(text)
    return ca.NGram.read(path)


@pytest.fixture
def characters(tmp_path: Path) -> ca.NGram:
    return read(tmp_path / "characters.arpa", CHARACTERS)


@pytest.fixture
def words(tmp_path: Path) -> ca.NGram:
    return read(tmp_path / "words.arpa", WORDS)


def test_sentences_by_hand(characters: ca.NGram, words: ca.NGram) -> None:
    """Each factor by its longest n-gram, back-off weights of the contexts that had to be left."""
    assert characters.order == 3 and characters.vocabulary[:3] == ["<s>", "</s>", "a"]
    by_hand = {
        "ab": -0.3 - 0.15 + (-0.2 - 0.25 - 0.9),  # <s> a; <s> a b; then a b </s>, b </s> and </s>
        "abb": -0.3 - 0.15 - 0.05 + (-0.7 - 0.25 - 0.9),  # a b b is no context, b b is
        "": -0.3 - 0.9,
        "ac": -0.3 + (-0.1 - 0.4 - 1.2) - 0.9,  # an unknown word leaves no context behind
        "ba": (-0.3 - 0.7) + -0.4 + (-0.4 - 0.9),  # b a has no back-off weight
    }
    for text, value in by_hand.items():
        assert characters.log_prob(list(text)) == pytest.approx(value * LN10)
    assert words.log_prob(["ab", "a"]) == pytest.approx((-0.4 - 0.6 - 0.2) * LN10)
    assert words.log_prob(["c", "bb"]) == pytest.approx((-0.5 - 2.5 - 0.1 - 1.3 - 0.7) * LN10)


def test_all_sentences_together_are_certain(tmp_path: Path) -> None:
    """A model whose probabilities add up to one at each step: those of all sentences up to a length, and the rest."""
    half, quarter = math.log10(0.5), math.log10(0.25)
    text = f"\\data\\\nngram 1=4\n\n\\1-grams:\n-99 <s>\n{half} </s>\n{quarter} a\n{quarter} b\n\n\\end\\\n"
    model = read(tmp_path / "unigrams.arpa", text)
    every = [s for n in range(5) for s in itertools.product("ab", repeat=n)]
    assert sum(math.exp(model.log_prob(s)) for s in every) == pytest.approx(1 - 0.5**5)


def test_contexts_that_the_file_leaves_out(tmp_path: Path) -> None:
    """A pruned model may have a b a without a b: b after a is backed off to, and the context is known all the same."""
    body = "\\1-grams:\n-1 a -0.5\n-2 b -0.25\n\\2-grams:\n-3 b a -0.125\n\\3-grams:\n-4 a b a\n"
    model = read(tmp_path / "pruned.arpa", f"\\data\\\nngram 1=2\nngram 2=1\nngram 3=1\n{body}\\end\\\n")
    assert model.log_prob("ab") == pytest.approx((-1 - 0.5 - 2) * LN10)
    assert model.log_prob("aba") == pytest.approx((-1 - 0.5 - 2 - 4) * LN10)
    assert model.log_prob("abab") == pytest.approx((-1 - 0.5 - 2 - 4 + (-0.125 - 0.5 - 2)) * LN10)


def test_compressed_files(tmp_path: Path, characters: ca.NGram) -> None:
    path = tmp_path / "lm.arpa.gz"
    path.write_bytes(gzip.compress(CHARACTERS.encode()))
    assert ca.NGram.read(str(path)).log_prob("abba") == characters.log_prob("abba")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="lm.arpa.gz is not a whole file compressed by gzip"):
        ca.NGram.read(path)
    path.write_text(CHARACTERS)
    with pytest.raises(ValueError, match="is not a whole file compressed by gzip"):
        ca.NGram.read(path)
    with pytest.raises(FileNotFoundError):
        ca.NGram.read(tmp_path / "none.arpa")


DAMAGED = [
    ("", "", "line 0: the file ends before .end.: it is not whole"),
    ("\\end\\", "", "the file ends before .end."),
    ("\\data\\", "", "stands before .data., which an ARPA file begins with"),
    ("ngram 2=3", "ngram 3=3", "line 3: found 'ngram 3=3', expected ngram 2=COUNT"),
    ("ngram 2=3", "ngram 2=4", "there are 3 2-grams, 4 were announced"),
    ("ngram 2=3", "ngram 2=2", "line 14: there are more 2-grams than the 2"),
    ("ngram 1=6\nngram 2=3", "", "there is no count of n-grams"),
    ("\\2-grams:", "\\3-grams:", "found '.*3-grams:', expected .*2-grams:"),
    ("-0.6 ab a", "-0.6 ab", "line 13: a 2-gram has 2 fields, expected 3, or 4 with a back-off weight"),
    ("-0.6 ab a", "-0.6 ab c", "line 13: the word 'c' is not among the unigrams"),
    ("-1.3 bb", "-1.3 ab", "line 9: the word 'ab' is there a second time"),
    ("-1.3 bb", "1.3 bb", "line 9: log-probability is '1.3', expected a number that is not above 0"),
    ("-1.3 bb", "nan bb", "log-probability is 'nan'"),
    ("-1.3 bb", "x bb", "log-probability is 'x'"),
    ("-1.1 a -0.3", "-1.1 a inf", "line 7: back-off weight is 'inf', expected a number"),
    ("\\end\\", "\\3-grams:\n\\end\\", "found '.*3-grams:', expected .end. after 2 orders"),
]


@pytest.mark.parametrize("was, now, message", DAMAGED, ids=[message for *_, message in DAMAGED])
def test_damaged_files_are_told_with_the_line(tmp_path: Path, was: str, now: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "lm.arpa", WORDS.replace(was, now) if was else "")


def test_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="lm.arpa is not text in UTF-8"):
        ca.NGram.read(tmp_path / "lm.arpa")


def test_models_of_what_is_not_there(words: ca.NGram, characters: ca.NGram, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 labels of the alphabet are '_', expected one"):
        words.words(ALPHABET, space="_")
    characters.labels(["-", "a", "x"])  # which is <unk>
    known = read(tmp_path / "known.arpa", CHARACTERS.replace("<unk>", "z"))
    with pytest.raises(ValueError, match="neither <unk> nor the labels .'-', 'x'."):
        known.labels(["-", "a", "x"])


# -- in the search


class Counting:
    """A model of one's own, with states of any type: it likes neither repetitions nor length."""

    space = None

    def __init__(self) -> None:
        self.asked: list[tuple[Any, int]] = []

    def start(self) -> tuple[str, int]:
        return "begin", 0

    def score(self, state: Any, label: int) -> tuple[float, Any]:
        self.asked.append((state, label))
        last, count = state
        return -0.3 * count - (1.7 if last == label else 0.1), (label, count + 1)

    def end(self, state: Any) -> float:
        return -0.5 * state[1]


def label_net() -> ca.LabelModel:
    return ca.LabelModel(nn.Embedding(4, 3), ca.LSTM(3, 5), nn.Linear(5, 4)).eval()


def model_of(kind: str, folder: Path) -> Any:
    if kind == "characters":
        return read(folder / "c.arpa", CHARACTERS).labels(["-", "a", "b", "<space>"])
    if kind.startswith("words"):
        return read(folder / "w.arpa", WORDS).words(ALPHABET, unknown=-3.0 if kind == "words, unknown" else None)
    return Counting() if kind == "own" else label_net()


def fused(model: LanguageModel, labels: tuple[int, ...], weight: float, bonus: float) -> float:
    """What the model and the bonus add to a transcript's score."""
    state, total = model.start(), 0.0
    for label in labels:
        log_prob, state = model.score(state, label)
        total += log_prob
    text = "".join(ALPHABET[label] for label in labels)
    units = len(text) if model.space is None else len(text.split())
    return weight * (total + model.end(state)) + bonus * units


@pytest.mark.parametrize("kind", ["characters", "words", "words, unknown", "own", "net"])
@pytest.mark.parametrize("weight, bonus", [(0.8, 0.6), (1.5, -0.4), (0.0, 0.0)])
def test_wide_beam_with_a_model_equals_enumeration(kind: str, weight: float, bonus: float, tmp_path: Path) -> None:
    model = model_of(kind, tmp_path)
    scores = 2 * torch.randn(4, 4)
    every = {
        labels: float(value) + fused(model, labels, weight, bonus)
        for labels, value in transcripts(scores.log_softmax(-1), 0).items()
    }
    wanted = sorted(every, key=lambda labels: -every[labels])
    found = ca.BeamSearch(1000, nbest=1000, language_model=model, weight=weight, bonus=bonus)(scores)
    assert sorted(one.labels for one in found) == sorted(wanted)
    assert [one.score for one in found] == pytest.approx([every[labels] for labels in wanted], abs=1e-4)
    assert found[0].labels == wanted[0]


@pytest.mark.parametrize("kind", ["characters", "words", "own", "net"])
def test_narrow_beam_with_a_model_is_the_same_compiled_and_plain(kind: str, tmp_path: Path) -> None:
    model = model_of(kind, tmp_path)
    for seed in range(4):
        scores = 2 * torch.randn(25, 4, generator=torch.Generator().manual_seed(seed))
        search = ca.BeamSearch(5, nbest=5, language_model=model, weight=0.7, bonus=0.9)
        found = search(scores)
        with ca.use_engine("eager"):
            plain = search(scores)
        assert [(one.labels, one.times) for one in found] == [(one.labels, one.times) for one in plain]
        assert [one.score for one in found] == pytest.approx([one.score for one in plain], abs=1e-3)


def test_word_model_pays_for_words_where_they_end(words: ca.NGram) -> None:
    model = words.words(ALPHABET)
    state, paid = model.start(), []
    for label in [1, 2, 3, 3, 2, 1, 3, 1]:  # "ab", two spaces, "ba", which no known word begins like, "a"
        log_prob, state = model.score(state, label)
        paid.append(log_prob / LN10)
    assert paid == pytest.approx([0, 0, -0.4, 0, 0, -0.2 - 2.5, 0, 0], abs=1e-6)
    assert model.end(state) == pytest.approx((-0.1 - 1.1 - 0.2) * LN10)


def test_a_model_of_ones_own_is_asked_once_about_each(engine: str) -> None:
    model = Counting()
    ca.BeamSearch(4, language_model=model)(torch.randn(50, 4))
    if engine == "native":
        assert len(model.asked) < 50 * 4 * 3


def test_a_model_that_breaks_is_heard(engine: str) -> None:
    class Broken(Counting):
        def score(self, state: Any, label: int) -> tuple[float, Any]:
            raise KeyError("no such label")

    with pytest.raises(KeyError, match="no such label"):
        ca.BeamSearch(language_model=Broken())(torch.randn(5, 4))


# -- a net


def test_net_predicts_labels_and_ends() -> None:
    """Label by label it says what it says about a whole transcript; of all transcripts together it is certain."""
    model = label_net()
    scores = model(torch.tensor([[1], [3], [3]])).log_softmax(-1)[:, 0].tolist()
    state, each = model.start(), []
    for label in (1, 3, 3):
        log_prob, state = model.score(state, label)
        each.append(log_prob)
    assert [*each, model.end(state)] == pytest.approx([scores[n][k] for n, k in enumerate((1, 3, 3, 0))], abs=1e-6)

    def loss(transcripts: list[list[int]]) -> float:
        return model.loss(transcripts).item()

    assert loss([[1, 3, 3]]) == pytest.approx(-sum([*each, model.end(state)]) / 4, abs=1e-6)
    both = loss([[1, 3, 3], [2]])
    assert both == pytest.approx((4 * loss([[1, 3, 3]]) + 2 * loss([[2]])) / 6, abs=1e-6)


def test_net_is_checked() -> None:
    embedding, layer, readout = nn.Embedding(4, 3), ca.LSTM(3, 5), nn.Linear(5, 4)
    for wrong in ((nn.Embedding(5, 3), layer, readout), (embedding, layer, readout, 4)):
        with pytest.raises(ValueError, match="expected K, K, and one of 0 to K - 1"):
            ca.LabelModel(*wrong)
    with pytest.raises(ValueError, match="bidirectional or batch_first"):
        ca.LabelModel(embedding, ca.LSTM(3, 5, batch_first=True), readout)
    with pytest.raises(ValueError, match="no transcript"):
        ca.LabelModel(embedding, layer, readout).loss([])


def test_net_learns_and_helps() -> None:
    """Trained on "ab" over and over, it reads what the frames leave open as "ab"."""
    torch.manual_seed(0)
    model = ca.LabelModel(nn.Embedding(4, 4), ca.Recurrent(ca.cells.gru, 4, 16), nn.Linear(16, 4))
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss([[1, 2], [1, 2, 1, 2]]).backward()
        optimizer.step()
    scores: Tensor = torch.tensor([[0.0, 3, 3, 0], [4, 0, 0, 0], [0, 3, 3, 0]])
    (best,) = ca.BeamSearch(language_model=model.eval())(scores)
    assert best.labels == (1, 2)
