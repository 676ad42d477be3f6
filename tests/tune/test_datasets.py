"""Datasets as a person meets them: a plan that tells what is wrong with rows, and hub data without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def write(folder: Any, name: str, *rows: Any) -> None:
    path = folder.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))


def recipe(folder: Any, text: str) -> None:
    (folder.path / "recipe.toml").write_text(text)


def test_broken_rows_of_every_kind_are_told_by_file_and_line(empty: Any) -> None:
    write(empty, "a.jsonl", {"prompt": "p", "chosen": "c", "rejected": "c"}, "nonsense\n")
    write(empty, "b.csv", "instruction,output\na,b\nc\n")
    write(empty, "c.json", '[\n{"segments": [{"label": false, "text": "t"}]}\n]')
    recipe(
        empty,
        '[dataset.a]\nsource = "a.jsonl"\n[dataset.b]\nsource = "b.csv"\n[dataset.c]\nsource = "c.json"\n',
    )
    assert empty.tune("plan", expect=1).stderr == (
        "a.jsonl:1: Error: Broken row\n"
        "  This row has the same answer as chosen and as rejected.\n"
        "a.jsonl:2: Error: Broken row\n"
        "  This row is not JSON: Expecting value in column 1.\n"
        "b.csv:3: Error: Broken row\n"
        "  This row has 1 values, and the first line names 2 fields.\n"
        "c.json:2:1: Error: Broken row\n"
        "  This row yields no trained token: no segment with a text has the label true.\n"
        "4 problems found; nothing was done.\n"
    )


def test_a_type_that_is_left_out_is_in_plan_and_state(empty: Any) -> None:
    write(empty, "rows.jsonl", {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]})
    recipe(empty, '[dataset.chats]\nsource = "rows.jsonl"\n')
    empty.apply()
    settings = empty.record("dataset.chats")["settings"]
    assert (settings["type"], settings["field_messages"]) == ("sharegpt", "conversations")
    empty.edit('source = "rows.jsonl"', 'source = "rows.jsonl"\ntype = "sharegpt"\nfield_messages = "conversations"')
    assert empty.summary() == {"reuse": 1}


def test_skipped_rows_are_counted(empty: Any) -> None:
    write(empty, "rows.jsonl", {"text": "a"}, "nonsense\n", {"text": "b"})
    recipe(empty, '[dataset.texts]\nsource = "rows.jsonl"\ntype = "completion"\non_bad_row = "skip"\n')
    empty.apply()
    assert empty.record("dataset.texts")["facts"] == {"rows": 2, "skipped": 1}
    empty.edit('on_bad_row = "skip"', 'on_bad_row = "error"')
    assert "rows.jsonl:2: Error: Broken row" in empty.tune("plan", expect=1).stderr


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache on a machine without a network, with one dataset in it."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repository = tmp_path / "hub" / "hub" / "datasets--org--chats"
    snapshot = repository / "snapshots" / COMMIT
    (snapshot / "data").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for split, count in (("train", 5), ("test", 2)):
        rows = [{"messages": [{"role": "user", "content": f"{at}"}]} for at in range(count)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (snapshot / "data" / f"{split}-00000-of-00001.jsonl").write_text(text)
    return snapshot


@pytest.mark.usefixtures("hub")
def test_hub_datasets_are_pinned_to_a_commit(empty: Any) -> None:
    recipe(empty, '[dataset.chats]\nsource = "org/chats"\nsplit = "train[:60%]"\n')
    assert empty.summary() == {"build": 1}
    empty.apply()
    record = empty.record("dataset.chats")
    assert record["content"] == {"commit": COMMIT}
    assert record["settings"]["type"] == "chat_template"
    assert record["facts"] == {"rows": 3}
    assert empty.summary() == {"reuse": 1}
    empty.edit('source = "org/chats"', f'source = "org/chats"\nrevision = "{COMMIT}"')
    assert empty.summary() == {"update": 1}
    empty.edit("train[:60%]", "test")
    assert empty.summary() == {"rebuild": 1}


@pytest.mark.usefixtures("hub")
def test_hub_datasets_that_are_not_here_are_told_in_words(empty: Any) -> None:
    recipe(empty, '[dataset.chats]\nsource = "org/others"\n')
    said = empty.tune("plan", expect=1).stderr
    assert said.startswith("recipe.toml:2:1: Error: Unresolved revision\n  `org/others` is no folder here, and the hub")
    recipe(empty, '[dataset.chats]\nsource = "org/chats"\nsplit = "validation"\n')
    assert empty.tune("plan", expect=1).stderr == (
        "recipe.toml:2:1: Error: Unknown split\n"
        "  No file of `org/chats` belongs to the split `validation`.\n"
        "  hint: Splits are told by the names of files and folders.\n"
    )
