"""What is wrong with a recipe is said at once, in whole sentences, each at its place."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest
import tomli
from attrs import frozen
from hypothesis import example, given
from hypothesis import strategies as st

from planner.effects import Effect, reference, setting
from planner.kind import Kind, Resource, Resources
from planner.positions import positions
from planner.recipe import BrokenRecipeError, Recipe, parse
from state.diagnostic import Diagnostic, Place, ProblemError

ANY: Any = {"effect": Effect.REBUILD, "why": "it counts"}


@frozen
class Raw:
    source: str = setting(**ANY)
    kinds: tuple[str, ...] = setting((), **ANY)


@frozen
class Adapter:
    r: int = setting(8, **ANY)
    bias: bool = setting(default=False, **ANY)


@frozen
class Thing:
    base: str = reference("raw", "thing")
    more: tuple[str, ...] = reference("raw", default=())
    steps: int = setting(4, **ANY)
    rate: float = setting(1.0, **ANY)
    packing: bool = setting(default=False, **ANY)
    adapter: Adapter | None = setting(None, **ANY)


@frozen
class Plain:
    method: str = setting(**ANY)
    rate: float = setting(1.0, **ANY)


def inputs(_: Resource, __: Resources) -> dict[str, Any]:
    return {}


KINDS = {
    "raw": Kind("raw", {"": Raw}, 1, "re-read", inputs=inputs),
    "thing": Kind("thing", {"": Thing}, 1, "rebuild", inputs=inputs),
    "run": Kind("run", {"sft": Plain, "dpo": Plain}, 1, "rerun", inputs=inputs, variant="method"),
    "tokens": Kind("tokens", {}, 1, "re-tokenize", inputs=inputs),
}


def read(text: str) -> Recipe:
    return parse(textwrap.dedent(text), "recipe.toml", KINDS)


def problems(text: str) -> list[tuple[str, str, str, str]]:
    """Place, summary, detail and hint of all that is said."""
    with pytest.raises(ProblemError) as caught:
        read(text)
    return [(str(one.place), one.summary, one.detail, one.hint) for one in caught.value.diagnostics]


RAW = '[raw.a]\nsource = "a"\n'


def test_a_good_recipe_gives_its_resources_in_the_order_of_the_work() -> None:
    recipe = read('[thing.x]\nbase = "raw.a"\n' + RAW)
    assert {address: one.specification for address, one in recipe.resources.items()} == {
        "thing.x": Thing("raw.a"),
        "raw.a": Raw("a"),
    }
    assert recipe.resources["thing.x"].place("base") == Place("recipe.toml", 2, 1)
    assert recipe.resources["thing.x"].place("adapter.r") == Place("recipe.toml", 1, 1)


def test_an_empty_recipe_says_how_to_start() -> None:
    assert problems("# nothing yet\n") == [
        ("recipe.toml:1:1", "Empty recipe", "The recipe defines nothing.", "Start with a `[model.NAME]` table.")
    ]


def test_an_unknown_kind_is_told_the_nearest_one() -> None:
    assert problems(RAW + "[thign.x]\n") == [
        ("recipe.toml:3:1", "Unknown kind", "There is no kind `thign`.", "Did you mean `thing`?")
    ]


def test_an_unknown_kind_that_is_like_none_is_told_all_that_can_be_written() -> None:
    assert problems("[zebra.x]\n") == [
        ("recipe.toml:1:1", "Unknown kind", "There is no kind `zebra`.", "Known kinds: raw, run, thing.")
    ]


def test_a_derived_kind_cannot_be_written_by_hand() -> None:
    assert problems("[tokens.sft]\nrows = 1\n") == [
        (
            "recipe.toml:1:1",
            "Derived kind",
            "`tokens` is made from the datasets of a train or eval table and cannot be written.",
            "Remove the table.",
        )
    ]


@pytest.mark.parametrize(
    "text", ['[raw]\nsource = "a"\n', 'raw = "a"\n', "raw = 7\n", '[[raw]]\nsource = "a"\n', "[raw.a]\n[raw]\nb = 1\n"]
)
def test_a_table_without_a_name_is_told_how_to_write_it(text: str) -> None:
    line = text.count("\n", 0, text.index("raw]" if "[raw]" in text else "raw")) + 1
    assert problems(text) == [
        (
            f"recipe.toml:{line}:1",
            "Table without a name",
            "`raw` must hold named tables.",
            "Write it as a named table: `[raw.NAME]`.",
        )
    ]


@pytest.mark.parametrize("name", ["_a", "-a", "a b", "ü", "a/b", "a.b", "..", ""])
def test_a_name_that_could_not_be_a_folder_is_refused(name: str) -> None:
    assert problems(f'[raw."{name}"]\nsource = "a"\n') == [
        (
            "recipe.toml:1:1",
            "Invalid name",
            f"`{name}` cannot name a resource.",
            "Use letters, digits, `-` and `_`, starting with none of these two.",
        )
    ]


def test_an_unknown_key_is_told_the_nearest_one_at_its_own_place() -> None:
    assert problems('[raw.a]\nsource = "a"\n  sorce = "b"\nzebra = 1\n') == [
        (
            "recipe.toml:3:3",
            "Unknown field",
            "raw.a.sorce: there is no such field.",
            "Did you mean `source`?",
        ),
        (
            "recipe.toml:4:1",
            "Unknown field",
            "raw.a.zebra: there is no such field.",
            "Known fields: source, kinds.",
        ),
    ]


def test_wrong_types_are_never_made_to_fit() -> None:
    text = """\
        [raw.a]
        source = 3
        kinds = "all"
        [thing.x]
        base = "raw.a"
        steps = 3.7
        rate = "3"
        packing = "no"
        adapter = {r = true, bias = 1}
        [thing.y]
        base = ["raw.a"]
        more = "raw.a"
        rate = nan
        [thing.y.adapter]
        r = "8"
        """
    assert [(place, detail) for place, _, detail, _ in problems(text)] == [
        ("recipe.toml:2:1", "raw.a.source: expected a string, got 3."),
        ("recipe.toml:3:1", 'raw.a.kinds: expected a list, got "all".'),
        ("recipe.toml:6:1", "thing.x.steps: expected a whole number, got 3.7."),
        ("recipe.toml:7:1", 'thing.x.rate: expected a number, got "3".'),
        ("recipe.toml:8:1", 'thing.x.packing: expected true or false, got "no".'),
        ("recipe.toml:9:12", "thing.x.adapter.r: expected a whole number, got true."),
        ("recipe.toml:9:22", "thing.x.adapter.bias: expected true or false, got 1."),
        ("recipe.toml:11:1", 'thing.y.base: expected a string, got ["raw.a"].'),
        ("recipe.toml:12:1", 'thing.y.more: expected a list, got "raw.a".'),
        ("recipe.toml:13:1", "thing.y.rate: expected a number, got nan."),
        ("recipe.toml:15:1", 'thing.y.adapter.r: expected a whole number, got "8".'),
    ]


def test_a_missing_field_is_told_at_its_table() -> None:
    assert problems("\n[raw.a]\n") == [
        ("recipe.toml:2:1", "Missing field", "raw.a.source: this field is required.", "Write `source = ...`.")
    ]


@pytest.mark.parametrize(
    ("line", "place", "detail", "hint"),
    [
        ("", "recipe.toml:1:1", "run.a.method: this field is required.", "Known: dpo, sft."),
        ('method = "dop"', "recipe.toml:2:1", "run.a.method: there is no method 'dop'.", "Did you mean `dpo`?"),
        ('method = "zebra"', "recipe.toml:2:1", "run.a.method: there is no method 'zebra'.", "Known: dpo, sft."),
        ("method = 1", "recipe.toml:2:1", "run.a.method: there is no method 1.", "Known: dpo, sft."),
    ],
)
def test_the_field_that_picks_the_variant_must_be_known(line: str, place: str, detail: str, hint: str) -> None:
    summary = "Invalid value" if line else "Missing field"
    assert problems(f"[run.a]\n{line}\n") == [(place, summary, detail, hint)]


def test_a_reference_to_nothing_is_told_the_nearest_resource() -> None:
    text = RAW + '[thing.x]\nbase = "raw.aa"\nmore = ["raw.a", "zebra"]\n'
    assert problems(text) == [
        (
            "recipe.toml:4:1",
            "Unknown reference",
            "thing.x.base names raw.aa, which the recipe does not define.",
            "Did you mean `raw.a`?",
        ),
        (
            "recipe.toml:5:1",
            "Unknown reference",
            "thing.x.more names zebra, which the recipe does not define.",
            "Known: raw.a.",
        ),
    ]


def test_a_reference_where_nothing_could_be_named_is_told_what_to_define() -> None:
    assert problems('[thing.x]\nbase = "thing.x"\nmore = ["raw.a"]\n') == [
        (
            "recipe.toml:3:1",
            "Unknown reference",
            "thing.x.more names raw.a, which the recipe does not define.",
            "Define a `[raw.NAME]` table.",
        )
    ]


def test_a_reference_to_the_wrong_kind_is_told_the_right_ones() -> None:
    text = RAW + '[thing.x]\nbase = "run.r"\nmore = ["thing.x"]\n[run.r]\nmethod = "sft"\n'
    assert problems(text) == [
        (
            "recipe.toml:4:1",
            "Wrong reference",
            "thing.x.base must name a raw or thing, not run.r.",
            "Known: raw.a, thing.x.",
        ),
        ("recipe.toml:5:1", "Wrong reference", "thing.x.more must name a raw, not thing.x.", "Known: raw.a."),
    ]


def test_a_circle_is_told_once_from_its_first_member() -> None:
    text = '[thing.a]\nbase = "thing.b"\n[thing.b]\nbase = "thing.c"\n[thing.c]\nbase = "thing.b"\n'
    assert problems(text) == [
        (
            "recipe.toml:3:1",
            "Cycle",
            "These resources are made from each other: thing.b -> thing.c -> thing.b.",
            "Let one of them start from something else.",
        )
    ]


def test_a_resource_made_from_itself_is_a_circle() -> None:
    assert [one[2] for one in problems('[thing.a]\nbase = "thing.a"\n')] == [
        "These resources are made from each other: thing.a -> thing.a."
    ]


def test_several_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
        [thing.x]
        base = "raw.b"
        steps = "many"
        [zebra.z]
        [raw.a]
        [thing.y]
        base = "raw.nowhere"
        [raw.b]
        source = "b"
        colour = "red"
        """
    assert [(place, summary) for place, summary, _, _ in problems(text)] == [
        ("recipe.toml:3:1", "Invalid value"),
        ("recipe.toml:4:1", "Unknown kind"),
        ("recipe.toml:5:1", "Missing field"),
        ("recipe.toml:7:1", "Unknown reference"),
        ("recipe.toml:10:1", "Unknown field"),
    ]


def test_a_resource_with_problems_of_its_own_is_not_also_called_missing() -> None:
    assert [one[2] for one in problems('[raw.a]\n[thing.x]\nbase = "raw.a"\n')] == [
        "raw.a.source: this field is required."
    ]


@pytest.mark.parametrize(
    ("text", "place", "detail"),
    [
        ("[raw.a]\nsource = \n", "2:10", "Invalid value"),
        ("[raw.a\n", "1:7", "Expected ']' at the end of a table declaration"),
        ("[raw.a]\nsource = 3 4\n", "2:12", "Expected newline or end of document after a statement"),
        ('[raw.a]\nsource = "a', "2:12", "Unterminated string"),
        ("[raw.a]\nsource = [1\n", "3:1", "Unclosed array"),
        ("[raw.a]\n[raw.b]\n[raw.a]\n", "3:7", "The table `[raw.a]` stands here twice"),
        ("[raw.a]\nsource = 1\nsource = 2\n", "3:11", "This key has a value already"),
    ],
)
def test_what_is_no_toml_is_told_with_line_and_column(text: str, place: str, detail: str) -> None:
    ((at, summary, told, hint),) = problems(text)
    assert (at, summary, told) == (f"recipe.toml:{place}", "Invalid TOML", f"{detail}.")
    assert hint


@pytest.mark.parametrize("value", ["[" * 5000, "9" * 5000, "{ a = " * 3000, '"\\u0000"'])
def test_what_would_break_a_reader_is_refused(value: str) -> None:
    ((_, _, told, hint),) = problems(f"[raw.a]\nsource = {value}\n")
    assert told
    assert hint


@pytest.mark.parametrize("key", ["base_model", "model_name_or_path"])
def test_a_configuration_of_another_tool_is_told_as_that_and_not_key_by_key(key: str) -> None:
    ((place, summary, _, hint),) = problems(
        f'load_in_8bit = false\n{key} = "org/name"\nlora_r = 8\n[dataset]\npath = "x"\n'
    )
    assert (place, summary) == ("recipe.toml:2:1", "Recipe of another tool")
    assert hint.startswith("`tune init FOLDER` writes a recipe")


def test_what_a_kind_finds_wrong_with_fields_together_is_told_with_everything_else() -> None:
    objection = Diagnostic("Too bold", "It cannot be both.", place=Place("recipe.toml", 2, 1))
    kinds = KINDS | {"raw": Kind("raw", {"": Raw}, 1, "re-read", inputs=inputs, check=lambda *_: (objection,))}
    with pytest.raises(ProblemError) as caught:
        parse(RAW, "recipe.toml", kinds)
    assert caught.value.diagnostics == (objection,)
    with pytest.raises(BrokenRecipeError) as broken:
        parse(RAW + "[zebra.x]\n", "recipe.toml", kinds)
    assert [one.summary for one in broken.value.diagnostics] == ["Too bold", "Unknown kind"]
    assert dict(broken.value.sound) == {}


def test_what_a_faulty_table_names_is_looked_at_with_its_faults() -> None:
    text = """
        [raw.rows]
        sources = "a"
        [thing.one]
        base = "raw.row"
        more = ["thing.two", 3]
        steps = "4"
        [thing.two]
        base = "raw.rows"
        """
    assert [(place, detail, hint) for place, _, detail, hint in problems(text)] == [
        ("recipe.toml:2:1", "raw.rows.source: this field is required.", "Write `source = ...`."),
        ("recipe.toml:3:1", "raw.rows.sources: there is no such field.", "Did you mean `source`?"),
        (
            "recipe.toml:5:1",
            "thing.one.base names raw.row, which the recipe does not define.",
            "Did you mean `raw.rows`?",
        ),
        ("recipe.toml:6:1", "thing.one.more.1: expected a string, got 3.", ""),
        ("recipe.toml:6:1", "thing.one.more must name a raw, not thing.two.", "Known: raw.rows."),
        ("recipe.toml:7:1", 'thing.one.steps: expected a whole number, got "4".', ""),
    ]


def test_what_leads_to_nothing_wrong_is_checked_beside_what_is_wrong() -> None:
    def objecting(resource: Resource, _: Resources) -> tuple[Diagnostic, ...]:
        return (Diagnostic("Too bold", f"{resource.address} cannot be both."),)

    kinds = KINDS | {"thing": Kind("thing", {"": Thing}, 1, "rebuild", inputs=inputs, check=objecting)}
    text = (
        RAW
        + """
        [raw.broken]
        source = 3
        [thing.good]
        base = "raw.a"
        [thing.above]
        base = "thing.good"
        [thing.bad]
        base = "raw.broken"
        [thing.worse]
        base = "thing.bad"
        [thing.here]
        base = "thing.there"
        [thing.there]
        base = "thing.here"
        """
    )
    with pytest.raises(BrokenRecipeError) as broken:
        parse(textwrap.dedent(text), "recipe.toml", kinds)
    assert [one.detail for one in broken.value.diagnostics] == [
        "thing.good cannot be both.",
        "thing.above cannot be both.",
        "raw.broken.source: expected a string, got 3.",
    ]


def test_resources_that_are_right_and_refer_to_nothing_survive_a_broken_recipe() -> None:
    with pytest.raises(BrokenRecipeError) as broken:
        parse(RAW + "[zebra.x]\n", "recipe.toml", KINDS)
    assert list(broken.value.sound) == list(parse(RAW, "recipe.toml", KINDS).resources)


AWKWARD = '''\
# [not.a.table]
top = 1  # "not" = 2
"quoted key" = 2
'single' . dotted."in\\"side" = 3
text = """
[not.a.table]
not = "a key"
"""    # comment
literal = \'\'\'
not = a key\'\'\'
list = [
  "]", # ]
  { not = "a key" },
]
quotes = ["""a"""", "]"]
  [table]
  indented = "#"
inline = { a = 1, b = { c = [2] } }
[table."sub.table".x]
key = 'it''s not'
[[many]]
one = 1
[[many]]
one = 2
'''.replace("it''s not", "it is not")


def test_awkward_but_valid_toml_has_its_positions() -> None:
    tomli.loads(AWKWARD)
    assert positions(AWKWARD) == {
        "top": (2, 1),
        "quoted key": (3, 1),
        'single.dotted.in"side': (4, 1),
        "text": (5, 1),
        "literal": (9, 1),
        "list": (11, 1),
        "quotes": (15, 1),
        "table": (16, 3),
        "table.indented": (17, 3),
        "table.inline": (18, 1),
        "table.inline.a": (18, 12),
        "table.inline.b": (18, 19),
        "table.inline.b.c": (18, 25),
        "table.sub.table.x": (19, 1),
        "table.sub.table.x.key": (20, 1),
        "many.0": (21, 1),
        "many.0.one": (22, 1),
        "many.1": (23, 1),
        "many.1.one": (24, 1),
    }


def test_positions_survive_the_line_ends_of_windows() -> None:
    assert positions("[a]\r\nb = 1\r\n\r\nc = '''\r\nx'''\r\nd = 2\r\n") == {
        "a": (1, 1),
        "a.b": (2, 1),
        "a.c": (4, 1),
        "a.d": (6, 1),
    }


WORDS = st.text("abc-_1", min_size=1, max_size=4)
STRANGE = st.text(st.sampled_from("a.[]{}#='\"\\ üé\n\t"), max_size=5)
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(
            ["1", "-2.5e3", "true", "2026-01-01T00:00:00Z", "0x1F", "'lit # [ eral'", "'''\n[x]\nk = 1'''"]
        ),
        st.sampled_from(['"""a"""', '"""a""""', '"""\n\\"""\n[no]\n"""', '"""""\n"""', "''''a'''", "''", '""']),
        STRANGE.map(lambda text: '"' + text.translate({10: "\\n", 9: "\\t", 34: '\\"', 92: "\\\\"}) + '"'),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda several: f"[{', '.join(several)}]"),
        st.lists(inner, max_size=3).map(lambda several: '[ # ] comment "\n' + ",\n ".join(several) + "\n]"),
        inner.map(lambda one: f'{{ k = {one}, "]" = 1 }}'),
    ),
    max_leaves=4,
)
ENDS = st.sampled_from(["\n", "\n\n", "  # comment = [\n", " # it's\n\n# [not]\n", "\n   \n"])


def escaped(text: str) -> str:
    return '"' + text.translate({10: "\\n", 9: "\\t", 34: '\\"', 92: "\\\\"}) + '"'


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, int]]:
    """A TOML text and, for every key and header in it, the offset at which it was written."""
    text, expected = "", {}
    tables = draw(st.lists(WORDS, max_size=3, unique=True))
    for table in ("", *tables):
        if table:
            indent = draw(st.sampled_from(["", "  ", "\t"]))
            expected[table] = len(text) + len(indent)
            text += f"{indent}[{draw(st.sampled_from(['', ' ']))}{table} ]{draw(ENDS)}"
        for number in range(len(expected), len(expected) + draw(st.integers(0, 3))):
            name = f"{draw(st.one_of(WORDS, STRANGE))}~{number}"
            key = escaped(name)
            if draw(st.booleans()):
                name, key = f"d{number}.{name}", f"d{number} . {key}"
            indent = draw(st.sampled_from(["", "  "]))
            expected[f"{table}.{name}" if table else name] = len(text) + len(indent)
            text += f"{indent}{key} = {draw(VALUES)}{draw(ENDS)}"
    return text, expected


@given(documents())
@example(('a = ["""x"""", "]"]\nb = 1\n', {"a": 0, "b": 20}))
def test_every_position_is_that_of_the_text_of_the_key(document: tuple[str, dict[str, int]]) -> None:
    text, expected = document
    tomli.loads(text)
    lines = text.split("\n")
    starts = {}
    for path, (line, column) in positions(text).items():
        starts[path] = sum(len(one) + 1 for one in lines[: line - 1]) + column - 1
    inside = starts.keys() - expected.keys()
    assert {path: at for path, at in starts.items() if path not in inside} == expected
    assert all(text.startswith(("k =", '"]" ='), starts[path]) for path in inside)
