"""Files of every format to rows, with file and line; splits, conditions, samples, weights and orders."""

from __future__ import annotations

import decimal
import gzip
import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.data.dataset_fields import Dataset, Filter
from executor.data.rows import BrokenRow, Row
from executor.sources import json_lines, origin, paths, shuffling, splits
from executor.sources.file_formats import read_file
from executor.sources.selection import meets, selected
from executor.sources.shuffling import shuffled
from state.diagnostic import Place, ProblemError

zstandard = pytest.importorskip("zstandard")

CHATS: list[dict[str, Any]] = [{"messages": [{"role": "user", "content": f"ü{at}"}], "n": at} for at in range(3)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in CHATS)


def read(path: Path, content: str | bytes) -> list[tuple[str, object]]:
    """Every row of a file with this content: its place, and its values or what is wrong with it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return [(str(one.place), one.values if isinstance(one, Row) else one.why) for one in read_file(path, path.name)]


def test_json_lines_count_blank_lines(tmp_path: Path) -> None:
    assert read(tmp_path / "x.jsonl", '\ufeff{"a": 1}\n\n  \n[2]\n{"a": 3') == [
        ("x.jsonl:1", {"a": 1}),
        ("x.jsonl:4", "is not a JSON object but an array: a file that is an array of rows is one of the ending .json"),
        ("x.jsonl:5", "is not JSON: Expecting ',' delimiter in column 8"),
    ]


def test_what_nothing_behind_could_bear_is_no_row(tmp_path: Path) -> None:
    lines = [b'{"a": "\\ud800"}', b'{"\\udc00": 1}', b'{"a": ' + b"[" * 150 + b"]" * 150 + b"}", b'{"a": "\xff"}']
    assert read(
        tmp_path / "x.jsonl", b"\n".join([*lines, b'{"a": NaN, "b": "\\ud83d\\ude00"}', b"[" * 9999, b"1" * 5000])
    ) == [
        ("x.jsonl:1", "holds half a character (a surrogate without the other one)"),
        ("x.jsonl:2", "holds half a character (a surrogate without the other one)"),
        ("x.jsonl:3", "is nested too deeply"),
        ("x.jsonl:4", "is not UTF-8"),
        ("x.jsonl:5", {"a": None, "b": "😀"}),
        ("x.jsonl:6", "is nested too deeply"),
        ("x.jsonl:7", "holds a number of too many digits"),
    ]


def test_a_line_that_never_ends_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 100)
    found = read(tmp_path / "x.jsonl", f'{{"a": 1}}\n{{"a": "{"b" * 1000}"}}\n{{"a": 3}}\n')
    assert [place for place, _ in found] == ["x.jsonl:1", "x.jsonl:2", "x.jsonl:3"]
    assert found[0][1] == {"a": 1}
    assert found[1][1] == "is longer than 0 MiB"


def test_an_array_names_line_and_column(tmp_path: Path) -> None:
    assert read(tmp_path / "x.json", '[\n  {"a": 1},\n  2, {"a":\n 3}\n]') == [
        ("x.json:2:3", {"a": 1}),
        ("x.json:3:3", "is not a JSON object"),
        ("x.json:3:6", {"a": 3}),
    ]


def test_rows_are_the_list_of_objects_in_an_object(tmp_path: Path) -> None:
    document = {"version": "1", "by": ["me"], "meta": {"list": [1]}, "data": [{"a": 1}, {"a": 2}], "none": []}
    assert [values for _, values in read(tmp_path / "x.json", json.dumps(document))] == [{"a": 1}, {"a": 2}]
    text = json.dumps({"train": [{"a": 1}], "test": [{"a": 2}]})
    assert read(tmp_path / "x.json", text) == [
        ("x.json:1:12", {"a": 1}),
        (
            "x.json:1:31",
            "is of a second list, `test`, where `train` holds rows: each belongs into a file of its own",
        ),
    ]


def test_json_lines_by_another_name_are_read_as_such(tmp_path: Path) -> None:
    assert read(tmp_path / "x.json", LINES) == [(f"x.json:{at + 1}", row) for at, row in enumerate(CHATS)]
    apart = LINES.replace("\n", "\n\n")
    assert read(tmp_path / "x.json", apart) == [(f"x.json:{2 * at + 1}", row) for at, row in enumerate(CHATS)]
    assert read(tmp_path / "x.json", "\n \n" + LINES) == [(f"x.json:{at + 3}", row) for at, row in enumerate(CHATS)]


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("", "x.json:1:1", "is an empty file"),
        ("3", "x.json:1:1", "is neither a JSON array nor an object with a list in it"),
        ('{"a": 1}', "x.json:1:8", "is a JSON object without a list of rows in it"),
        ('[{"a": 1},\n {"a" 2}]', "x.json:2:2", "is not JSON from here on: Expecting ':' delimiter"),
        ('[{"a": 1},\n', "x.json:2:1", "is not JSON from here on: Expecting value"),
        ('{"a": ["b"]}', "x.json:1:12", "is a JSON object without a list of rows in it"),
        ('[{"a": 1}]\n[{"a": 2}]', "x.json:2:1", "stands behind the end of the JSON document"),
        ('{"a": [{}]} 1', "x.json:1:13", "stands behind the end of the JSON document"),
    ],
)
def test_documents_that_are_broken_say_where(text: str, place: str, why: str, tmp_path: Path) -> None:
    assert read(tmp_path / "x.json", text)[-1] == (place, why)


@given(rows=st.lists(st.dictionaries(st.text(max_size=3), st.text() | st.integers() | st.lists(st.none()), max_size=3)))
def test_documents_are_read_in_pieces_as_a_whole(rows: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("piecewise") / "x.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("executor.sources.json_document._PIECE_BYTES", 3)
        assert [one for _, one in read(path, json.dumps(rows, indent=1))] == rows


def test_a_table_counts_lines_and_not_rows(tmp_path: Path) -> None:
    text = '\ufefftext,score\n"two\nlines",1\n\nshort\n"a ""b""",2\n"x"y,3\nü,4\n'
    assert read(tmp_path / "x.csv", text) == [
        ("x.csv:2", {"text": "two\nlines", "score": "1"}),
        ("x.csv:5", "has 1 values, and the first line names 2 fields"),
        ("x.csv:6", {"text": 'a "b"', "score": "2"}),
        ("x.csv:7", "is no row of a table: ',' expected after '\"'"),
        ("x.csv:8", {"text": "ü", "score": "4"}),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b,a\n1,2,3\n", "names the field `a` twice"),
        (",b,\n1,2,3\n", "has two columns without a name"),
        (b"a,\xff\n1,2\n", "is not UTF-8"),
        ('"a"b,c\n1,2\n', "is no row of a table: ',' expected after '\"'"),
        ("a,b\r1,2\r", "is no row of a table: a carriage return alone ends no line, and must stand in quotes"),
    ],
)
def test_no_other_line_is_taken_for_a_broken_head_of_a_table(text: str | bytes, why: str, tmp_path: Path) -> None:
    assert read(tmp_path / "x.csv", text) == [("x.csv:1", why)]


def test_endings_are_known_in_capitals_and_missed_where_there_is_none(tmp_path: Path) -> None:
    assert [row for _, row in read(tmp_path / "X.JSONL.GZ", gzip.compress(LINES.encode()))] == CHATS
    said = "(a file whose ending tells no format is read as JSON Lines)"
    assert read(tmp_path / "x.xlsx", "PK") == [("x.xlsx:1", f"is not JSON: Expecting value in column 1 {said}")]


def test_a_table_may_have_tabs_and_wrong_bytes(tmp_path: Path) -> None:
    assert read(tmp_path / "x.tsv", b"a\tb\n1\t2,3\n\xff\t4\n5\t6\n") == [
        ("x.tsv:2", {"a": "1", "b": "2,3"}),
        ("x.tsv:3", "is not UTF-8"),
        ("x.tsv:4", {"a": "5", "b": "6"}),
    ]


def test_a_text_is_a_row_a_line(tmp_path: Path) -> None:
    assert read(tmp_path / "x.txt", "one\r\n\n two\n") == [
        ("x.txt:1", {"text": "one"}),
        ("x.txt:3", {"text": " two"}),
    ]


def test_columns_are_read_whatever_form_they_have(tmp_path: Path) -> None:
    import datetime as dt

    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(
        {
            "messages": [[{"role": "user", "content": "hi"}], None],
            "when": [dt.date(2026, 1, 2), None],
            "score": [1.5, float("nan")],
            "raw": [b"text", b"\xff"],
        }
    )
    parquet.write_table(table, tmp_path / "x.parquet")
    with pa.ipc.new_stream(str(tmp_path / "stream.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pa.ipc.new_file(str(tmp_path / "file.arrow"), table.schema) as writer:
        writer.write_table(table)
    rows = [
        {"messages": [{"role": "user", "content": "hi"}], "when": "2026-01-02", "score": 1.5, "raw": "text"},
        {"messages": None, "when": None, "score": None, "raw": {"base64": "/w=="}},
    ]
    for name in ("x.parquet", "stream.arrow", "file.arrow"):
        expected = [(f"{name}:{at}", row) for at, row in enumerate(rows, start=1)]
        assert read(tmp_path / name, (tmp_path / name).read_bytes()) == expected
        packed = gzip.compress((tmp_path / name).read_bytes())
        assert [row for _, row in read(tmp_path / f"{name}.gz", packed)] == rows


def test_objects_in_columns_are_what_they_were_before(tmp_path: Path) -> None:
    import pyarrow as pa
    from datasets import Dataset as Table
    from datasets import Features, Json, List, Value
    from pyarrow import parquet

    tools = [
        {"name": "f", "parameters": {"city": {"type": "string"}}},
        {"name": "g", "parameters": {"q": {"type": "n"}}},
    ]
    rows = [{"tools": tools, "none": None, "meta": {"a": 1}}, {"tools": [], "none": None, "meta": {"b": [None, 2]}}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "united.parquet")
    described = Features({"tools": List(Json()), "none": Value("string"), "meta": Json()})
    Table.from_list(rows, features=described).to_parquet(tmp_path / "json.parquet")
    for name in ("united.parquet", "json.parquet"):
        assert [row for _, row in read(tmp_path / name, (tmp_path / name).read_bytes())] == rows
    kinds = {
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "word": pa.array(["w"]).dictionary_encode(),
        "large": pa.array([[decimal.Decimal(12345678901234567890)]], pa.large_list(pa.decimal128(20, 0))),
    }
    parquet.write_table(pa.table(kinds), tmp_path / "x.parquet")
    found = read(tmp_path / "x.parquet", (tmp_path / "x.parquet").read_bytes())
    assert found == [("x.parquet:1", {"map": {"a": 1}, "word": "w", "large": [12345678901234567890]})]
    parquet.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", (tmp_path / "x.parquet").read_bytes()) == [
        ("x.parquet:1", "has the column `text` twice")
    ]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_compressed_files_are_read_to_the_end_or_said_to_lack_it(suffix: str, pack: Any, tmp_path: Path) -> None:
    path = tmp_path / f"x.jsonl{suffix}"
    two_frames = pack(LINES.encode()) + pack(b'{"a": 1}\n')
    assert [row for _, row in read(path, two_frames)] == [*CHATS, {"a": 1}]
    place, why = read(path, two_frames[:-9])[-1]
    assert place.startswith(f"{path.name}:")
    assert str(why).startswith("cannot be read: ")


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"text": name}) + "\n")


def taken(folder: Path, source: str | tuple[str, ...], **fields: Any) -> list[str]:
    """The files that a dataset's rows come from."""
    return [one.place.file for one in origin.rows(Dataset(source=source, **fields), folder)]


def test_globs_folders_and_lists_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path, "b/2.jsonl", "b/deep/1.json", "b/.hidden/3.jsonl", "b/state.json", "b/notes.txt", "a.jsonl")
    assert taken(tmp_path, "b") == ["b/2.jsonl", "b/deep/1.json"]
    assert taken(tmp_path, ("b/*.jsonl", "a.jsonl", "b/2.jsonl")) == ["b/2.jsonl", "a.jsonl"]
    assert taken(tmp_path, str(tmp_path / "*.jsonl")) == ["a.jsonl"]
    assert paths.source_files(["nothing.jsonl", "c/*"], tmp_path) == ()
    for absent in ("nothing.jsonl", "c/*"):
        with pytest.raises(ProblemError, match=f"`{re.escape(absent)}`, one of several sources, matches no file"):
            taken(tmp_path, ("a.jsonl", absent))
    write(tmp_path, "b [1].jsonl")
    assert taken(tmp_path, "b [1].jsonl") == ["b [1].jsonl"]


def test_folders_behind_links_are_read_once_and_links_to_nothing_are_missed(tmp_path: Path) -> None:
    write(tmp_path, "d/a.jsonl", "d/old/b.jsonl", "elsewhere/c.jsonl")
    (tmp_path / "d" / "latest").symlink_to("old")
    (tmp_path / "d" / "around").symlink_to(tmp_path)
    (tmp_path / "d" / "disk").symlink_to("../elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to("../d")
    assert taken(tmp_path, "d") == ["d/a.jsonl", "d/disk/c.jsonl", "d/old/b.jsonl"]
    (tmp_path / "d" / "gone.jsonl").symlink_to("nowhere.jsonl")
    for source in ("d", "d/*.jsonl"):
        files = [path for path, _ in origin.named_files(Dataset(source=source), tmp_path)]
        assert tmp_path / "d" / "gone.jsonl" in files


def test_splits_are_told_by_names(tmp_path: Path) -> None:
    write(tmp_path, "d/train.jsonl", "d/dev/x.jsonl", "d/test-00000-of-00002.jsonl", "d/test-00001-of-00002.jsonl")
    assert taken(tmp_path, "d", split="train") == ["d/train.jsonl"]
    assert taken(tmp_path, "d", split="validation") == ["d/dev/x.jsonl"]
    assert taken(tmp_path, "d", split="test[1:]+val") == ["d/test-00001-of-00002.jsonl", "d/dev/x.jsonl"]
    assert taken(tmp_path, "d/train.jsonl", split="train[:1]") == ["d/train.jsonl"]
    assert taken(tmp_path, "d/dev/x.jsonl", split="train[:1]") == ["d/dev/x.jsonl"]
    with pytest.raises(ProblemError, match=r"the split `held_out`; there are: test, train, validation\.$"):
        taken(tmp_path, "d", split="held_out")


def test_a_missing_shard_is_missed(tmp_path: Path) -> None:
    write(tmp_path, "d/train-00000-of-00002.jsonl")
    with pytest.raises(ProblemError, match="is one of several files, and not all of them are here"):
        taken(tmp_path, "d", split="train")


@pytest.mark.parametrize(
    ("split", "numbers"),
    [
        ("train[:2]", [1, 2]),
        ("train[-2:]", [6, 7]),
        ("train[2:-3]", [3, 4]),
        ("train[:50%]", [1, 2, 3, 4]),
        ("train[50%:]", [5, 6, 7]),
        ("train[-10%:]+train[:10%]", [7, 1]),
        ("train[5:2]", []),
        ("train[:99]", [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_slices_are_those_of_datasets(split: str, numbers: list[int], tmp_path: Path) -> None:
    from datasets import Dataset as Table
    from datasets.arrow_reader import ReadInstruction

    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n' * 7)
    found = [one.place.line for one in origin.rows(Dataset(source="x.jsonl", split=split), tmp_path)]
    assert found == numbers
    absolute = ReadInstruction.from_spec(split).to_absolute({"train": len(Table.from_dict({"n": range(7)}))})
    assert [at + 1 for one in absolute for at in range(7)[one.from_ : one.to]] == numbers


@pytest.mark.parametrize("text", ["train[", "[:3]", "train[1]", "train+", "train[:10 %]", ""])
def test_what_is_no_split_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a split such as train"):
        splits.parse(text)


def test_a_card_decides_about_configurations(tmp_path: Path) -> None:
    write(tmp_path, "d/en/a.jsonl", "d/en/b.jsonl", "d/de/a.jsonl")
    card = (
        "---\nlicense: mit\nconfigs:\n- config_name: english\n  default: true\n  data_files:\n  - split: train\n"
        "    path: en/a*\n  - split: test\n    path: ['en/b.jsonl']\n- config_name: all\n  data_files: '**'\n---\n"
    )
    assert taken(tmp_path, "d", name="de") == ["d/de/a.jsonl"]
    (tmp_path / "d" / "README.md").write_text(card)
    assert taken(tmp_path, "d", name="english") == ["d/en/a.jsonl", "d/en/b.jsonl"]
    assert taken(tmp_path, "d", name="english", split="test") == ["d/en/b.jsonl"]
    assert len(taken(tmp_path, "d", name="all", split="train")) == 3
    with pytest.raises(ProblemError, match=r"the split `dev`; there are: test, train\.$"):
        taken(tmp_path, "d", name="english", split="dev")
    assert taken(tmp_path, "d") == ["d/en/a.jsonl", "d/en/b.jsonl"]
    (tmp_path / "d" / "README.md").write_text(card.replace("  default: true\n", ""))
    with pytest.raises(ProblemError, match="The dataset has several configurations: all, english"):
        taken(tmp_path, "d")
    with pytest.raises(ProblemError, match="There is no configuration `fr`; the dataset has: all, english"):
        taken(tmp_path, "d", name="fr")


@pytest.mark.parametrize("head", ["configs:\n- [", "configs: 3\nx: {", "configs:\n\t- a"])
def test_a_card_that_cannot_be_read_is_told(head: str, tmp_path: Path) -> None:
    write(tmp_path, "d/a.jsonl")
    (tmp_path / "d" / "README.md").write_text(f"---\n{head}\n---\n")
    with pytest.raises(ProblemError, match=r"README\.md` cannot be read: "):
        taken(tmp_path, "d")


@pytest.mark.parametrize("head", ["configs: 3", "configs:\n- 4\n- config_name: a", "license: mit"])
def test_a_card_without_configurations_decides_nothing(head: str, tmp_path: Path) -> None:
    write(tmp_path, "d/a.jsonl")
    (tmp_path / "d" / "README.md").write_text(f"---\n{head}\n---\n")
    assert taken(tmp_path, "d") == ["d/a.jsonl"]


VALUES: dict[str, Any] = {"n": 3, "s": "abc", "t": "4.5", "b": True, "l": ["x", 1], "m": {"score": 0.5}, "none": None}


@pytest.mark.parametrize(
    ("field", "operator", "value", "holds"),
    [
        ("n", "==", 3.0, True),
        ("n", "==", True, False),
        ("b", "==", True, True),
        ("n", ">=", 3, True),
        ("n", "<", 3, False),
        ("t", ">", 4, True),
        ("s", ">", 4, False),
        ("s", "<", "b", True),
        ("m.score", ">", 0.4, True),
        ("m.other", "!=", 1, True),
        ("missing", "==", 1, False),
        ("missing", "<", 1, False),
        ("none", "not in", ("a", "b"), True),
        ("s", "in", ("abc", "d"), True),
        ("s", "contains", "bc", True),
        ("l", "contains", "x", True),
        ("l", "contains", True, False),
        ("s", "min_length", 3, True),
        ("s", "max_length", 2, False),
        ("l", "max_length", 1, True),
        ("missing", "min_length", 1, False),
    ],
)
def test_conditions_hold_or_do_not(field: str, operator: Any, value: Any, holds: bool) -> None:  # noqa: FBT001
    assert meets(VALUES, (Filter(field, operator, value),)) is holds


def numbered(contents: list[int]) -> list[Row | BrokenRow]:
    return [Row(Place("x", at), {"n": one}) for at, one in enumerate(contents, start=1)]


def chosen(contents: list[int], **fields: Any) -> list[int]:
    rows = numbered(contents)
    found = selected(lambda: iter(rows), Dataset(source="x", **fields))
    return [int(str(one.values["n"])) for one in found if isinstance(one, Row)]


contents = st.lists(st.integers(0, 50), max_size=40)


@given(contents)
def test_the_first_of_equal_rows_is_kept(rows: list[int]) -> None:
    assert chosen(rows, deduplicate=True) == list(dict.fromkeys(rows))


@given(contents, st.integers(1, 60), st.integers(0, 3))
def test_a_sample_has_its_number_and_order(rows: list[int], count: int, seed: int) -> None:
    found = chosen(list(dict.fromkeys(rows)), sample=count, seed=seed)
    assert len(found) == min(count, len(set(rows)))
    assert found == [one for one in dict.fromkeys(rows) if one in found]


@given(st.sets(st.integers(), min_size=1), st.integers(), st.floats(0.01, 0.99), st.integers(0, 3))
def test_a_row_more_changes_nothing_for_the_others(rows: set[int], more: int, share: float, seed: int) -> None:
    with_more = chosen([more, *rows - {more}], sample=share, seed=seed)
    assert [one for one in with_more if one != more] == chosen(list(rows - {more}), sample=share, seed=seed)


def test_shares_and_weights_are_kept() -> None:
    rows = list(range(4000))
    assert len(chosen(rows, sample=0.25)) == pytest.approx(1000, rel=0.1)
    assert chosen(rows, sample=0.25) != chosen(rows, sample=0.25, seed=7)
    counts = Counter(chosen(rows, weight=2.25))
    assert set(counts.values()) == {2, 3}
    assert counts.total() == pytest.approx(9000, rel=0.05)
    assert len(chosen(rows, weight=0.5)) == pytest.approx(2000, rel=0.1)


@given(st.lists(st.integers(0, 1000), max_size=60, unique=True), st.integers(0, 3), st.randoms(use_true_random=False))
def test_an_order_by_chance_follows_from_rows_and_seed_alone(rows: list[int], seed: int, chance: Any) -> None:
    def order(contents: list[int]) -> list[object]:
        return [one.values["n"] for one in shuffled(iter(numbered(contents)), seed) if isinstance(one, Row)]

    other = list(rows)
    chance.shuffle(other)
    assert order(rows) == order(other)
    assert sorted(map(str, order(rows))) == sorted(map(str, rows))


def test_an_order_is_the_same_through_files(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = BrokenRow(Place("x", 9999), "is broken")
    rows = [*numbered([at % 900 for at in range(1000)]), broken]
    in_memory = list(shuffled(iter(rows), 1))
    monkeypatch.setattr(shuffling, "_HELD_ROWS", 100)
    assert list(shuffled(iter(rows), 1)) == [broken, *(one for one in in_memory if one != broken)]
    assert in_memory != list(shuffled(iter(rows), 2))


def test_repeated_rows_are_spread() -> None:
    rows = numbered(list(range(100)))
    doubled = [one for row in rows for one in (row, row)]
    order = list(shuffled(iter(doubled), 1))
    assert sum(one is other for one, other in pairwise(order)) < 20
