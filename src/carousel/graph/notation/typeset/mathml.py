"""Formulas as MathML Core, which browsers show without a script or a network."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from carousel.graph.notation.typeset.parse import Cases, Formula, Fraction, Root, Row, Scripts, Word, parse

SPACE = '<mspace width="0.17em"/>'


def mathml(latex: str) -> str:
    """A formula as the text of a `<math>` element.

    >>> mathml("h_t")
    '<math><mrow><msub><mi>h</mi><mi>t</mi></msub></mrow></math>'
    """
    return f"<math>{element(parse(latex))}</math>"


def mathml_of_equations(equations: Iterable[tuple[str, str]]) -> str:
    """Equations (left, right) below each other, aligned at their signs of equality, as one `<math>` element.

    Each row is a table's row; its class is `equation`, and a page may set how its cells are aligned.
    """
    rows = []
    for left, right in equations:
        sides = (element(parse(left)), f"<mrow><mo>=</mo>{element(parse(right))}</mrow>")
        styles = ("text-align: right; padding-right: 0", "text-align: left; padding-left: 0.3em")
        cells = "".join(f'<mtd style="{style}">{side}</mtd>' for style, side in zip(styles, sides, strict=True))
        rows.append(f"<mtr>{cells}</mtr>")
    return f'<math display="block"><mtable displaystyle="true">\n{chr(10).join(rows)}\n</mtable></math>'


def element(formula: Formula) -> str:
    """A tree as MathML."""
    if isinstance(formula, Word):
        return _word(formula)
    if isinstance(formula, Row):
        return f"<mrow>{''.join(_spaced(formula.items))}</mrow>"
    if isinstance(formula, Scripts):
        return _scripts(formula)
    if isinstance(formula, Fraction):
        return f"<mfrac>{element(formula.top)}{element(formula.bottom)}</mfrac>"
    if isinstance(formula, Root):
        return f"<msqrt>{element(formula.inside)}</msqrt>"
    return _cases(formula)


def _word(word: Word) -> str:
    text = escape(word.text)
    if word.kind == "letter":
        return f"<mi>{text}</mi>"
    if word.kind == "number":
        return f"<mn>{text}</mn>"
    if word.kind == "word" and " " in word.text:
        return f"<mtext>{text.replace(' ', chr(0xA0))}</mtext>"
    if word.kind in ("word", "function"):
        return f'<mi mathvariant="normal">{text}</mi>'
    if word.text == "|":
        return '<mo stretchy="false" form="infix" lspace="0" rspace="0">|</mo>'
    if word.kind in ("open", "close") and not word.tall:
        return f'<mo stretchy="false">{text}</mo>'
    return f"<mo>{text}</mo>"


def _scripts(formula: Scripts) -> str:
    base = element(formula.base)
    below, above = (_script(part) if part else None for part in (formula.below, formula.above))
    if below and above:
        return f"<msubsup>{base}{below}{above}</msubsup>"
    return f"<msub>{base}{below}</msub>" if below else f"<msup>{base}{above}</msup>"


def _script(formula: Formula) -> str:
    """A script; letters that follow each other (W_hn, r_on) are one name."""
    items = formula.items if isinstance(formula, Row) else ()
    if len(items) > 1 and all(isinstance(item, Word) and item.kind == "letter" for item in items):
        name = "".join(item.text for item in items if isinstance(item, Word))
        return f'<mi style="font-style: italic">{escape(name)}</mi>'
    return element(formula)


def _cases(formula: Cases) -> str:
    left = '<mtd style="text-align: left">'
    rows = (f"<mtr>{left}{element(value)}</mtd>{left}{element(when)}</mtd></mtr>" for value, when in formula.rows)
    return f"<mrow><mo>{{</mo><mtable>{''.join(rows)}</mtable></mrow>"


def _spaced(items: tuple[Formula, ...]) -> Iterable[str]:
    """The elements, with a little space between factors that stand side by side."""
    for k, item in enumerate(items):
        if k and touching(items[k - 1], item):
            yield SPACE
        if isinstance(item, Word) and item.text == "−" and begins(items[k - 1] if k else None):
            yield '<mo form="prefix">−</mo>'
        else:
            yield element(item)


def touching(left: Formula, right: Formula) -> bool:
    """Whether two formulas beside each other are factors, between which there should be a space."""
    return not (_kind(left) in ("operator", "open", "function") or _kind(right) in ("operator", "close")) and not (
        _kind(right) == "open" and _kind(left) == "function"
    )


def begins(before: Formula | None) -> bool:
    """Whether what follows begins a formula, so that a minus there is a sign."""
    word = isinstance(before, Word) and before.kind == "word" and before.text.endswith(" ")
    return before is None or word or _kind(before) in ("open", "operator")


def _kind(formula: Formula) -> str:
    if isinstance(formula, Scripts):
        return _kind(formula.base)
    return formula.kind if isinstance(formula, Word) else "operand"
