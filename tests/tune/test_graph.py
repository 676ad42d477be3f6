"""The drawing of a recipe and of a plan, whole, in both languages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from planner.recipe import Recipe
from tests.fake_kinds import KINDS
from tune.views.graph import Graph, Node, dot, mermaid, of_plan, of_recipe

RECIPE = (
    '[raw.data]\nsource = "data.txt"\n[thing.base]\nbase = ["raw.data"]\n'
    '[thing.top]\nbase = ["thing.base", "raw.data", "thing.base"]\n'
)
ANY_TEXT = some.text(some.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@pytest.fixture
def edited(workshop: Any) -> Any:
    """Applied, then the first thing edited and another one taken out."""
    workshop.write(RECIPE + "[thing.old]\n", **{"data.txt": "one"})
    workshop.apply()
    workshop.write(RECIPE.replace("[thing.top]", 'colour = "blue"\n[thing.top]'), **{"data.txt": "one"})
    return workshop


def test_a_recipe_is_drawn_with_its_inputs(workshop: Any) -> None:
    workshop.write(RECIPE, **{"data.txt": "one"})
    recipe: Recipe = workshop.desired()[0]
    assert mermaid(of_recipe(recipe.resources)) == (
        "flowchart LR\n"
        '  n0["raw.data"]\n'
        '  n1["thing.base"]\n'
        '  n2["thing.top"]\n'
        '  n0 -->|"base"| n1\n'
        '  n1 -->|"base"| n2\n'
        '  n0 -->|"base"| n2\n'
    )
    assert dot(of_recipe(recipe.resources)) == (
        "digraph recipe {\n"
        "  rankdir = LR;\n"
        '  node [shape = box, style = filled, fillcolor = "#ffffff"];\n'
        '  "raw.data" [label = "raw.data"];\n'
        '  "thing.base" [label = "thing.base"];\n'
        '  "thing.top" [label = "thing.top"];\n'
        '  "raw.data" -> "thing.base" [label = "base"];\n'
        '  "thing.base" -> "thing.top" [label = "base"];\n'
        '  "raw.data" -> "thing.top" [label = "base"];\n'
        "}\n"
    )


def test_a_plan_is_drawn_with_what_it_does(edited: Any) -> None:
    assert mermaid(of_plan(edited.plan(), KINDS)) == (
        "flowchart LR\n"
        '  n0["raw.data<br/>reuse"]\n'
        '  n1["thing.base<br/>rebuild"]\n'
        '  n2["thing.top<br/>rebuild, unless its inputs come out the same"]\n'
        '  n3["thing.old<br/>forget"]\n'
        '  n0 -->|"base"| n1\n'
        '  n1 -->|"base"| n2\n'
        '  n0 -->|"base"| n2\n'
        "  classDef reuse fill:#eeeeee,color:#222,stroke:#888\n"
        "  class n0 reuse\n"
        "  classDef forget fill:#fbd9d9,color:#222,stroke:#888\n"
        "  class n3 forget\n"
        "  classDef rebuild fill:#fdf0c4,color:#222,stroke:#888\n"
        "  class n1,n2 rebuild\n"
        "  style n2 stroke-dasharray: 4\n"
    )
    assert dot(of_plan(edited.plan(), KINDS)) == (
        "digraph recipe {\n"
        "  rankdir = LR;\n"
        '  node [shape = box, style = filled, fillcolor = "#ffffff"];\n'
        '  "raw.data" [label = "raw.data\\nreuse", fillcolor = "#eeeeee"];\n'
        '  "thing.base" [label = "thing.base\\nrebuild", fillcolor = "#fdf0c4"];\n'
        '  "thing.top" [label = "thing.top\\nrebuild, unless its inputs come out the same", fillcolor = "#fdf0c4", '
        'style = "filled,dashed"];\n'
        '  "thing.old" [label = "thing.old\\nforget", fillcolor = "#fbd9d9"];\n'
        '  "raw.data" -> "thing.base" [label = "base"];\n'
        '  "thing.base" -> "thing.top" [label = "base"];\n'
        '  "raw.data" -> "thing.top" [label = "base"];\n'
        "}\n"
    )


@given(ANY_TEXT)
def test_no_name_ends_its_label(name: str) -> None:
    graph = Graph((Node(name, name),), {(name, name): (name, "x")})
    for line in mermaid(graph).splitlines()[1:]:
        assert line.count('"') == 2
    for label in re.findall(r'label = "((?:[^"\\]|\\.)*)"', dot(graph))[1:]:
        assert label.replace('\\"', '"').replace("\\\\", "\\") == f"{name}, x"


def test_a_matrix_member_reads_as_it_is_called() -> None:
    graph = Graph((Node("train.a[learning_rate=0.0001]"),))
    assert mermaid(graph) == 'flowchart LR\n  n0["train.a#91;learning_rate=0.0001#93;"]\n'


def test_the_command_draws_in_both_languages(fresh: Any) -> None:
    drawn = fresh.tune("graph")
    assert drawn.stdout.startswith('flowchart LR\n  n0["model.tiny"]\n')
    assert drawn.stderr == ""
    assert "<br/>" not in drawn.stdout
    assert "<br/>build" in fresh.tune("graph", "--plan").stdout
    assert fresh.tune("graph", "--format", "dot", "--plan").stdout.startswith("digraph recipe {\n")
    assert "Invalid value for '--format'" in fresh.tune("graph", "--format", "svg", expect=1).stderr
