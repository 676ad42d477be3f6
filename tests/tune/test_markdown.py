"""The comment on a pull request: what it says, that nothing in a recipe can break out of it, and that it fits."""

from __future__ import annotations

import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as some
from markdown_it import MarkdownIt

from planner import planfile
from planner.effects import Effect
from planner.overrides import Overrides
from planner.plan import Plan, Selection
from planner.reason import FieldChanged, InputChanged, Reason
from state.diagnostic import Diagnostic, Place, Severity
from tests.fake_kinds import KINDS
from tune.views.markdown import LIMIT, code, fenced, markdown, marker, problems

GOLDEN = Path(__file__).parent.parent / "planner" / "golden" / "small.plan.json"
SMALL = planfile.loads(GOLDEN.read_text(encoding="utf-8"), "p")
RECIPE = '[raw.data]\nsource = "data.txt"\n[thing.base]\nbase = ["raw.data"]\n[thing.top]\nbase = ["thing.base"]\n'
HOSTILE = "</code></details> | a `b` ```\n# @somebody <script>alert(1)</script> ![x](http://e) \\| $x$ \u202e"


def changed(value: str) -> FieldChanged:
    return FieldChanged("colour", "red", value, Effect.REBUILD, "it looks different")


def with_reasons(*reasons: Reason, steps: int = 1) -> Plan:
    step = evolve(SMALL.steps[1], reasons=reasons)
    made = tuple(evolve(step, address=f"train.number-{number}") for number in range(steps))
    return evolve(SMALL, steps=made, diagnostics=())


def rendered(text: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(text))


class Cells(HTMLParser):
    """The text of every cell of every table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, _attributes: Any) -> None:
        if tag == "td":
            self.inside = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "td"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.found[-1] += data


def test_a_plan_is_one_comment_with_the_verdict_first() -> None:
    digest = planfile.to_plain(SMALL)["plan_digest"]
    assert markdown(SMALL, KINDS, "recipes/recipe.toml") == (
        "<!-- tune-plan: recipes/recipe.toml -->\n"
        "### tune plan: <code>recipes/recipe.toml</code>\n"
        "\n"
        "**Plan: 2 to rebuild, 1 reused.**\n"
        "\n"
        "| | step | action | because |\n"
        "|---|---|---|---|\n"
        "| <code>-/+</code> | <code>train.sft</code> | rebuild "
        "| <code>learning&#95;rate: 0.0002 -&#62; 0.0001</code> |\n"
        "| <code>-/+</code> | <code>merge.final</code> | rebuild, unless its inputs come out the same "
        "| <code>adapter: train.sft may change, because learning&#95;rate: 0.0002 -&#62; 0.0001</code> |\n"
        "\n"
        "<details><summary>1 assumption</summary>\n"
        "\n"
        "```text\n"
        "recipe.toml:3:1: Assumption [TUNE206]\n"
        "  data/b.jsonl is not here.\n"
        "```\n"
        "\n"
        "</details>\n"
        "\n"
        "<details><summary><code>-/+ train.sft</code> rebuild</summary>\n"
        "\n"
        "```text\n"
        "learning_rate: 0.0002 -> 0.0001  # forces rebuild: every step depends on it\n"
        "```\n"
        "\n"
        "</details>\n"
        "\n"
        "<details><summary><code>-/+ merge.final</code> rebuild, unless its inputs come out the same</summary>\n"
        "\n"
        "```text\n"
        "adapter: train.sft may change\n"
        "  learning_rate: 0.0002 -> 0.0001  # forces rebuild: every step depends on it\n"
        "```\n"
        "\n"
        "</details>\n"
        "\n"
        f"State serial 7, plan digest <code>{digest}</code>. To do exactly this, or less:\n"
        "\n"
        "```text\n"
        f"tune apply recipes/recipe.toml --expect-digest {digest}\n"
        "```\n"
    )


def test_no_changes_need_no_table_and_no_command(workshop: Any) -> None:
    workshop.write(RECIPE, **{"data.txt": "one"})
    workshop.apply()
    plan = workshop.plan()
    digest = planfile.to_plain(plan)["plan_digest"]
    assert markdown(plan, KINDS, "recipe.toml") == (
        "<!-- tune-plan: recipe.toml -->\n"
        "### tune plan: <code>recipe.toml</code>\n"
        "\n"
        "**No changes. Your models match the recipe.**\n"
        "\n"
        f"State serial {plan.state.serial}, plan digest <code>{digest}</code>.\n"
    )


def test_a_row_that_says_all_needs_no_fold(workshop: Any) -> None:
    workshop.write("[thing.a]\n")
    text = markdown(workshop.plan(), KINDS, "my recipe.toml", "p.plan.json")
    assert "| <code>+</code> | <code>thing.a</code> | build | <code>not in state yet</code> |\n" in text
    assert "<details>" not in text
    assert "No state yet, plan digest" in text
    assert "\ntune apply p.plan.json --expect-digest " in text
    assert "\ntune apply 'my recipe.toml' --expect-digest " in markdown(workshop.plan(), KINDS, "my recipe.toml")


def test_warnings_stand_apart_from_assumptions() -> None:
    warning = Diagnostic("Odd", "It is odd.", "Make it even.", Place("recipe.toml", 2, 1), Severity.WARNING)
    text = markdown(evolve(SMALL, diagnostics=(*SMALL.diagnostics, warning, warning)), KINDS, "recipe.toml")
    assert (
        "<summary>2 warnings</summary>\n\n```text\nrecipe.toml:2:1: Odd\n  It is odd.\n  hint: Make it even.\n" in text
    )
    assert "<summary>1 assumption</summary>" in text


def test_the_command_gives_again_what_was_given_beside_the_recipe() -> None:
    overrides = Overrides({"size": "two words"}, ("train.sft.seed=1",))
    plan = evolve(SMALL, overrides=overrides, selection=Selection(("a.b", "c.d"), (), ("e.f",)), left_out=("g.h",))
    digest = planfile.to_plain(plan)["plan_digest"]
    text = markdown(plan, KINDS, "recipe.toml")
    assert (
        "\ntune apply recipe.toml --var 'size=two words' --set train.sft.seed=1 "
        f"--target a.b --target c.d --replace e.f --expect-digest {digest}\n"
    ) in text
    assert "<summary>1 step left out, as asked for</summary>\n\n```text\ng.h\n```\n" in text
    assert f"\ntune apply p.plan.json --expect-digest {digest}\n" in markdown(plan, KINDS, "recipe.toml", "p.plan.json")


def test_what_a_recipe_holds_cannot_break_out() -> None:
    inner = changed(HOSTILE)
    plan = with_reasons(inner, InputChanged(HOSTILE, HOSTILE, certain=True, because=(inner,)))
    plan = evolve(plan, diagnostics=(Diagnostic(HOSTILE, HOSTILE, HOSTILE, Place(HOSTILE, 1, 1)),))
    html = rendered(markdown(plan, KINDS, f"--> {HOSTILE}"))
    tags = re.findall(r"</?[a-z0-9]+", html)
    assert html.count("<script") == html.count("<img") == html.count("<a ") == html.count("<h1") == 0
    assert {one.strip("</") for one in tags} == {
        "h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "code", "details", "summary", "pre",
    }  # fmt: skip
    assert tags.count("<details") == tags.count("</details") == 2
    assert html.count("<!--") == html.count("-->") == 1
    assert "\u202e" not in html
    assert Cells(html).found[1:3] == ["train.number-0", "rebuild"]


@given(some.text(max_size=60))
def test_any_text_is_one_cell_that_reads_as_it_was(text: str) -> None:
    shown = code(text)
    html = rendered(f"| a | b |\n|---|---|\n| {shown} | end |\n")
    seen = " ".join(
        "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in " ".join(text.split())).split()
    )
    assert [" ".join(one.split()) for one in Cells(html).found] == [seen, "end"]
    assert re.sub(r"</?code>", "", shown).count("<") == 0


@given(some.text(alphabet=some.sampled_from("`~\n ab<"), max_size=60))
def test_any_text_is_one_block(text: str) -> None:
    html = rendered(f"{fenced(text)}\n\nend\n")
    assert html.endswith("</code></pre>\n<p>end</p>\n")
    block = html.removeprefix('<pre><code class="language-text">').partition("</code>")[0]
    assert unescape(block) == f"{text}\n"


@given(some.text(max_size=30))
def test_a_marker_is_one_comment_whatever_the_recipe_is_called(name: str) -> None:
    inner = marker(name).removeprefix("<!-- ").removesuffix(" -->")
    assert "--" not in inner
    assert "\n" not in inner
    assert inner.isascii()


def test_a_thousand_steps_fit_and_the_comment_says_what_it_left_out() -> None:
    text = markdown(with_reasons(changed("größer" * 10), changed("b"), steps=3000), KINDS, "recipe.toml")
    assert LIMIT - 2000 < len(text.encode()) < LIMIT
    shown = text.count("| <code>-/+</code> |")
    assert (
        f"To keep this comment small, the table leaves out {3000 - shown} steps; `tune plan` shows everything." in text
    )
    assert text.startswith("<!-- tune-plan: recipe.toml -->\n### tune plan: <code>recipe.toml</code>\n\n**Plan: 3000 ")
    assert "\ntune apply recipe.toml --expect-digest " in text
    assert text.count("```") % 2 == 0


def test_details_go_before_rows_do() -> None:
    text = markdown(with_reasons(changed("a"), changed("b"), steps=200), KINDS, "recipe.toml")
    assert len(text.encode()) < LIMIT
    assert text.count("| <code>-/+</code> |") == 200
    folds = text.count("<details>")
    assert 0 < folds == text.count("</details>") < 200
    assert f"the details leave out {200 - folds} steps;" in text


def test_what_is_assumed_is_told_before_rows_are_and_never_counted_as_a_step() -> None:
    crowded = evolve(with_reasons(changed("a"), changed("b"), steps=3000), diagnostics=SMALL.diagnostics)
    text = markdown(crowded, KINDS, "recipe.toml", measured={"eval.a": [("2026-01-01T00:00:00+00:00", {"f1": 0.5})]})
    assert len(text.encode()) < LIMIT
    assert re.findall(r"<summary>(.*)</summary>", text) == ["1 assumption"]
    rows = text.count("| <code>-/+</code> |")
    assert re.findall(r"the (?:table|details) leaves? out .*?;", text) == [
        f"the table leaves out {3000 - rows} steps;",
        "the details leave out 1 earlier result;",
        "the details leave out 3000 steps;",
    ]


def test_one_endless_list_leaves_room_for_the_rest() -> None:
    assumption = evolve(SMALL.diagnostics[0], detail="data is not here. " * 10)
    text = markdown(evolve(SMALL, diagnostics=(assumption,) * 1000), KINDS, "recipe.toml")
    assert len(text.encode()) < LIMIT
    assert "<summary>1000 assumptions</summary>" in text
    told = text.count(": Assumption [TUNE206]\n")
    assert f"\n{1000 - told} more lines left out.\n" in text
    assert text.count("<details>") == 3


def test_the_command_prints_the_comment(fresh: Any) -> None:
    first = fresh.tune("plan", "--markdown", "--out", "p.plan.json")
    assert first.stdout == fresh.tune("plan", "--markdown", "--out", "p.plan.json").stdout
    assert first.stdout.startswith("<!-- tune-plan: recipe.toml -->\n")
    assert "\ntune apply p.plan.json --expect-digest " in first.stdout
    assert first.stderr == ""
    given = ("--set", "train.base.seed=7")
    digest = json.loads(fresh.tune("plan", "--json", *given).stdout)["plan_digest"]
    printed = fresh.tune("plan", "--markdown", *given).stdout
    assert f"\ntune apply recipe.toml --set train.base.seed=7 --expect-digest {digest}\n" in printed


def test_a_recipe_that_cannot_be_planned_is_a_comment_too(fresh: Any) -> None:
    fresh.edit("learning_rate = 2e-3", "learning_rat = 2e-3")
    done = fresh.tune("plan", ".", "--markdown", expect=1)
    lines = (fresh.path / "recipe.toml").read_text().splitlines()
    header = 1 + lines.index("[train.base]                               # all weights, on the plain sentences")
    assert done.stdout == (
        "<!-- tune-plan: recipe.toml -->\n"
        "### tune plan: <code>recipe.toml</code>\n"
        "\n"
        "**2 problems found; nothing was planned.**\n"
        "\n"
        "```text\n"
        f"recipe.toml:{header}:1: Missing field [TUNE012]\n"
        "  train.base.learning_rate: this field is required.\n"
        "  hint: Write `learning_rate = ...`.\n"
        f"recipe.toml:{1 + lines.index('learning_rat = 2e-3')}:1: Unknown field [TUNE011]\n"
        "  train.base.learning_rat: there is no such field.\n"
        "  hint: Did you mean `learning_rate`?\n"
        "```\n"
    )
    assert done.stderr.endswith("2 problems found; nothing was done.\n")


def test_a_thousand_problems_fit() -> None:
    text = problems([Diagnostic("Broken row", "x" * 100)] * 1000, "recipe.toml")
    assert LIMIT - 2000 < len(text.encode()) < LIMIT
    assert f"the list leaves out {1000 - text.count('Broken row')} problems;" in text


def test_a_plan_is_printed_in_one_form(fresh: Any) -> None:
    assert fresh.tune("plan", "--markdown", "--json", expect=1).stderr == (
        "Error: Invalid usage [TUNE400]\n  --json, --markdown and --why each print the plan in another form.\n"
        "  hint: Choose one.\n"
    )
