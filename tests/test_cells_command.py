"""`carousel cells`, `carousel cells show`, and what an editor and a shell know of the registered cells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api as mypy

import carousel
from carousel import cells

ROOT = Path(__file__).parents[1]
USERS = ROOT / "tests" / "user_cell.py"
NAMES = cells.names()


@pytest.mark.parametrize("columns", [50, 80, 140])
def test_cells_lists_all(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, err = run("cells")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= columns
    first = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert [word for word in first if word in NAMES] == list(NAMES)
    assert "98,816" in out
    words = " ".join(out.split())
    assert "f, i, o" in words and "The simple recurrent network." in words


def test_cells_counts_for_given_sizes(run):
    code, out, _ = run("cells", "--json", "--input-size", 3, "--hidden-size", 8, "--size", "proj_size=4")
    assert code == 0
    found = {entry["name"]: entry for entry in json.loads(out)}
    assert list(found) == list(NAMES)
    assert found["projected_lstm"]["parameters"] == 4 * 8 * (3 + 4 + 1) + 4 * 8
    assert found["projected_lstm"]["sizes"] == {"input_size": 3, "hidden_size": 8, "proj_size": 4}
    lstm = found["lstm"]
    assert (lstm["year"], lstm["states"]) == (2000, {"h": "hidden_size", "c": "hidden_size"})
    assert (lstm["gates"], lstm["products"], lstm["tested_against"]) == (["f", "i", "o"], 4, "torch.nn.LSTM")


def test_cells_that_the_sizes_do_not_fit(run):
    code, out, _ = run("cells", "--hidden-size", 7)
    assert code == 0 and "the sizes do not fit" in out and "slstm" in out.split("do not fit")[1]


@pytest.mark.parametrize("name", NAMES)
def test_show_prints_the_page(run, name):
    code, out, err = run("cells", "show", name)
    assert (code, err) == (0, "")
    entry = cells.entry(name)
    assert out.startswith(f"{name}, {entry.year}\n")
    words = " ".join(out.split())
    for part in ("sources", "known_for", "deviates", "oracle"):
        assert " ".join(getattr(entry.page, part).split()) in words
    assert "parameters " in out and f"carousel.{entry.layer}" in out


def test_show_a_cell_of_a_file(run, tmp_path):
    code, out, _ = run("cells", "show", f"{USERS}:leaky", "--input-size", 3, "--hidden-size", 5)
    assert code == 0 and out.startswith("leaky\n\n")
    assert "h_t = a′ ⊙ h_{t-1} + (1 − a′) ⊙ tanh(W x_t + U h_{t-1})" in out and "45 with" in out


def test_show_latex_and_html(run, tmp_path):
    code, out, _ = run("cells", "show", "gru", "--latex")
    assert code == 0 and out.strip() == cells.gru.latex()
    code, out, err = run("cells", "show", "gru", "--html", tmp_path / "gru.html", "--hidden-size", 32)
    assert (code, out) == (0, "") and "gru.html" in err
    page = (tmp_path / "gru.html").read_text()
    assert "<math" in page and "<svg" in page and "index.html" not in page and "hidden_size 32" in page


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("show", "ltsm"), "there is no cell 'ltsm'. Did you mean 'lstm'?"),
        (("show", "nowhere.py:cell"), "there is no file nowhere.py"),
        (("show", f"{USERS}:leeky"), "has no leeky"),
        (("show", "lstm", "--size", "proj_size=3"), "there is no size 'proj_size'"),
        (("show", "lstm", "--html", "no/such/folder/lstm.html"), "No such file or directory"),
        (("show", "mlstm", "--latex"), "it has no LaTeX"),
        (("--size", "prj_size=3"), "Did you mean proj_size?"),
        (("--size", "proj_size"), "expected NAME=NUMBER"),
    ],
)
def test_faults_are_one_clear_line(run, arguments, said):
    code, out, err = run("cells", *arguments)
    assert (code, out) == (2, "") and len(err.strip().splitlines()) == 1
    assert err.startswith("carousel: ") and said in err


# -- editors and shells


def test_every_cell_is_an_attribute_that_is_listed():
    assert set(NAMES) <= set(dir(carousel.cells))
    for name in NAMES:
        assert getattr(carousel.cells, name) is cells.entry(name).cell


def test_a_type_checker_knows_what_a_cell_is(tmp_path):
    assert (ROOT / "src" / "carousel" / "py.typed").exists()
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\nmypy_path = {ROOT / 'src'}\nfollow_imports = silent\n"
        "[mypy-torch.*,numpy.*,typer.*,rich.*,pandas.*,lightning.*]\nfollow_imports = skip\n"
    )
    source = tmp_path / "user.py"
    source.write_text(
        "import carousel\n"
        + "".join(f"reveal_type(carousel.cells.{name})\n" for name in ("lstm", "gru", "slstm", "mlstm"))
        + "carousel.cells.ltsm\ncarousel.draw(carousel.cells.lstm).upper()\n"
    )
    cache = ["--cache-dir", str(ROOT / ".mypy_cache" / "of_tests")]
    out, err, code = mypy.run(["--config-file", str(tmp_path / "mypy.ini"), *cache, str(source)])
    assert err == "" and code == 1
    revealed = [line.rpartition(" ")[2] for line in out.splitlines() if "Revealed type" in line]
    assert revealed == ['"carousel.graph.cell.Cell"'] * 3 + ['"carousel.graph.tensor_cell.TensorCell"']
    (fault,) = [line for line in out.splitlines() if " error: " in line]
    assert 'has no attribute "ltsm"' in fault


@pytest.mark.parametrize("words", ["carousel cells show lstm_n", "carousel forecast fit --cell lstm_n"])
def test_a_shell_completes_names(words):
    environment = {**os.environ, "_CAROUSEL_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    code = "import sys; sys.argv[0] = 'carousel'; from carousel.cli import main; main()"
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert found.stdout.split() == [name for name in NAMES if name.startswith("lstm_n")]
