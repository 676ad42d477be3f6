"""Tags: what is listed by them, and what none of them is."""

from __future__ import annotations

import json
from typing import Any

import pytest

RECIPE = """\
[dataset.a]
source = "rows.jsonl"
type = "completion"
tags = ["dates", "team a"]

[dataset.b]
source = "rows.jsonl"
type = "completion"
tags = ["dates"]

[dataset.c]
source = "rows.jsonl"
type = "completion"
"""


@pytest.fixture
def tagged(empty: Any) -> Any:
    (empty.path / "rows.jsonl").write_text('{"text": "one"}\n')
    (empty.path / "recipe.toml").write_text(RECIPE)
    empty.tune("apply", "--auto-approve")
    return empty


@pytest.mark.parametrize(
    ("wanted", "listed"),
    [((), ["a", "b", "c"]), (("dates",), ["a", "b"]), (("dates", "team a"), ["a"])],
)
def test_what_has_all_of_some_tags_is_listed(tagged: Any, wanted: tuple[str, ...], listed: list[str]) -> None:
    options = [part for tag in wanted for part in ("--tag", tag)]
    lines = tagged.tune("state", "list", *options).stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [f"dataset.{name}" for name in listed]
    assert [*json.loads(tagged.tune("state", "list", *options, "--json").stdout)] == [f"dataset.{n}" for n in listed]


def test_where_nothing_has_them_the_tags_that_there_are_are_told(tagged: Any) -> None:
    assert tagged.tune("state", "list", "--tag", "date").stdout == (
        "Nothing in the state has `date`. Its tags: `dates`, `team a`.\n"
    )
    (tagged.path / "recipe.toml").write_text(
        RECIPE.replace('tags = ["dates"', 'tags = ["numbers"').replace(', "team a"', "")
    )
    plan = tagged.tune("plan").stdout
    assert 'tags: ["dates", "team a"] -> ["numbers"]  # recorded: they are notes (recipe.toml:4)\n' in plan
    assert "Plan: 2 to update, 1 reused.\n" in plan


@pytest.mark.parametrize("tag", ["", " dates", "dates ", "two\\nlines"])
def test_a_tag_that_nobody_could_ask_for_is_refused(tagged: Any, tag: str) -> None:
    tagged.edit('tags = ["dates"]', f'tags = ["{tag}"]')
    refused = tagged.tune("validate", expect=1).stderr
    assert refused.startswith("recipe.toml:9:1: Error: Invalid value [TUNE013]\n  dataset.b.tags: ")
    assert "is no tag: a tag is a word or a few, without space around them." in refused
