"""The program that the core runs for a net, and the places of everything in it that outlives a step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carousel.graph.cell import Cell
from carousel.train.online.code import NONE, NOTHING, Code, Instruction, Space
from carousel.train.online.derivation import Derivation, Outer, derive
from carousel.train.online.primitives import LEAVES
from carousel.train.online.rules import Rule
from carousel.train.online.sensitivities import Group, Sensitivities, columns, sensitivities


@dataclass
class Program:
    """`text`: for the core. `size`: elements of a block. `kept`: what outlives a step, name to (place, elements), which
    includes each parameter. `learned`: the names of the parameters that are, in the order of the gradient's."""

    text: str
    size: int
    kept: dict[str, tuple[int, int]]
    learned: list[str]
    inputs: int
    outputs: int


def make_program(cell: Cell, sizes: Mapping[str, int], rule: Rule, loss: str, form: str, at_once: bool) -> Program:
    """Derives the program of a net."""
    return _Assembling(cell, sizes, derive(cell, sizes, loss), form).program(rule, at_once)


class _Assembling:
    def __init__(self, cell: Cell, sizes: Mapping[str, int], net: Derivation, form: str):
        self.cell, self.net, self.g, self.space = cell, net, net.g, Space()
        self.shapes = cell.shapes(**sizes)
        self.learned = [name for name in self.shapes if cell.fixed_value(name) is None]
        fixed = [name for name in self.shapes if name not in self.learned]
        elements = {name: math.prod(shape) for name, shape in self.shapes.items()}
        self.weights = self.space.size, sum(elements[name] for name in self.learned)
        self.kept = {name: (self.space.take(elements[name]), elements[name]) for name in [*self.learned, *fixed]}
        self.gradient = self._keep("gradient", self.weights[1])
        self.states = [
            self._keep(f"state {name}", self.g[s].width) for name, s in zip(cell.states, net.states, strict=True)
        ]
        self.lines = sensitivities(net, form, cell)
        self._place_lines(self.lines)
        roots, places = self._roots(), dict(zip(net.states, self.states, strict=True))
        places |= {n: self.space.take(self.g[n].width) for n in (net.input, *net.seeds)}
        nodes = cell.step.nodes
        parameters = {i: self.kept[n.attr["name"]][0] for i, n in enumerate(nodes) if n.op == "parameter"}
        self.code = Code(self.g, self.space, places, parameters, net.input, roots[0] | roots[1])
        self.forward = self.code.section(roots[0])
        self.fresh = self._fresh()
        self.reverse = self.code.section(roots[1])

    def _keep(self, name: str, n: int) -> int:
        self.kept[name] = (self.space.take(n), n)
        return self.kept[name][0]

    def _place_lines(self, found: Sensitivities) -> None:
        widths = [sum(columns(self.net, leaf) for leaf in group.leaves) for group in found.groups]
        count = [width * len(group.pairs) for width, group in zip(widths, found.groups, strict=True)]
        start = self._keep("sensitivities", sum(count))
        made = max([0, *widths, *(n for n, group in zip(count, found.groups, strict=True) if not group.in_place)])
        self.made = self.space.take(made)
        self.line_places = [start + sum(count[:k]) for k in range(len(count))]

    def _roots(self) -> tuple[set[int], set[int]]:
        net, groups = self.net, self.lines.groups
        references = {n for group in groups for r in group.grows if r for n in (r[0],)}
        references |= {factor[0] for group in groups for terms in group.terms for factor, _ in terms}
        sources = {self.g[leaf].args[0] for group in groups for leaf in group.leaves if self.g[leaf].args}
        forward = {net.output, *net.news, *references, *sources}
        errors = {net.errors[k] for k in net.live if net.errors[k] is not None}
        reverse = {*errors, *(o.error for o in net.outers), *(o.source for o in net.outers if o.source is not None)}
        return forward, {n for n in reverse if n is not None}

    def _fresh(self) -> list[int]:
        """Where new states are before they take the place of the old ones: never in the place of another leaf."""
        found = []
        for new, old in zip(self.net.news, self.net.states, strict=True):
            width = self.g[old].width
            at = self.code.at(new, width, self.forward)
            if self.g[new].op in (*LEAVES, "stop"):
                copy = self.space.take(width)
                self.forward.append(["copy", width, copy, at])
                at = copy
            found.append(at)
        return found

    def program(self, rule: Rule, at_once: bool) -> Program:
        """The finished program with a rule."""
        net, g = self.net, self.g
        singles = {name: self._keep(name, 1) for name in ("rate", "first_rate", "pending")}
        shapes = {name: self.shapes[name] for name in self.learned}
        width = g[net.output].width
        kept = {name: self._keep(name, len(start)) for name, start in rule.rows(self.cell, shapes).items()}
        gradients: list[Instruction] = self._within_step()
        traces: list[Instruction] = []
        for group, at in zip(self.lines.groups, self.line_places, strict=True):
            traces.append(self._renewal(group, at))
            gradients.append(["collect", at, self._met(group), self._segments(group, True)])
        output = self.code.at(net.output, width, self.forward)
        data: dict[str, Any] = {
            "input": [self.code.places[net.input], g[net.input].width],
            "output": [output, width],
            "reads_input": self.code.reads_input,
            "seeds": [[self.code.places[n], g[n].width] for n in net.seeds],
            "states": [
                [at, g[s].width, fresh, self.cell.initial[name]]
                for at, s, fresh, name in zip(self.states, net.states, self.fresh, self.cell.states, strict=True)
            ],
            "sensitivities": [list(self.kept["sensitivities"])],
            "weights": list(self.weights),
            "gradient": self.gradient,
            **singles,
            "forward": self.forward,
            "reverse": self.reverse,
            "gradients": gradients,
            "traces": traces,
            "rule": rule.data(self.cell, shapes, kept),
            "at_once": at_once,
        }
        data["constants"] = [[at, n, value] for (value, n), at in self.code.constants.items()]
        data["size"] = self.space.size
        return Program(json.dumps(data), self.space.size, self.kept, self.learned, g[net.input].width, width)

    def _within_step(self) -> list[Instruction]:
        """The gradients of what an error reaches within the step, those of one error together."""
        found: dict[tuple[int, int], Instruction] = {}
        for o in self.net.outers:
            rows, segment = self._met_by(o)
            if (o.error, rows) not in found:
                found[o.error, rows] = ["outer", rows, self.code.at(o.error, rows, self.reverse), []]
            found[o.error, rows][-1].append(segment)
        return list(found.values())

    def _met_by(self, o: Outer) -> tuple[int, list[int]]:
        """How many rows of weights an error meets, and where their gradient is."""
        name = self.cell.step.nodes[o.leaf].attr["name"]
        at = self.gradient + self.kept[name][0] - self.weights[0]
        if o.source is None:
            return self.kept[name][1], [at, 1, 1, NONE, 1, 0]
        rows, width = self.shapes[name][-2:]
        u, is_input = self.code.operand(o.source, width, self.reverse)
        return rows, [at + o.block * rows * width, width, 1, u, width, is_input]

    def _segments(self, group: Group, gradient: bool) -> list[list[int]]:
        """Those of the input first."""
        leaves = sorted(group.leaves, key=lambda leaf: self.net.input not in self.g[leaf].args)
        return [self._segment(leaf, gradient) for leaf in leaves]

    def _segment(self, leaf: int, gradient: bool) -> list[int]:
        node, width = self.g[leaf], columns(self.net, leaf)
        source = node["matrix"] if node.op == "matmul" else node["source"]
        at = self.kept[self.cell.step.nodes[source].attr["name"]][0] - self.weights[0]
        at += self.gradient if gradient else self.weights[0]
        if node.op != "matmul":
            return [at, 1, 1, NONE, 1, 0]
        at += node["block"] * node.width * width
        u, is_input = self.code.operand(node.args[0], width, self.forward)
        return [at, width, 1, u, width, is_input]

    def _renewal(self, group: Group, at: int) -> Instruction:
        place = self._reference
        grows = [NONE if r is None else place(r) for r in group.grows]
        segments = self._segments(group, False)
        for segment in segments[1:] if group.in_place else segments:  # only the first can do with an index
            self.code.reads_input |= bool(segment[-1])
            segment[-1] = 0
        if group.in_place:
            factors = [self._factor(terms) for terms in group.terms]
            return ["trace", at, self.made, [[b, a, 0, []] for b, a in zip(grows, factors, strict=True)], segments]
        terms = [[[self._factor([term]), term[1]] for term in line] for line in group.terms]
        return ["exact", at, self.made, [[b, NOTHING, 0, t] for b, t in zip(grows, terms, strict=True)], segments]

    def _factor(self, terms: list) -> int:
        if not terms:
            return NOTHING
        ((factor, _),) = terms
        return NONE if self.g.is_number(factor[0], 1) else self._reference(factor)

    def _reference(self, reference: tuple[int, int]) -> int:
        return self.code.place(reference[0]) + reference[1]

    def _met(self, group: Group) -> list[list[Any]]:
        """For each line the error that meets it, and its row of weights."""
        found = []
        for i, row in group.pairs:
            k, element = self.lines.elements[i]
            error = self.net.errors[k]
            width = self.g[self.net.states[k]].width
            at = NONE if error is None else self.code.at(error, width, self.reverse) + element
            found.append([at, NOTHING, row, []])
        return found
