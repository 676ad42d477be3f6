"""What is made from what, as a drawing: Mermaid for pages and pull requests, DOT for Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from attrs import field

from planner.diff import Action
from planner.kind import Kinds, Resources
from planner.plan import Plan
from state.values import frozen
from tune.views.plan import headline
from tune.views.words import COLOURS, verb_of

FILLS = {
    "green": "#d7f5dc",
    "yellow": "#fdf0c4",
    "cyan": "#d3f1f5",
    "blue": "#d9e4fb",
    "red": "#fbd9d9",
    "dim": "#eeeeee",
}
"""Light shades of the terminal's colours, for dark text."""


@frozen
class Node:
    """One resource; what a plan does with it, where a plan was asked for."""

    address: str
    text: str = ""
    action: Action | None = None
    conditional: bool = False


@frozen
class Graph:
    """Resources and inputs, each pair of resources once with the fields that connect them."""

    nodes: tuple[Node, ...]
    edges: Mapping[tuple[str, str], tuple[str, ...]] = field(factory=dict)


def of_recipe(resources: Resources) -> Graph:
    """The resources of a recipe, derived ones included."""
    edges = [
        (source.address, address, name)
        for address, resource in resources.items()
        for name, sources in resource.kind.inputs(resource, resources).items()
        for source in sources
    ]
    return Graph(tuple(Node(address) for address in resources), _joined(edges))


def of_plan(plan: Plan, kinds: Kinds) -> Graph:
    """The steps of a plan; what is forgotten stands alone."""
    nodes = []
    for step in plan.steps:
        head = headline(step, verb_of(step.address, kinds))
        nodes.append(Node(step.address, head, step.action, step.conditional))
    edges = [
        (given.source.address, step.address, name)
        for step in plan.steps
        for name, group in step.inputs.items()
        for given in group
    ]
    return Graph(tuple(nodes), _joined(edges))


def mermaid(graph: Graph) -> str:
    """As a Mermaid flowchart; a dashed border means that there may be nothing to do."""
    names = {node.address: f"n{number}" for number, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        label = "<br/>".join(_mermaid_text(one) for one in (node.address, node.text) if one)
        lines.append(f'  {names[node.address]}["{label}"]')
    for (source, target), fields in graph.edges.items():
        lines.append(f'  {names[source]} -->|"{_mermaid_text(", ".join(fields))}"| {names[target]}')
    for action in _actions(graph):
        members = ",".join(names[node.address] for node in graph.nodes if node.action is action)
        lines.append(f"  classDef {action} fill:{FILLS[COLOURS[action]]},color:#222,stroke:#888")
        lines.append(f"  class {members} {action}")
    lines += [f"  style {names[node.address]} stroke-dasharray: 4" for node in graph.nodes if node.conditional]
    return "\n".join(lines) + "\n"


def dot(graph: Graph) -> str:
    """As a directed graph for Graphviz; a dashed border means that there may be nothing to do."""
    lines = ["digraph recipe {", "  rankdir = LR;", '  node [shape = box, style = filled, fillcolor = "#ffffff"];']
    for node in graph.nodes:
        label = "\\n".join(_dot_text(one) for one in (node.address, node.text) if one)
        fill = f', fillcolor = "{FILLS[COLOURS[node.action]]}"' if node.action is not None else ""
        dashed = ', style = "filled,dashed"' if node.conditional else ""
        lines.append(f'  "{_dot_text(node.address)}" [label = "{label}"{fill}{dashed}];')
    for (source, target), fields in graph.edges.items():
        label = _dot_text(", ".join(fields))
        lines.append(f'  "{_dot_text(source)}" -> "{_dot_text(target)}" [label = "{label}"];')
    return "\n".join([*lines, "}"]) + "\n"


def _joined(edges: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for source, target, name in edges:
        earlier = found.get((source, target), ())
        found[source, target] = earlier if name in earlier else (*earlier, name)
    return found


def _actions(graph: Graph) -> Sequence[Action]:
    return [action for action in Action if any(node.action is action for node in graph.nodes)]


def _mermaid_text(text: str) -> str:
    """A text within quotes; Mermaid writes characters that mean something to it by their numbers."""
    return re.sub(r"[^\w .,:=/+-]", lambda found: f"#{ord(found[0])};", text)


def _dot_text(text: str) -> str:
    """A text within quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
