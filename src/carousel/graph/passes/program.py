"""The program that the native core runs: plain data, in the format of docs/engine.md."""

from __future__ import annotations

from dataclasses import dataclass, field

Value = int  # a number in the table of operands
Instruction = list  # [operation, destination, a, b, c], unused operands -1


@dataclass
class Program:
    """Tables of what comes from outside (`externals`) and of operands (`values`), and the three parts of a block."""

    externals: list[list] = field(default_factory=list)
    values: list[list] = field(default_factory=list)
    states: list[list[int]] = field(default_factory=list)
    before: list[list] = field(default_factory=list)
    loop: list[list] = field(default_factory=list)
    after: list[list] = field(default_factory=list)
    reduce: list[list] = field(default_factory=list)

    def external(self, shape: str, role: str, name: str) -> int:
        """The number of an outside tensor, entered in the table at its first use."""
        for i, known in enumerate(self.externals):
            if known[2] == name:
                return i
        self.externals.append([shape, role, name])
        return len(self.externals) - 1

    def value(self, kind: str, width: int, extra: object = 0, fresh: bool = False) -> Value:
        """The number of an operand; scratch space is always `fresh`."""
        entry = [kind, width, extra]
        if not fresh and entry in self.values:
            return self.values.index(entry)
        self.values.append(entry)
        return len(self.values) - 1

    def tensor(self, shape: str, role: str, name: str, width: int) -> Value:
        return self.value(shape, width, self.external(shape, role, name))

    def view(self, value: Value, offset: int, width: int) -> Value:
        return self.value("view", width, [value, offset])

    def matrix(self, source: int, head: int) -> int:
        return self.external("matrix", "in", f"matrix:{source}:{head}")

    def as_data(self) -> dict:
        """The program for JSON."""
        return dict(vars(self))
