"""Pages of cells: gates found in equations, the picture of the data flow, typeset formulas, and HTML of all of it."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import HealthCheck, given, settings

import carousel as ca
import zoo
from carousel import cells
from carousel.graph import Cell
from carousel.graph.notation.drawing import flow_of
from carousel.graph.notation.drawing.flow import Flow
from carousel.graph.notation.drawing.layers import crossings, lay_out
from carousel.graph.notation.drawing.svg import Picture
from carousel.graph.notation.gates import gates, intervals
from carousel.graph.notation.latex import Formulas, symbol_of
from carousel.graph.notation.typeset import mathml, mathml_of_equations, parse, plain_text
from carousel.pages import facts_of, html_index, html_page, read_speeds, sizes_for, text_page
from carousel.pages.html import use
from carousel.pages.notation import equations_of
from equations import equations

REGISTERED = {entry.name: entry.cell for entry in cells.entries()}
OF_ROWS = {name: cell for name, cell in REGISTERED.items() if isinstance(cell, Cell)}
ALL = [*OF_ROWS.values(), *(cell for cell in zoo.ALL if cell not in OF_ROWS.values())]
every_cell = pytest.mark.parametrize("cell", ALL, ids=[f"{cell.name}{k}" for k, cell in enumerate(ALL)])

# -- gates

GATES = {
    "elman": [],
    "lstm": ["f", "i", "o"],
    "gru": ["r", "z"],
    "lstm_cifg": ["i", "f", "o"],
    "phased_lstm": ["i", "f", "o", "k"],  # k is opened by a clock: no sigmoid, but used with its complement
    "slstm": ["o", "i", "f"],  # two of them exponentials
    "lstm_1997": ["i", "o"],  # expanded from blocks
    "min_lstm": ["f", "i"],  # their shares of their sum
    "minimal_gated_unit": ["f"],
    "janet": ["σ(s_t)", "σ(s_t − 1)"],
    "indrnn": [],
}


@pytest.mark.parametrize("name", GATES)
def test_gates_are_found_in_the_equations(name):
    assert list(gates(REGISTERED[name])) == GATES[name]


def test_what_is_no_gate():
    @ca.cell
    def none(x, h, p):
        decay = ca.sigmoid(p.d)  # the same at every step
        squashed = ca.sigmoid(p.W @ x + p.U @ h)  # multiplies nothing but parameters
        chosen = ca.where(h > 0, p.V @ x, h)
        return decay * chosen + p.R @ squashed + ca.tanh(p.A @ x) * ca.tanh(p.B @ h)

    assert gates(none) == {}


def test_gates_of_a_cell_within_a_cell():
    assert list(gates(zoo.zoneout_gru)) == ["gru.r", "gru.z"]
    assert len(gates(REGISTERED["recurrent_highway"])["t"]) == 3


@pytest.mark.parametrize("name", ["lstm", "slstm", "phased_lstm", "gru_d", "fast_grnn", "nas_cell"])
def test_values_stay_within_their_intervals(name):
    cell = REGISTERED[name]
    sizes = sizes_for(cell, {"input_size": 3, "hidden_size": 8})
    torch.manual_seed(0)
    layer = ca.Recurrent(cell, **sizes, engine="eager")
    sides = {side: 5 * torch.rand(6, 2, cell.side_width(side, **sizes)) for side in cell.sides}
    bounds = intervals(cell.step.nodes)
    names = [n for n in cell.step.names if not isinstance(cell.step.nodes[cell.step.names[n]].width, tuple)]
    _, _, seen = layer(4 * torch.randn(6, 2, sizes["input_size"]), record=names, **sides)
    for quantity, values in seen.items():
        low, high = bounds[cell.step.names[quantity]]
        assert low <= values.min() and values.max() <= high, quantity


# -- the picture


@every_cell
def test_a_picture_shows_everything(cell):
    check_picture(cell)


def check_picture(cell):
    flow = flow_of(cell)
    kinds = [box.kind for box in flow.boxes]
    assert kinds.count("new") == len(cell.states) + (cell.step.output not in cell.step.outputs)
    for k, box in enumerate(flow.boxes):
        assert all(source < k for source, _ in box.sources)
        assert box.sources or box.kind in ("input", "state") or "_t" not in box.formula
    read = {source for box in flow.boxes for source, _ in box.sources}
    assert all(k in read for k, box in enumerate(flow.boxes) if box.kind != "new")
    written = " ".join(box.formula for box in flow.boxes) + " ".join(right for _, right in Formulas(cell).equations())
    assert all(symbol_of(name) in written for name in cell.step.parameters)
    shown, there = sum(box.gate for box in flow.boxes), sum(map(len, gates(cell).values()))
    assert (shown > 0) == (there > 0) and shown <= there  # what is computed twice in one way is shown once


@every_cell
def test_a_picture_is_svg_without_overlaps(cell):
    text = ca.draw(cell)
    assert text == ca.draw(cell)
    root = ElementTree.fromstring(text)
    width, height = float(root.get("width")), float(root.get("height"))
    picture = Picture(cell.name, flow_of(cell))
    places = picture.layout.places
    for column in picture.layout.columns:
        for above, below in zip(column, column[1:], strict=False):
            distance = (places[above].height + places[below].height) / 2
            assert places[below].y - places[above].y >= distance - 1e-6
    for k, label in enumerate(picture.labels):
        x, y = picture._middle(k)
        assert label.width / 2 <= x <= width - label.width / 2
        assert label.height / 2 <= y <= height - label.height / 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(equations())
def test_random_equations_have_pages(drawn):
    check_picture(drawn.cell)
    check_formulas(drawn.cell)
    assert not check_page(html_page(drawn.cell))


def test_the_lstm_looks_as_in_a_textbook():
    shown = [(box.kind, plain_text(box.name), plain_text(box.formula)) for box in flow_of(cells.lstm).boxes]
    assert shown[:3] == [("input", "", "x_t"), ("state", "", "h_{t-1}"), ("state", "", "c_{t-1}")]
    assert ("weights", "f_t", "σ(W_f x_t + U_f h_{t-1} + b_f)") in shown
    assert [(kind, formula) for kind, _, formula in shown[7:]] == [
        ("circle", "⊙"),
        ("circle", "⊙"),
        ("circle", "+"),
        ("pill", "tanh"),
        ("circle", "⊙"),
        ("new", "h_t"),
        ("new", "c_t"),
    ]
    flow = flow_of(cells.lstm)
    assert crossings(lay_out(flow, [30.0] * len(flow.boxes))) <= 7  # x and h before four gates cross six times


def test_roles_stand_at_arrows():
    @ca.cell
    def roles(x, h, p):
        a = p.W @ x
        return ca.where(a > h, a - h, h / ca.exp(a))

    found = [(plain_text(box.formula), sorted(role for _, role in box.sources)) for box in flow_of(roles).boxes]
    assert ("+", ["", "−"]) in found
    assert ("÷", ["", "÷"]) in found
    assert ("where", ["else", "if", "if", "then"]) in found


def test_draw_says_what_it_cannot_draw():
    with pytest.raises(TypeError, match="a TensorCell was given, expected a cell of rows"):
        ca.draw(cells.mlstm)


def test_a_flow_of_one_box_is_laid_out():
    flow = flow_of(cells.elman)
    assert len(lay_out(Flow(flow.boxes[:1]), [20.0]).columns) == 1


# -- formulas


@every_cell
def test_formulas_are_typeset(cell):
    check_formulas(cell)


def check_formulas(cell):
    found = Formulas(cell).equations()
    ElementTree.fromstring(mathml_of_equations(found))
    for left, right in found:
        text = plain_text(f"{left} = {right}")
        assert "\\" not in text and "  " not in text
        for bracket in ("()", "[]", "{}"):
            assert text.count(bracket[0]) == text.count(bracket[1]), text


def test_mathml_of_an_equation():
    found = mathml(r"\sigma(W_{hn} x_t) \odot h_{t-1}")
    assert "<msub><mi>x</mi><mi>t</mi></msub>" in found
    assert '<mi mathvariant="normal">σ</mi><mo stretchy="false">(</mo>' in found
    assert '<msub><mi>W</mi><mi style="font-style: italic">hn</mi></msub><mspace width="0.17em"/>' in found
    assert "<mrow><mi>t</mi><mo>−</mo><mn>1</mn></mrow>" in found


@pytest.mark.parametrize(
    "latex, text",
    [
        (r"\tau^{\prime} = \exp(\tau)", "τ′ = exp(τ)"),
        (r"\frac{1}{\log(e + d_t)} s_t", "(1 / log(e + d_t)) s_t"),
        (r"\left\lfloor\frac{a + b}{2}\right\rfloor", "⌊(a + b) / 2⌋"),
        (r"\sqrt{1 - {a_t}^2}", "√(1 − a_t^2)"),
        (r"[x_t; h_{t-1}]_{0:2H}", "[x_t; h_{t-1}]_{0:2H}"),
        (r"\begin{cases} a & \text{if } a > 0 \\ -b & \text{otherwise} \end{cases}", "{ a if a > 0; −b otherwise }"),
        (r"\sigma(x) \sigma (x)", "σ(x) σ (x)"),
        (r"c_{\mathrm{new},t}", "c_{new,t}"),
    ],
)
def test_formulas_as_plain_text(latex, text):
    assert plain_text(latex) == text


def test_latex_that_is_not_known_is_an_error():
    with pytest.raises(ValueError, match="not known in a formula"):
        parse(r"\int x")


def test_signs_and_ones_in_formulas():
    @ca.cell
    def signs(x, h, p, *, one=1.0):
        a = p.W @ x
        b = h + (-2.0) * a
        c = h - (-2.0) * a
        d = h * ((-2.0) * a)
        return -((-2.0) * (one * b)) + c / 1.0 - -d

    assert [right for _, right in Formulas(signs).equations()] == [
        "W x_t",
        "h_{t-1} - 2 a_t",
        "h_{t-1} + 2 a_t",
        r"h_{t-1} \odot (-2 a_t)",
        "2 b_t + c_t + d_t",
    ]


# -- pages


class Balance(HTMLParser):
    """Notes what is wrong with a page: tags that are not closed, and whatever is not in the file itself."""

    VOID = ("meta", "br", "rect", "circle", "path", "polygon", "mspace")

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("script", "link", "img", "iframe") or "src" in dict(attributes):
            self.wrong.append(tag)
        if tag == "a":
            self.links.append(dict(attributes)["href"])

    def handle_endtag(self, tag):
        if tag not in self.VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(f"/{tag}")


def check_page(page):
    found = Balance()
    found.feed(page)
    assert not found.wrong and not found.open
    assert "@import" not in page and "url(" not in page
    return found.links


@pytest.mark.parametrize("name", REGISTERED)
def test_a_page_stands_alone(name):
    links = check_page(html_page(REGISTERED[name], before="elman", after="gru", index=True))
    assert links[:3] == ["elman.html", "index.html", "gru.html"]
    assert all(link.startswith("https://") for link in links[3:])
    assert facts_of(REGISTERED[name]).parameters is not None


@pytest.mark.parametrize("name", REGISTERED)
def test_the_line_of_use_works(name):
    found = facts_of(REGISTERED[name])
    names = {"carousel": ca}
    exec(use(found), names)
    if found.layer == "Recurrent":
        assert sum(p.numel() for p in names["layer"].parameters()) == found.parameters


def test_the_index_compares_all():
    page = html_index()
    assert [link for link in check_page(page) if link.endswith(".html")] == [f"{name}.html" for name in REGISTERED]
    assert "not<br>measured" in page


def test_measured_speeds_stand_on_the_pages():
    row = {"cell": "gru", "shape": [100, 16, 64, 128], "ms": 1.5, "lstm_ms": 2.0, "torch_ms": 3.0}
    about = {"cpu": "Some CPU", "date": "2026-01-31", "torch": "2.9", "threads": [2]}
    speeds = read_speeds({"about": about, "rows": [{**row, "mode": mode} for mode in ("forward", "training")]})
    page = html_page(cells.gru, speeds, index=True)
    assert ">0.50<" in page and ">0.75<" in page and "Some CPU, 2 threads, 2026-01-31" in page
    assert "Not measured yet" in html_page(cells.lstm, speeds, index=True)
    assert "0.50 / 0.50" in html_index(speeds)
    assert "Speed" not in html_page(cells.lstm)


def test_a_cell_on_tensors_has_a_page_of_its_docstring():
    page = html_page(cells.mlstm)
    check_page(page)
    assert "<msup><msub><mi>k</mi><mi>t</mi></msub>" in page or "<msubsup><mi>k</mi>" in page
    assert "<svg" not in page
    assert facts_of(cells.mlstm).gates is None
    assert "C (heads, hidden_size / heads, hidden_size / heads)" in text_page(cells.mlstm)


@pytest.mark.parametrize(
    "line, text",
    [
        ("h_t = o_t * (C_t q_t / max(|n_t^T q_t|, 1))", "h_t = o_t ⊙ (C_t q_t/max(|n^⊤_t q_t|, 1))"),
        ("s_t = c_{t-1} / (|c_{t-1}|_1 + 1e-5)", "s_t = c_{t-1}/(|c_{t-1}|_1 + 10^{-5})"),
        ("k_t = tanh(W_hn x_t) / sqrt(d)", "k_t = tanh(W_{hn} x_t)/√(d)"),
        ("I_t = softmax(W_i a_t)", "I_t = softmax(W_i a_t)"),
        ("h_t = c_t  where t is even", None),
        ("h_t, c_t", None),
    ],
)
def test_equations_of_docstrings_are_typeset(line, text):
    found = equations_of(line)
    assert (found and plain_text(" = ".join(found[0]))) == text
    if found:
        ElementTree.fromstring(mathml_of_equations(found))


def test_a_cell_of_ones_own_has_a_page():
    @ca.cell(fixed={"b": 0.0})
    def mine(x, h, p):
        """A cell <of> mine."""
        z = ca.sigmoid(p.W @ x + p.b)
        return z * h + (1 - z) * (p.V @ x)

    page = html_page(mine, sizes={"input_size": 3, "hidden_size": 5})
    check_page(page)
    assert "A cell &lt;of&gt; mine." in page and "fixed at 0" in page and "30 learned" in page
    text = text_page(mine)
    assert "    z_t = σ(W x_t + b)" in text and "gates        z" in text
    assert "<svg" in mine._repr_html_() and "<math" in mine._repr_html_()


def test_a_users_file_can_hold_a_page(tmp_path):
    source = tmp_path / "own.py"
    source.write_text(
        '"""A cell of one\'s own.\n\nWe, "Us", 2026, arXiv:2601.00001.\n\n    h_t = x_t + h_{t-1}\n\nKnown for: '
        'nothing yet.\n"""\nimport carousel as ca\n\n\n@ca.cell\ndef own(x, h, p):\n    return p.W @ x + h\n'
    )
    found = facts_of(cells.load(f"{source}:own"))
    assert (found.title, found.year, found.page.known_for) == ("A cell of one's own.", None, "nothing yet.")
    assert '<a href="https://arxiv.org/abs/2601.00001">' in html_page(cells.load(f"{source}:own"))


def test_sizes_that_do_not_fit_are_said():
    found = facts_of(cells.slstm, hidden_size=6)
    assert found.parameters is None and "not divisible" in found.misfit
    assert "not divisible" in text_page(cells.slstm, hidden_size=6)
    assert "not divisible" in html_page(cells.slstm, sizes={"hidden_size": 6})


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("name", ["lstm", "lstm_fgr", "mlstm", "clockwork_rnn"])
def test_a_page_fits_its_terminal(name, width):
    for line in text_page(REGISTERED[name], width).splitlines():
        assert len(line) <= width or not re.search(r"\S\s+\S", line[:width].strip()), line
