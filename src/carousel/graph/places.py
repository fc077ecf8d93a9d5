"""Places in the user's source: where an operation stands, and how an error points at it."""

from __future__ import annotations

import ast
import itertools
import linecache
import os
import sys
from dataclasses import dataclass
from types import CodeType, FrameType

PACKAGE = os.path.dirname(os.path.abspath(__file__))


@dataclass(frozen=True)
class Place:
    """A stretch of source: 1-based lines, columns counted in bytes of UTF-8 as Python's code objects count them."""

    file: str
    line: int
    last_line: int | None = None
    start: int | None = None
    stop: int | None = None

    @property
    def source(self) -> str:
        """The first line as it is written, or an empty string where the source is not at hand."""
        return linecache.getline(self.file, self.line).rstrip("\n")

    @property
    def segment(self) -> str | None:
        """The text of exactly this stretch, or None where the source or the columns are not at hand."""
        if self.start is None or self.stop is None or self.last_line is None:
            return None
        lines = [linecache.getline(self.file, n).encode() for n in range(self.line, self.last_line + 1)]
        lines[-1] = lines[-1][: self.stop]
        lines[0] = lines[0][self.start :]
        return b"".join(lines).decode(errors="replace")

    def marked(self) -> str:
        """`file:line`, the line of source, and a row of carets below the stretch."""
        head = f"  {self.file}:{self.line}"
        if not self.source:
            return head
        text = self.source.expandtabs(1)
        indent = len(text) - len(text.lstrip())
        return f"{head}\n    {text.strip()}\n    {self._carets(text, indent)}".rstrip()

    def _carets(self, text: str, indent: int) -> str:
        if self.start is None or self.stop is None:
            return "^" * len(text.strip())
        code = text.encode()
        stop = self.stop if self.last_line == self.line else len(code)
        first, last = (len(code[:n].decode(errors="replace")) for n in (self.start, stop))
        return " " * (first - indent) + "^" * max(1, last - first)


def place_of(frame: FrameType) -> Place:
    """The place of the instruction that `frame` is executing."""
    code = frame.f_code
    if frame.f_lasti >= 0:
        positions = itertools.islice(code.co_positions(), frame.f_lasti // 2, None)
        line, last_line, start, stop = next(positions, (None,) * 4)
        if line is not None:
            return Place(code.co_filename, line, last_line, start, stop)
    return Place(code.co_filename, frame.f_lineno)


def definition_of(code: CodeType) -> Place:
    """The `def` line of a function (below its decorators)."""
    for line in range(code.co_firstlineno, code.co_firstlineno + 50):
        if linecache.getline(code.co_filename, line).lstrip().startswith(("def ", "lambda ")):
            return Place(code.co_filename, line)
    return Place(code.co_filename, code.co_firstlineno)


def callers() -> list[FrameType]:
    """The frames outside this package that led here, innermost first."""
    found = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if os.path.dirname(frame.f_code.co_filename) != PACKAGE:
            found.append(frame)
        frame = frame.f_back
    return found


def bare_left(place: Place, operator: type[ast.operator]) -> ast.BinOp | None:
    """The left operand of the operation at `place` if it is `a operator b` written without parentheses.

    This is how `p.U @ r * h` is told from `(p.U @ r) * h`: both trace to the same operations.
    """
    segment = place.segment
    if segment is None:
        return None
    code = f"({segment})"
    try:
        tree = ast.parse(code, mode="eval").body
    except SyntaxError:
        return None
    if not (isinstance(tree, ast.BinOp) and isinstance(tree.left, ast.BinOp) and isinstance(tree.left.op, operator)):
        return None
    lines = code.encode().splitlines(keepends=True)
    assert tree.left.end_lineno is not None
    after = b"".join([lines[tree.left.end_lineno - 1][tree.left.end_col_offset :], *lines[tree.left.end_lineno :]])
    return None if after.lstrip().startswith(b")") else tree.left
