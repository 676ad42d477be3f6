"""Recipes that extend others: merged key by key, the nearest wins, and problems name the file at fault."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from planner.composition import compose
from planner.recipe import assemble
from planner.written import Written
from state.diagnostic import Place, ProblemError
from tests.fake_kinds import KINDS


def composed(file: str = "recipe.toml", **texts: str) -> Written:
    """The recipe of some files; `__` in a name stands for what cannot be in one."""
    return compose(file, loader({name.replace("__", "/") + ".toml": text for name, text in texts.items()}))


def loader(texts: Mapping[str, str]) -> Any:
    def load(name: str) -> str:
        if name not in texts:
            raise FileNotFoundError(2, "No such file or directory", name)
        return texts[name]

    return load


def refused(**texts: str) -> tuple[str, str, str, str]:
    with pytest.raises(ProblemError) as caught:
        composed(**texts)
    (one,) = caught.value.diagnostics
    return str(one.place), one.summary, one.detail, one.hint


def test_tables_are_merged_key_by_key_and_the_extending_file_wins() -> None:
    written = composed(
        base='[thing.a]\ncolour = "red"\nsteps = 4\n[thing.a.deep]\none = [1, 2]\ntwo = 2\n[thing.b]\nnote = "b"\n',
        recipe='extends = ["base.toml"]\n[thing.a]\nsteps = 6\n[thing.a.deep]\none = [3]\n',
    )
    assert written.tables == {
        "thing": {"a": {"colour": "red", "steps": 6, "deep": {"one": [3], "two": 2}}, "b": {"note": "b"}}
    }
    assert written.file == "recipe.toml"


def test_each_key_keeps_its_place() -> None:
    written = composed(
        base='[thing.a]\ncolour = "red"\nsteps = 4\ndeep = { one = 1 }\n',
        recipe='extends = ["base.toml"]\n\n[thing.a]\nsteps = 6\n[thing.a.deep]\ntwo = 2\n',
    )
    places = {
        path: str(written.place(f"thing.a{path}")) for path in ("", ".colour", ".steps", ".deep.one", ".deep.two")
    }
    assert places == {
        "": "recipe.toml:3:1",
        ".colour": "base.toml:2:1",
        ".steps": "recipe.toml:4:1",
        ".deep.one": "base.toml:4:10",
        ".deep.two": "recipe.toml:6:1",
    }


def test_problems_name_the_file_that_holds_the_key() -> None:
    written = composed(
        shared__base='[thing.a]\nsteps = "4"\ncolor = "red"\n',
        recipe='extends = ["shared/base.toml"]\n[thing.a]\npace = "slow"\n',
    )
    with pytest.raises(ProblemError) as caught:
        assemble(written, KINDS)
    assert [(str(one.place), one.detail) for one in caught.value.diagnostics] == [
        ("recipe.toml:3:1", 'thing.a.pace: expected a whole number, got "slow".'),
        ("shared/base.toml:2:1", 'thing.a.steps: expected a whole number, got "4".'),
        ("shared/base.toml:3:1", "thing.a.color: there is no such field."),
    ]


def test_paths_start_at_the_file_that_says_them() -> None:
    written = composed(
        recipe='extends = ["shared/team.toml"]\n[thing.a]\n',
        shared__team='extends = ["../company.toml", "gpu.toml"]\n',
        company="[thing.company]\n",
        shared__gpu="[thing.gpu]\n",
    )
    assert set(written.tables["thing"]) == {"a", "company", "gpu"}
    assert written.place("thing.company") == Place("company.toml", 1, 1)
    assert written.place("thing.gpu") == Place("shared/gpu.toml", 1, 1)


def test_later_bases_override_earlier_ones() -> None:
    written = composed(
        recipe='extends = ["one.toml", "two.toml"]\n',
        one="[thing.a]\nsteps = 1\npace = 1\n",
        two="[thing.a]\nsteps = 2\n",
    )
    assert written.tables == {"thing": {"a": {"steps": 2, "pace": 1}}}


def test_what_two_bases_share_overrides_neither() -> None:
    written = composed(
        recipe='extends = ["left.toml", "right.toml"]\n',
        left='extends = ["root.toml"]\n[thing.a]\nsteps = 1\n',
        right='extends = ["root.toml"]\n[thing.a]\npace = 1\n',
        root="[thing.a]\nsteps = 0\npace = 0\n",
    )
    assert written.tables == {"thing": {"a": {"steps": 1, "pace": 1}}}


def test_a_base_may_be_written_in_yaml() -> None:
    texts = {"recipe.toml": 'extends = ["base.yaml"]\n[thing.a]\nsteps = 6\n', "base.yaml": "thing:\n  a: {pace: 2}\n"}
    written = compose("recipe.toml", loader(texts))
    assert written.tables == {"thing": {"a": {"pace": 2, "steps": 6}}}
    assert written.place("thing.a.pace") == Place("base.yaml", 2, 7)


def test_a_circle_is_told_from_the_file_that_closes_it() -> None:
    assert refused(
        recipe='extends = ["one.toml"]\n', one='# first\nextends = ["two.toml"]\n', two='extends = ["one.toml"]\n'
    ) == (
        "two.toml:1:1",
        "Cycle",
        "These recipes extend each other: one.toml -> two.toml -> one.toml.",
        "Take one of them out of `extends`.",
    )


def test_a_recipe_cannot_extend_itself() -> None:
    place, summary, detail, _ = refused(recipe='extends = ["./recipe.toml"]\n')
    assert (place, summary) == ("recipe.toml:1:1", "Cycle")
    assert detail == "These recipes extend each other: recipe.toml -> recipe.toml."


def test_all_bases_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(ProblemError) as caught:
        composed(recipe='extends = ["a.toml", "b.toml", "c.toml"]\n', b="[thing.a\n", c='extends = ["d.toml"]\n')
    assert [(str(one.place), one.summary) for one in caught.value.diagnostics] == [
        ("recipe.toml:1:1", "Missing recipe"),
        ("b.toml:1:9", "Invalid TOML"),
        ("c.toml:1:1", "Missing recipe"),
    ]


def test_a_missing_base_is_a_problem_of_who_extends_it() -> None:
    assert refused(recipe='extends = ["shared/one.toml"]\n', shared__one='\nextends = ["two.toml"]\n') == (
        "shared/one.toml:2:1",
        "Missing recipe",
        "`shared/two.toml` cannot be read: No such file or directory.",
        "Paths in `extends` start at the file that says it.",
    )


def test_what_cannot_be_a_path_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name, summary, why in (
        ("folder.toml", "Missing recipe", "cannot be read: Is a directory."),
        ("a\\u0000", "Invalid value", "a text holds the character NUL."),
    ):
        (tmp_path / "recipe.toml").write_text(f'extends = ["{name}"]\n')
        with pytest.raises(ProblemError) as caught:
            compose("recipe.toml", lambda name: (tmp_path / name).read_text())
        (one,) = caught.value.diagnostics
        assert (str(one.place), one.summary) == ("recipe.toml:1:1", summary)
        assert one.detail.endswith(why)


@pytest.mark.parametrize("value", ['"base.toml"', "[1]", '[""]', "true", "{ file = 'base.toml' }"])
def test_anything_but_a_list_of_files_is_refused(value: str) -> None:
    assert refused(recipe=f"extends = {value}\n") == (
        "recipe.toml:1:1",
        "Invalid value",
        "`extends` must be a list of files.",
        'Write it as `extends = ["base.toml"]`, above all tables.',
    )


def test_a_broken_base_is_named() -> None:
    place, summary, _, _ = refused(recipe='extends = ["base.toml"]\n', base="[thing.a\n")
    assert (place, summary) == ("base.toml:1:9", "Invalid TOML")


NAMES = some.sampled_from("abc")
TREES = some.recursive(
    some.integers() | some.lists(some.integers(), max_size=2),
    lambda inner: some.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TABLES = some.dictionaries(NAMES, TREES, max_size=3)


def toml(value: object) -> str:
    """A value on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + " }"
    return str(value)


def leaves(value: object, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    if isinstance(value, dict) and value:
        return {key: one for name, inner in value.items() for key, one in leaves(inner, (*path, name)).items()}
    return {path: value}


@given(TABLES, TABLES)
def test_every_value_of_the_nearer_file_holds_and_nothing_is_invented(below: Any, above: Any) -> None:
    texts = {
        "base.toml": "".join(f"{name} = {toml(one)}\n" for name, one in below.items()),
        "recipe.toml": 'extends = ["base.toml"]\n' + "".join(f"{name} = {toml(one)}\n" for name, one in above.items()),
    }
    merged = leaves(compose("recipe.toml", loader(texts)).tables)
    nearer, farther = leaves(above), leaves(below)
    assert {path: merged[path] for path, value in nearer.items() if value != {}} == {
        path: value for path, value in nearer.items() if value != {}
    }
    assert all(nearer.get(path, farther.get(path)) == value for path, value in merged.items())
