"""Text that ends in YAML, Markdown or a URL: it comes out as it went in, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as some
from markdown_it import MarkdownIt
from packageurl import PackageURL

from executor.audit.card_tables import code, figure, table
from executor.audit.disclosure import public
from executor.audit.front_matter import front_matter
from executor.audit.identifiers import package, utc

ANY_TEXT = some.text(some.characters(), max_size=12)
SCALARS = some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.booleans() | ANY_TEXT
BLOCKS = some.recursive(
    SCALARS,
    lambda inner: (
        some.lists(inner, min_size=1, max_size=3)
        | some.dictionaries(some.sampled_from(["name", "task"]), inner, min_size=1)
    ),
    max_leaves=8,
)


@given(some.dictionaries(some.sampled_from(["base_model", "tags", "model-index"]), BLOCKS, min_size=1))
def test_yaml_reads_front_matter_as_it_was_meant(fields: dict[str, Any]) -> None:
    first, *lines, last, end = front_matter(fields).split("\n")
    assert (first, last, end) == ("---", "---", "")
    assert yaml.safe_load("\n".join(lines)) == fields


def test_numbers_that_old_yaml_takes_for_text_are_numbers() -> None:
    assert front_matter({"small": 1e-05, "large": 1e16, "whole": 3}) == (
        "---\nsmall: 1.0e-05\nlarge: 1.0e+16\nwhole: 3\n---\n"
    )


PRINTABLE = some.text(some.characters(min_codepoint=32, exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@given(some.lists(some.tuples(PRINTABLE, PRINTABLE), min_size=1, max_size=3))
def test_a_table_shows_what_was_put_into_it(rows: list[tuple[str, str]]) -> None:
    lines = table(("One", "Other"), [(code(one), code(other)) for one, other in rows])
    cells = [
        token.children[0].content if token.children else ""
        for token in MarkdownIt("commonmark").enable("table").parse("\n".join(lines))
        if token.type == "inline"
    ]
    assert cells == ["One", "Other", *(text for row in rows for text in row)]


def test_figures_are_written_for_people() -> None:
    assert [figure(one) for one in (982784, 0.0109776966, 1.0, True, "yes", None)] == [
        "982,784", "0.0109777", "1", "`true`", '`"yes"`', "",
    ]  # fmt: skip


def test_a_table_without_rows_is_left_out() -> None:
    assert table(("One",), []) == []


@pytest.mark.parametrize(
    ("private", "shown"),
    [
        ("data/chats.jsonl", "data/chats.jsonl"),
        ("/home/ada/chats.jsonl", ".../chats.jsonl"),
        ("~/chats.jsonl", ".../chats.jsonl"),
        ("C:\\data\\chats.jsonl", ".../chats.jsonl"),
        ("\\\\server\\share\\chats.jsonl", ".../chats.jsonl"),
        ("file:///home/ada/chats.jsonl", ".../chats.jsonl"),
        ("/", ".../"),
        ("https://ada:hush@example.org/a.jsonl?token=hush#x", "https://example.org/a.jsonl"),
        ("s3://bucket/chats/", "s3://bucket/chats/"),
        ("See https://example.org/?a=b", "See https://example.org/?a=b"),
        ("either/or\n/both", "either/or\n/both"),
        ({"z": ["/a/b", 1], "/c/d": None}, {".../d": None, "z": [".../b", 1]}),
    ],
)
def test_values_lose_places_and_credentials(private: Any, shown: Any) -> None:
    assert public(private) == shown


@pytest.mark.parametrize("name", ["python", "torch", "Flash_Attn"])
@pytest.mark.parametrize("version", ["2.13.0+cpu", "1!3.0rc1", "3.11.7"])
def test_package_urls_are_in_normal_form(name: str, version: str) -> None:
    url = PackageURL.from_string(package(name, version))
    assert (url.to_string(), url.version) == (package(name, version), version)


def test_times_are_in_utc_to_the_second() -> None:
    assert utc("2026-11-22T05:09:04+00:00") == "2026-11-22T05:09:04Z"
    assert utc("2026-11-22T05:09:04.5+02:00") == "2026-11-22T03:09:04Z"
    assert utc("") == ""
