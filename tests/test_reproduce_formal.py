"""The generators of the tasks on tokens against brute force, and that the experiments run and resume."""

from __future__ import annotations

import math

import pytest
import torch

from carousel.reproduce import get
from carousel.reproduce.papers import formal
from carousel.reproduce.papers import multi_query_recall as recalling
from carousel.reproduce.papers.tokens import TokenNet, body, optimizer, scaled, warm_cosine
from carousel.reproduce.work import Work


def words(task: str, count: int = 200, low: int = 3, high: int = 40) -> formal.Words:
    return formal.drawn(formal.TASKS[task][0], count, low, high, torch.Generator().manual_seed(0))


def test_parity_is_that_of_the_ones_within_each_word() -> None:
    drawn = words("parity")
    assert drawn.lengths.min() == 3 and drawn.lengths.max() == 40
    for tokens, length, answer in zip(drawn.tokens.T.tolist(), drawn.lengths, drawn.answers, strict=True):
        assert tokens[:length].count(1) % 2 == answer and not any(tokens[length:])
    assert 0.4 < drawn.answers.double().mean() < 0.6


def test_expressions_have_the_value_that_python_gives_them() -> None:
    drawn = words("modular_arithmetic")
    seen = set()
    for tokens, length, answer in zip(drawn.tokens.T, drawn.lengths, drawn.answers, strict=True):
        text = formal.spell(tokens[:length])
        assert text.endswith("=") and len(text) % 2 == 0 and (tokens[length:] == 0).all()
        assert eval(text[:-1]) % 5 == answer, text  # digits and operators that we drew
        seen |= set(text)
    assert seen == set("01234+-*=") and drawn.lengths.max() == 40
    assert torch.bincount(drawn.answers, minlength=5).min() > 10


def test_lengths_are_as_likely_as_is_said() -> None:
    even = words("parity", 20_000).lengths.double()
    assert float(even.mean()) == pytest.approx(21.5, abs=0.3)
    short = formal.drawn(formal.bits, 20_000, 3, 40, torch.Generator().manual_seed(0), 3.0).lengths.double()
    assert float(short.mean()) == pytest.approx(3 + 38 / 4, abs=0.6) and short.max() == 40


def test_every_key_is_asked_for_once_and_answered_by_its_value() -> None:
    steps, pairs, vocabulary = 64, 4, 64
    drawn = recalling.recall(torch.Generator().manual_seed(0), 500, steps=steps, pairs=pairs, vocabulary=vocabulary)
    for tokens, answers in zip(drawn.tokens.T.tolist(), drawn.answers.T.tolist(), strict=True):
        known = dict(zip(tokens[0 : 2 * pairs : 2], tokens[1 : 2 * pairs : 2], strict=True))
        asked = {tokens[t]: answer for t, answer in enumerate(answers) if answer >= 0}
        assert asked == known and len(known) == pairs
        assert max(known) < vocabulary // 2 <= min(known.values())
        assert all(answer < 0 for answer in answers[: 2 * pairs])
    at = (drawn.answers >= 0).sum(1)[2 * pairs :: 2].double()
    assert at[0] > 3 * at[10] > 0  # the sooner the likelier


@pytest.mark.parametrize("net", ["lstm", "xlstm[0:1]", "xlstm[1:0]", "xlstm[1:1]"])
def test_answers_do_not_depend_on_what_follows_a_word(net: str) -> None:
    model = TokenNet(body(net, 8, 2), 2, 8, 2).eval()
    drawn = words("parity", 6, 3, 9)
    alone = [formal.scores(model, formal.Words(t[:n, None], n[None], a[None]))[0]
             for t, n, a in zip(drawn.tokens.T, drawn.lengths, drawn.answers, strict=True)]  # fmt: skip
    torch.testing.assert_close(formal.scores(model, drawn), torch.stack(alone), atol=1e-5, rtol=1e-4)


def test_scale_schedule_and_optimizer() -> None:
    assert scaled(1.0, 5) == 1 and scaled(0.2, 5) == pytest.approx(0)
    schedule = warm_cosine(1000)
    rates = [schedule(0, update) for update in range(1000)]
    assert max(rates) == rates[99] == 1 and rates == sorted(rates[:100]) + sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.01) and math.isclose(rates[0], 0.01)
    model = TokenNet(body("lstm", 8, 1), 2, 8, 2)
    decayed, others = optimizer(model, 0.1).param_groups
    assert all(p.dim() > 1 for p in decayed["params"]) and others["weight_decay"] == 0
    assert len(decayed["params"]) + len(others["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize("name", ["parity", "multi_query_recall", "learning_quadratics"])
def test_experiments_give_the_same_numbers_again(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recalling, "TESTED", 8)
    experiment = get(name)
    small = {"updates": 2, "batch_size": 4, "hidden_size": 4, "functions": 3, "size": 8, "tested": 4}
    for setting in experiment.settings:
        options = {n: small.get(n, value) for n, value in setting.options.items()}
        if setting.name == "gradient_descent":
            continue  # tested in test_learning_to_learn.py
        trials = [experiment.run(Work([3], tmp_path / f"{setting.name}{k}"), **options) for k in range(2)]
        assert trials[0] == trials[1]
        (trial,) = trials[0]
        assert {m.name for m in experiment.measures} & set(trial) and set(experiment.curves) <= set(trial)
