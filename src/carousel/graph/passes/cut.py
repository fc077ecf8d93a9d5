"""The minimum vertex cut: which values are cheapest to keep so that all the others can be computed from them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

N = TypeVar("N", bound=Hashable)
INFINITE = float("inf")


def minimum_cut(
    cost: Mapping[N, float],
    edges: Iterable[tuple[N, N]],
    sources: Iterable[N],
    sinks: Iterable[N],
    behind: Mapping[N, float] | None = None,
) -> set[N]:
    """The cheapest set of nodes that every path from a source to a sink goes through; ties fall towards the sinks.

    `cost` gives each node's price. A node may be source and sink at once: then it is in the cut. `behind` gives what
    a node costs that lies between the cut and the sinks, nothing if it is not named. By the theorem of Ford and
    Fulkerson (1956), found with breadth-first augmenting paths (Edmonds and Karp, 1972).

    >>> chain = {"a": 1, "b": 4, "c": 2}, [("a", "b"), ("b", "c")], ["a"], ["c"]
    >>> sorted(minimum_cut(*chain)), sorted(minimum_cut(*chain, {"c": 3}))
    (['a'], ['c'])
    """
    capacity: dict[tuple, float] = defaultdict(float)
    neighbours: dict[Hashable, set] = defaultdict(set)

    def connect(u: Hashable, v: Hashable, limit: float) -> None:
        capacity[u, v] += limit
        neighbours[u].add(v)
        neighbours[v].add(u)

    for node, price in cost.items():
        connect((node, "in"), (node, "out"), price)
    for a, b in edges:
        connect((a, "out"), (b, "in"), INFINITE)
    for node in sources:
        connect("source", (node, "in"), INFINITE)
    for node, price in (behind or {}).items():
        connect("source", (node, "in"), price)
    for node in sinks:
        connect((node, "out"), "sink", INFINITE)
    while path := _augmenting_path(capacity, neighbours):
        flow = min(capacity[edge] for edge in path)
        if flow == INFINITE:
            raise ValueError(
                "minimum_cut: a path from source to sink has no finite cost; give every node a finite price."
            )
        for u, v in path:
            capacity[u, v] -= flow
            capacity[v, u] += flow
    far = _reaching_sink(capacity, neighbours)
    return {node for node in cost if (node, "out") in far and (node, "in") not in far}


def _augmenting_path(capacity: dict, neighbours: dict) -> list[tuple]:
    parent: dict = {"source": None}
    queue = deque(["source"])
    while queue and "sink" not in parent:
        u = queue.popleft()
        for v in neighbours[u]:
            if v not in parent and capacity[u, v] > 1e-9:
                parent[v] = u
                queue.append(v)
    path = []
    v = "sink"
    while parent.get(v) is not None:
        path.append((parent[v], v))
        v = parent[v]
    return path


def _reaching_sink(capacity: dict, neighbours: dict) -> set:
    found = {"sink"}
    queue = deque(["sink"])
    while queue:
        v = queue.popleft()
        for u in neighbours[v]:
            if u not in found and capacity[u, v] > 1e-9:
                found.add(u)
                queue.append(u)
    return found
