"""A recipe's canonical form: the same recipe, nothing lost, and nothing left to do the second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli
import tomlkit
from hypothesis import given
from hypothesis import strategies as some
from tomlkit.exceptions import ParseError

from planner.formatting import formatted

QUICKSTART = Path(__file__).parent.parent.parent / "examples" / "quickstart" / "recipe.toml"

UNTIDY = '''\
# The recipe of the support model.


# trained on what model.b is
[train.a]          # the first
model="model.b"
r   =   [ 1,   # one
  2 ]

# later: datasets = []
[ "train".a.adapter ]
  # indented
  text = """
a   \t
[not.a.header]
b=c"""    # why   \t
# below the text

# ---- the end ----

[state]
url = 's3://x=y'
[[moved]]
from = "model.c"
[moved.note]
x=1
[[moved]]
from = "model.d"
[train.d]
model = "train.a[r=1]"
[model.b]
source = "m"
[vars]
big = 1
'''
TIDY = '''\
# The recipe of the support model.

[vars]
big = 1

[model.b]
source = "m"

# trained on what model.b is
[train.a]          # the first
model = "model.b"
r = [ 1,   # one
  2 ]

# later: datasets = []
[ "train".a.adapter ]
  # indented
  text = """
a   \t
[not.a.header]
b=c"""    # why
# below the text

[train.d]
model = "train.a[r=1]"

[[moved]]
from = "model.c"

[moved.note]
x = 1

[[moved]]
from = "model.d"

# ---- the end ----

[state]
url = 's3://x=y'
'''

NAMES = some.sampled_from(["a", "b", "c", '"q r"', "vars", "moved", "state", "model", "train"])
PATHS = some.lists(NAMES, min_size=1, max_size=3).map(".".join)
SPACES = some.sampled_from(["", " ", "   ", "\t"])
COMMENTS = some.integers(0, 99).map(lambda number: f"#=c{number}[x]")
VALUES = some.sampled_from(
    [
        "1",
        "'model.a'",
        '"train.b"',
        "true",
        "[ 1,\n\n  2 ]  ",
        '"""x  \n\n[model.a]\n#=q\n"""',
        "'''\n=\\'''",
        "{ a=1 }",
    ]
) | PATHS.map(lambda path: "'" + path.replace("'", "") + "'")
LINES = some.one_of(
    some.just(""),
    SPACES,
    some.builds("{}{}".format, SPACES, COMMENTS),
    some.builds("{}[{}]{}".format, SPACES, PATHS, SPACES),
    some.builds("[[{}]] {}".format, PATHS, COMMENTS),
    some.builds("{}{}{}={}{}{}".format, SPACES, PATHS, SPACES, SPACES, VALUES, SPACES),
    some.builds("{} ={} {}".format, NAMES, VALUES, COMMENTS),
)


def sound(lines: list[str]) -> str:
    """As many of the lines as are TOML together."""
    kept: list[str] = []
    for line in lines:
        try:
            tomli.loads("\n".join([*kept, line]))
        except tomli.TOMLDecodeError:
            continue
        kept.append(line)
    return "\n".join(kept)


def is_read(text: str) -> bool:
    """Whether tomlkit takes it, which a few arrays of tables that nobody would write are too much for."""
    try:
        tomlkit.parse(text)
    except ParseError:
        return False
    return True


RECIPES = some.lists(LINES, max_size=30).map(sound).filter(is_read)


def bare(text: str) -> list[str]:
    """The lines, in any order and without the spaces that may change."""
    return sorted("".join(line.split()) for line in text.splitlines() if line.strip())


def test_tables_spaces_and_blank_lines_are_put_in_order() -> None:
    assert formatted(UNTIDY) == TIDY
    assert formatted(TIDY) == TIDY


def test_line_ends_are_those_of_unix() -> None:
    assert formatted(UNTIDY.replace("\n", "\r\n")) == TIDY


@pytest.mark.parametrize(
    ("before", "after"),
    [("", ""), ("\n\n", ""), ("# c", "# c\n"), ("a=1", "a = 1\n"), (" [a.b]\n  [a.c]", "[a.b]\n\n[a.c]\n")],
)
def test_next_to_nothing_is_formatted_too(before: str, after: str) -> None:
    assert formatted(before) == after


def test_tables_that_need_each_other_stay_as_they_are() -> None:
    text = '[train.b]\nmodel = "train.a"\n\n[train.a]\nmodel = "train.b"\n\n[model.x]\nnote = "model.x"\n'
    assert formatted(text) == text


@given(RECIPES)
def test_a_formatted_recipe_is_the_same_recipe(text: str) -> None:
    assert tomli.loads(formatted(text)) == tomli.loads(text)


@given(RECIPES)
def test_a_formatted_recipe_has_every_line_and_comment(text: str) -> None:
    assert bare(formatted(text)) == bare(text)


@given(RECIPES)
def test_the_second_time_there_is_nothing_to_do(text: str) -> None:
    once = formatted(text)
    assert formatted(once) == once


@given(some.permutations(range(6)), some.lists(some.tuples(some.integers(0, 5), some.integers(0, 5)), max_size=8))
def test_what_a_resource_is_made_from_stands_above_it(order: list[int], pairs: list[tuple[int, int]]) -> None:
    made_from: dict[int, set[int]] = {number: set() for number in order}
    for one, other in pairs:
        if one != other:
            made_from[max(one, other)].add(min(one, other))
    text = "".join(f"[train.x{one}]\nfrom = {[f'train.x{source}' for source in made_from[one]]}\n" for one in order)
    found = list(tomli.loads(formatted(text))["train"])
    for number, sources in made_from.items():
        assert all(found.index(f"x{source}") < found.index(f"x{number}") for source in sources)


def test_a_chain_of_thousands_is_put_in_order() -> None:
    tables = [f'[train.x{number}]\nmodel = "train.x{number - 1}"\n' for number in range(3000)]
    assert formatted("\n".join(reversed(tables))) == "\n".join(tables)


def test_the_example_is_in_canonical_form() -> None:
    assert formatted(QUICKSTART.read_text(encoding="utf-8")) == QUICKSTART.read_text(encoding="utf-8")


def test_the_command_names_what_it_changed_once(empty: Any) -> None:
    (empty.path / "recipe.toml").write_text(UNTIDY)
    checked = empty.tune("fmt", "--check", expect=1)
    assert checked.stdout == "recipe.toml\n"
    assert checked.stderr == "It is not in canonical form: `tune fmt` puts it there.\n"
    assert (empty.path / "recipe.toml").read_text() == UNTIDY
    assert empty.tune("fmt").stdout == "recipe.toml\n"
    assert (empty.path / "recipe.toml").read_text() == TIDY
    for command in (["fmt"], ["fmt", "--check"]):
        done = empty.tune(*command)
        assert (done.stdout, done.stderr) == ("", "")


def test_what_is_not_toml_is_left_alone(empty: Any) -> None:
    (empty.path / "recipe.toml").write_text("[a\n")
    assert empty.tune("fmt", expect=1).stderr.startswith("recipe.toml:1:3: Error: Invalid TOML [TUNE001]\n")
    (empty.path / "recipe.toml").write_bytes(b"# \xff\n")
    assert empty.tune("fmt", expect=1).stderr == (
        "Error: Not UTF-8 [TUNE003]\n  `recipe.toml` is not UTF-8.\n  hint: Save it as UTF-8.\n"
    )
    (empty.path / "recipe.toml").write_text(f"a = {'[' * 120}{']' * 120}\n")
    assert empty.tune("fmt", expect=1).stderr == (
        "recipe.toml:1:105: Error: Invalid TOML [TUNE001]\n"
        "  It cannot be formatted: TOML value nested more than 100 levels deep at line 1 col 104.\n"
        "  hint: Nest values less deeply, and let the tables of an array stand together.\n"
    )
    (empty.path / "recipe.toml").unlink()
    (empty.path / "recipe.yaml").write_text("a: 1\n")
    assert empty.tune("fmt", "recipe.yaml", expect=1).stderr == (
        "Error: Not TOML [TUNE404]\n  `recipe.yaml` cannot be formatted.\n  hint: Only recipes in TOML can.\n"
    )
