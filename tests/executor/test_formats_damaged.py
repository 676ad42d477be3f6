"""Rows and files that are damaged in every way: never an exception that nobody expects, always file and line."""

from __future__ import annotations

import copy
import gzip
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random as Chance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor import formats
from executor.data.chat_messages import RowError
from executor.data.dataset_fields import Dataset, Filter
from executor.data.row_check import faults
from executor.data.rows import BrokenRow, Row, row_digest
from executor.sources.file_formats import SUFFIXES, read_file
from executor.sources.selection import meets
from state.diagnostic import Place

zstandard = pytest.importorskip("zstandard")

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho", "train": True}]
CALLS = [{"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
SOUND: dict[str, list[dict[str, Any]]] = {
    "chat_template": [
        {"messages": CHAT, "tools": [{"name": "f"}], "system": "s"},
        {"messages": [*CHAT, {"role": "assistant", "content": None, "tool_calls": CALLS}], "tools": "[{}]"},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, CHAT[1]]},
        {"prompt": CHAT[:1], "completion": CHAT[1:]},
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "weight": 0}]},
        {"conversations": [{"from": "function_call", "value": '{"name": "f", "arguments": {}}'}]},
    ],
    "alpaca": [{"instruction": "a", "input": "b", "output": "c"}],
    "completion": [{"text": "a"}],
    "pretrain": [{"text": "a"}],
    "input_output": [
        {"segments": [{"label": False, "text": "a"}, {"label": True, "text": "b"}]},
        {"prompt": "a", "completion": "b"},
    ],
    "preference": [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"chosen": CHAT, "rejected": [CHAT[0], {"role": "assistant", "content": "no"}]},
        {"question": "a", "system": "s", "chosen": CHAT, "rejected": [CHAT[0], CHAT[0]]},
    ],
    "kto": [
        {"prompt": "a", "completion": "b", "label": True},
        {"prompt": CHAT, "completion": CHAT[1:], "label": "0"},
    ],
    "prompt": [{"prompt": CHAT[:1], "answer": 4}, {"question": "a"}],
    "stepwise": [{"prompt": "a", "completions": ["b", "c"], "labels": [True, False]}],
    "tokenized": [{"input_ids": [1, 2], "labels": [-100, 2], "attention_mask": [1, 1], "completion_mask": [0, 1]}],
}
JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2**40, 0.5, 1e308, "", " ", "text", "[", "{", "[]", "{}", "[[]]", '{"a": 1}',
    '[{"role": 1}]', "\x00", "\ue000", "<|im_end|>", [], {}, [None], [[]], [{}], {"": None}, {"role": "user"},
    {"role": 3, "content": 4},
    {"role": "user", "content": []}, {"role": "user", "content": [{"type": "image"}]}, [1, "a", None], [True, 2],
    {"role": "x", "content": "y", "train": "yes"}, {"role": "x", "tool_calls": [3]}, {"from": [], "value": {}},
    {"role": "x", "tool_calls": [{"function": {"arguments": []}}]}, "9" * 50, [-1, -1], [2**31],
]  # fmt: skip


def damage(value: Any, chance: Chance) -> Any:
    """A copy of the value with junk in one place of it."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        changed = dict(value)
        name = chance.choice(sorted(changed))
        if chance.random() < 0.2:
            del changed[name]
        else:
            changed[name] = damage(changed[name], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], damage(value[at], chance), *value[at + 1 :]]
    return copy.deepcopy(chance.choice(JUNK))


def test_every_format_has_rows_here() -> None:
    assert sorted(SOUND) == sorted(formats.load())


@pytest.mark.parametrize("name", sorted(SOUND))
def test_sound_rows_are_read_and_ten_thousand_damaged_ones_are_read_or_refused(name: str) -> None:
    dataset, place, chance = Dataset(source="x", type=name), Place("x.jsonl", 7), Chance(name)  # noqa: S311
    for values in SOUND[name]:
        assert list(faults(Row(place, values), dataset)) == []
    refused = 0
    for _ in range(10_000):
        values = damage(chance.choice(SOUND[name]), chance)
        if isinstance(values, dict):
            found = list(faults(Row(place, values), dataset))
            refused += bool(found)
            assert all(one.place == place and one.why.strip() == one.why != "" for one in found)
            row_digest(Row(place, values))
            for form in formats.load().values():
                form.recognises(values)
    assert refused > 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(
    {field for rows in SOUND.values() for row in rows for field in row} | {"instruction", "input", "answer"}
)


@given(values=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5))
def test_rows_of_any_json_are_read_or_refused_in_every_format(values: dict[str, Any]) -> None:
    for name, form in formats.load().items():
        with suppress(RowError):
            form.example(values, Dataset(source="x", type=name))


@given(
    values=st.dictionaries(st.sampled_from(["a", "b"]), json_values, max_size=2),
    operator=st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "min_length"]),
    value=st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.tuples(st.text(), st.text()),
)
def test_any_condition_can_be_asked_of_any_row(values: dict[str, Any], operator: Any, value: Any) -> None:
    assert meets(values, (Filter("a", operator, value),)) in (True, False)


ROWS = [{"text": f"row {number}", "score": str(number)} for number in range(40)]


def arrow_stream() -> bytes:
    import pyarrow as pa

    sink, table = pa.BufferOutputStream(), pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def parquet_file() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


TEXTS = {
    ".jsonl": "".join(json.dumps(row) + "\n" for row in ROWS),
    ".ndjson": "".join(json.dumps(row) + "\n" for row in ROWS),
    ".json": json.dumps({"version": 1, "data": ROWS}),
    ".csv": "text,score\n" + "".join(f'"{row["text"]}",{row["score"]}\n' for row in ROWS),
    ".tsv": "text\tscore\n" + "".join(f"{row['text']}\t{row['score']}\n" for row in ROWS),
    ".txt": "".join(f"{row['text']}\n" for row in ROWS),
}
BINARY = {".parquet": parquet_file, ".arrow": arrow_stream}
PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def test_every_file_format_is_damaged_here() -> None:
    assert sorted([*TEXTS, *BINARY]) == sorted(SUFFIXES)


def damaged_bytes(content: bytes, chance: Chance) -> bytes:
    at = chance.randrange(len(content))
    match chance.randrange(4):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + chance.randbytes(chance.randrange(1, 9)) + content[at:]
        case 2:
            return content[:at] + chance.randbytes(1) + content[at + 1 :]
        case _:
            return content[:at] + content[at + chance.randrange(1, 30) :]


@pytest.mark.parametrize("compressed", ["", ".gz", ".zst"])
@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_damaged_files_yield_rows_and_places(suffix: str, compressed: str, tmp_path: Path) -> None:
    path, chance = tmp_path / f"x{suffix}{compressed}", Chance(suffix + compressed)  # noqa: S311
    content = PACKED[compressed](BINARY[suffix]() if suffix in BINARY else TEXTS[suffix].encode())
    path.write_bytes(content)
    assert [one for one in read_file(path, path.name) if isinstance(one, BrokenRow)] == []
    for _ in range(150):
        path.write_bytes(damaged_bytes(content, chance))
        for one in read_file(path, path.name):
            assert one.place.file == path.name
            assert one.place.line >= 1
