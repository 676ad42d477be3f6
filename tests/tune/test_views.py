"""What people see, whole: plans, states and messages, at the width of a narrow and of a wide terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest
from attrs import evolve
from rich.console import Console

from planner.kind import Kinds
from planner.plan import Plan
from planner.reason import ContentChanged, InputChanged
from state.lookup import Found
from tests.fake_kinds import KINDS, THING
from tune.views.notes import notes as told
from tune.views.plan import print_plan, print_why
from tune.views.reasons import sentence
from tune.views.state import print_list, print_record
from tune.views.words import change


def shown(plan: Plan, kinds: Kinds, width: int, **options: bool) -> str:
    stream = io.StringIO()
    print_plan(Console(file=stream, width=width, color_system=None, highlight=False), plan, kinds, **options)
    return stream.getvalue()


@pytest.fixture
def kinds() -> Kinds:
    from executor import kinds as folder

    return folder.load()


RECIPE = """\
[raw.data]
source = "data.txt"
[thing.base]
base = ["raw.data"]
[thing.middle]
base = ["thing.base"]
[thing.top]
base = ["thing.middle"]
"""


@pytest.fixture
def finished(workshop: Any) -> Any:
    workshop.write(RECIPE, **{"data.txt": "one"})
    workshop.apply()
    return workshop


def edit(workshop: Any, old: str, new: str) -> None:
    path = workshop.folder / "recipe.toml"
    path.write_text(path.read_text().replace(old, new))


def without_times(plan: Plan) -> Plan:

    return evolve(plan, steps=tuple(evolve(step, estimate={}) for step in plan.steps))


def test_a_chain_is_told_from_the_edit_to_the_last_step(finished: Any, kinds: Kinds) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    assert shown(without_times(finished.plan()), kinds, 100) == (
        "To make the models match recipe.toml, tune will:\n"
        "\n"
        "  -/+ rebuild (what it replaces is kept)\n"
        "\n"
        "  -/+ thing.base  rebuild\n"
        '        colour: "red" -> "blue"  # forces rebuild: it looks different (recipe.toml:4)\n'
        "  -/+ thing.middle  rebuild, unless its inputs come out the same\n"
        '        base: thing.base may change, because colour: "red" -> "blue"\n'
        "  -/+ thing.top  rebuild, unless its inputs come out the same\n"
        '        base: thing.middle may change through thing.base, because colour: "red" -> "blue"\n'
        "\n"
        "Plan: 3 to rebuild, 1 reused.\n"
    )


def test_a_narrow_terminal_breaks_between_words_under_the_same_column(finished: Any, kinds: Kinds) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    text = shown(without_times(finished.plan()), kinds, 60)
    assert max(len(line) for line in text.splitlines()) <= 60
    assert (
        "        base: thing.middle may change through thing.base,\n"
        '        because colour: "red" -> "blue"\n'
    ) in text  # fmt: skip


def test_only_symbols_that_occur_are_explained(workshop: Any, kinds: Kinds) -> None:
    workshop.write("[thing.a]\n[thing.b]\n")
    workshop.apply()
    workshop.write('[thing.a]\nnote = "x"\nsteps = 8\n[thing.c]\ncolour = "green"\n')
    assert shown(without_times(workshop.plan()), kinds, 100) == (
        "To make the models match recipe.toml, tune will:\n"
        "\n"
        "    . forget\n"
        "    ~ extend\n"
        "    + build\n"
        "\n"
        "    ~ thing.a  extend from step 4\n"
        "        steps: 4 -> 8  # changes the length: it takes longer (recipe.toml:3)\n"
        "        a run of 4 steps becomes one of 8\n"
        '        note: "" -> "x"  # recorded: it is a note (recipe.toml:2)\n'
        "    + thing.c  build\n"
        "        not in state yet\n"
        "    . thing.b  forget\n"
        "        no longer in the recipe; its files stay until they are collected\n"
        "\n"
        "Plan: 1 to build, 1 to extend, 1 to forget.\n"
    )


def test_nothing_to_do_is_one_sentence_and_reuse_is_shown_on_request(finished: Any, kinds: Kinds) -> None:
    assert shown(finished.plan(), kinds, 80) == "No changes. Your models match the recipe.\n"
    assert shown(finished.plan(), kinds, 80, everything=True) == (
        "    = raw.data  reuse\n    = thing.base  reuse\n    = thing.middle  reuse\n    = thing.top  reuse\n"
        "\nNo changes. Your models match the recipe.\n"
    )


def test_why_tells_the_whole_chain_in_the_words_of_each_kind_and_who_needs_it(finished: Any) -> None:
    edit(finished, "[thing.base]", '[thing.base]\ncolour = "blue"')
    plan, kinds = finished.plan(), {**KINDS, "thing": evolve(THING, verb="remake")}
    stream = io.StringIO()
    step = next(one for one in plan.steps if one.address == "thing.middle")
    print_why(Console(file=stream, width=100, color_system=None, highlight=False), plan, step, kinds)
    assert stream.getvalue() == (
        "-/+ thing.middle  remake, unless its inputs come out the same\n"
        "    because base: thing.base may change\n"
        '      because colour: "red" -> "blue"  # forces remake: it looks different (recipe.toml:4)\n'
        "    made from thing.base as base: digest known only when it is made\n"
        "    needed by thing.top\n"
    )


def test_states_are_listed_and_shown(finished: Any) -> None:
    stream = io.StringIO()
    out = Console(file=stream, width=80, color_system=None, highlight=False)
    print_list(out, finished.state().records)
    lines = stream.getvalue().splitlines()
    assert lines[0].split() == ["ADDRESS", "STATUS", "DIGEST", "MADE", "WHAT"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["raw.data", "ready"], ["thing.base", "ready"], ["thing.middle", "ready"], ["thing.top", "ready"],
    ]  # fmt: skip
    record = finished.state().records["thing.base"]
    print_record(out, Found("thing.base", record, 0), finished.state())
    text = stream.getvalue()
    assert f"  output        {record.output_digest}\n" in text
    assert "  made from     raw.data as base, digest " in text
    assert '  setting       colour = "red"\n' in text
    assert "  checkpoints   at step 1, 2, 3, 4\n" in text


@pytest.mark.parametrize(
    ("notes", "lines"),
    [
        ({}, []),
        ({"surprise": 1}, []),
        (
            {"detected": {"type": "completion", "field": "content"}},
            ['type = "completion", field = "content" (told from the first rows)'],
        ),
        (
            {"rows": {"added": 12, "removed": 3, "changed": 1, "kept": 1600}},
            ["rows: 12 added, 3 removed, 1 changed; 1,600 kept"],
        ),
        (
            {"rows": {"added": 0, "removed": 0, "changed": 0, "kept": 7}},
            ["rows: the same, taken otherwise; 7 kept"],
        ),
        (
            {"rows": {"added": 2, "removed": 0, "changed": 1, "kept": 7, "broken": 2}},
            ["rows: 2 added, 1 changed; 7 kept; 2 of the new ones broken, skipped"],
        ),
        ({"rows": {"before": 300_000}}, ["rows: 300,000 before, too many to compare for a plan"]),
    ],
)
def test_notes_are_lines_below_the_reasons(notes: dict[str, Any], lines: list[str], workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    (step,) = workshop.plan().steps
    assert list(told(evolve(step, notes=notes))) == lines


MODULES = [f"layers.{number}.self_attn.q_proj" for number in range(9)]
PROMPT = "You are the assistant of a shop that sells lamps. Be short, be kind, name no price, and never say "


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (0.1, None, "0.1 -> none"),
        ("a", True, '"a" -> true'),
        (
            f"{PROMPT}so.",
            f"{PROMPT}why.",
            '...rice, and never say so." -> ...rice, and never say why."',
        ),
        (
            MODULES,
            MODULES[:-1],
            '....7.self_attn.q_proj", "layers.8.self_attn.q_proj"] -> ....7.self_attn.q_proj"]',
        ),
        (
            "x" * 200,
            "y" * 200,
            f'"{"x" * 96}... -> "{"y" * 96}...',
        ),
    ],
)
def test_long_values_are_told_from_shortly_before_where_they_part(before: Any, after: Any, text: str) -> None:
    assert change(before, after) == text


@pytest.mark.parametrize(
    ("naming", "said"),
    [
        (("replaced", "raw.a"), "base: raw.a -> raw.b"),
        (("added",), "base: raw.b is added"),
        (("removed",), "base: raw.b is taken out"),
        (("reordered",), "base: raw.b has another place"),
    ],
)
def test_what_an_edit_did_to_the_name_of_an_input_is_told_also_far_from_it(naming: tuple[str, ...], said: str) -> None:
    edited = InputChanged("base", "raw.b", True, (), *naming)  # noqa: FBT003  as the naming follows it
    assert sentence(edited, "rebuild") == said
    above = InputChanged("base", "thing.top", certain=False, because=(edited,))
    assert sentence(above, "rebuild") == f"base: thing.top may change, because {said}"


@pytest.mark.parametrize(
    ("digests", "said"),
    [(("", "6f3c"), "a.jsonl is new"), (("6f3c", ""), "a.jsonl is gone"), (("6f3c", "77aa"), "a.jsonl changed")],
)
def test_what_became_of_a_file_is_told_far_from_it(digests: tuple[str, str], said: str) -> None:
    above = InputChanged("base", "raw.data", certain=True, because=(ContentChanged("a.jsonl", *digests),))
    assert sentence(above, "rebuild") == f"base: raw.data changes, because {said}"
