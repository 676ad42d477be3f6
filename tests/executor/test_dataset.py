"""Datasets in a recipe: what is resolved, what is identity, what is counted, and what is said of broken rows."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor import formats, kinds
from executor.applying.probe import desire
from executor.data.dataset_fields import Dataset, Filter, dataset_of
from executor.kinds.dataset import KIND, check_unchanged, identity
from executor.workers.task import Outcome, Task
from executor.workers.worker_reports import Reporter
from planner.desired import Desired
from planner.recipe import BrokenRecipeError, parse
from planner.structure import settings_of
from state.canonical import digest
from state.diagnostic import ProblemError
from state.files import FileDigests, digest_file
from state.record import Provenance, Record, State, Status


def desired(folder: Path, table: str, state: State | None = None) -> Desired:
    """The dataset of a recipe, resolved and probed."""
    recipe = parse(f"[dataset.x]\n{table}", "recipe.toml", kinds.load())
    found, _ = desire(recipe, folder, FileDigests(), state or State("lineage", 0))
    return found[0]


def recorded(one: Desired) -> State:
    record = Record(
        "dataset", one.settings, one.content, {}, 1, "", Status.READY, output_digest=one.known[""], facts=one.facts
    )
    return State("lineage", 1, records={"dataset.x": record})


def problems(folder: Path, table: str, state: State | None = None) -> list[str]:
    with pytest.raises(ProblemError) as refused:
        desired(folder, table, state)
    return [f"{one.place}: {one.summary}: {one.detail}" for one in refused.value.diagnostics]


def write(folder: Path, *rows: Any) -> None:
    (folder / "x.jsonl").write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))


SHARED = {"instruction": "a", "response": "b"}
SEVERAL = "`type` is not set, and the rows can be read in several ways"
SOURCE = 'source = "x.jsonl"\n'


def test_a_type_that_is_left_out_is_resolved_with_its_field(tmp_path: Path) -> None:
    write(tmp_path, SHARED, SHARED)
    one = desired(tmp_path, SOURCE)
    assert (one.settings["type"], one.settings["field_output"]) == ("alpaca", "response")
    assert one.facts == {"rows": 2}
    given = desired(tmp_path, SOURCE + 'type = "alpaca"\nfield_output = "response"')
    assert given.settings == one.settings
    assert given.known == one.known
    assert given.facts == {"rows": 2}


def test_a_field_that_is_given_holds_against_what_rows_tell(tmp_path: Path) -> None:
    write(tmp_path, {**SHARED, "output": "c", "best": "d"})
    assert desired(tmp_path, SOURCE + 'field_output = "best"').settings["field_output"] == "best"


def test_most_of_the_first_rows_tell_the_type(tmp_path: Path) -> None:
    write(tmp_path, {"a": 1}, SHARED, SHARED)
    assert problems(tmp_path, SOURCE) == ["x.jsonl:1: Broken row: This row has no text in the field `instruction`."]


def test_filters_that_no_row_meets_are_told_with_fields_that_no_row_has(tmp_path: Path) -> None:
    write(tmp_path, {"text": "a", "meta": {"score": 1}}, {"text": "b", "extra": 1})
    one = '{{field = "{}", operator = ">", value = 3}}'
    for fields, said in ((["meta.score"], ""), (["meta.scroe", "extra", "lang"], "`meta.scroe` or `lang`")):
        filters = f"filters = [{', '.join(map(one.format, fields))}]"
        why = f": no row has the field {said}" if said else ""
        assert problems(tmp_path, SOURCE + 'type = "completion"\n' + filters) == [
            f"recipe.toml:2:1: Empty dataset: dataset.x has no rows that meet its `filters`{why}."
        ]


def test_names_of_columns_that_no_row_has_are_told_where_they_would_do_nothing(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "learn": True}]
    write(tmp_path, {"messages": chat}, {"messages": json.dumps(chat), "lang": 7, "meta": {"score": 1}})
    strange = {"messages": [*chat, {"role": "bto", "content": "c"}], "meta": {}}
    chats = SOURCE + 'type = "chat_template"\n'
    one, other = (
        'filters = [{{field = "{}", operator = "not in", value = [2]}}',
        ', {{field = "{}", operator = "!=", value = 1}}]\n',
    )
    conditions = one.format("meta.scroe") + other.format("n")
    wrong = """field_system = "setup"
message_field_training = "laern"
message_property_mappings = {thinking = "thought"}
roles = {assistant = ["bot", "gpt"], tool = ["assistant"]}"""
    lines = [
        "4:1: Unknown column: dataset.x.filters names the field `meta.scroe`, which no row",
        "4:1: Unknown column: dataset.x.filters names the field `n`, which no row",
        "5:1: Unknown column: dataset.x.field_system names the field `setup`, which no row",
        "6:1: Unknown column: dataset.x.message_field_training names the property `laern`, which no message",
        "7:1: Unknown column: dataset.x.message_property_mappings names the property `thought`, which no message",
        "8:1: Unknown column: dataset.x.roles names the role `bot` or `gpt`, which no message",
    ]
    expected = [f"recipe.toml:{line} has, so that it does nothing." for line in lines]
    assert problems(tmp_path, chats + conditions + wrong) == expected[:-1]
    write(tmp_path, {"messages": chat, "meta": {}}, strange)
    assert problems(tmp_path, chats + conditions + wrong) == expected
    write(tmp_path, {"messages": chat}, {"messages": json.dumps(chat), "lang": 7, "meta": {"score": 1}})
    conditions = one.format("meta.score") + other.format("lang")
    assert desired(tmp_path, chats + conditions + 'message_field_training = "learn"').facts == {"rows": 2}
    write(tmp_path, {**SHARED, "context": "c"})
    with pytest.raises(ProblemError) as refused:
        desired(tmp_path, SOURCE + 'field_input = "contxt"')
    assert [one.hint for one in refused.value.diagnostics] == ["Did you mean `context`?"]


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ('field = "n", operator = "!=", value = "3"', True),
        ('field = "n", operator = "not in", value = ["3", "4"]', True),
        ('field = "n", operator = "!=", value = true', True),
        ('field = "tags", operator = "!=", value = "x"', True),
        ('field = "n", operator = "!=", value = 4', False),
        ('field = "spelt", operator = "!=", value = 4', False),
        ('field = "nothing", operator = "!=", value = "x"', False),
    ],
)
def test_conditions_that_compare_what_no_row_holds_are_told(condition: str, told: bool, tmp_path: Path) -> None:  # noqa: FBT001
    row = {"text": "a", "spelt": "3.5", "nothing": None, "tags": ["x"]}
    write(tmp_path, {**row, "n": None}, {**row, "n": 3})
    table = SOURCE + f'type = "completion"\nfilters = [{{{condition}}}]'
    if told:
        with pytest.raises(ProblemError) as refused:
            desired(tmp_path, table)
        hint = "Rows hold values of another kind there: texts stand in quotes, numbers, true and false do not."
        assert [(one.summary, one.hint) for one in refused.value.diagnostics] == [("Unknown column", hint)]
    else:
        assert desired(tmp_path, table).facts == {"rows": 2}


def test_rows_in_which_nothing_is_set_tell_nothing(tmp_path: Path) -> None:
    write(tmp_path, *[dict.fromkeys(SHARED)] * 30, SHARED)
    assert problems(tmp_path, SOURCE)[0] == ("x.jsonl:1: Broken row: This row has no text in the field `instruction`.")


def test_a_type_that_cannot_be_told_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"role": "user", "content": "one message a line is no chat"})
    assert problems(tmp_path, SOURCE)[0].endswith("fields that tell of no known one: `role`, `content`.")
    write(tmp_path, {"ask": "a", "say": "b"})
    assert problems(tmp_path, SOURCE) == [
        "x.jsonl:1: Unknown type: `type` is not set, and this row has fields that tell of no known one: `ask`, `say`."
    ]
    write(tmp_path, {"prompt": "a", "completions": ["b"], "labels": [1], "input_ids": [1]})
    assert problems(tmp_path, SOURCE) == [f"recipe.toml:2:1: Unknown type: {SEVERAL}: stepwise, tokenized."]
    write(tmp_path, "nonsense\n")
    assert problems(tmp_path, SOURCE) == ["x.jsonl:1: Broken row: This row is not JSON: Expecting value in column 1."]
    write(tmp_path)
    assert problems(tmp_path, SOURCE) == [
        "recipe.toml:2:1: Empty dataset: There is no row from which the `type` could be told."
    ]


def test_rows_that_a_split_or_a_weight_leaves_out_are_missed(tmp_path: Path) -> None:
    write(tmp_path, {"text": "a"})
    for fields, by in (('split = "train[5:]"', "`split`"), ("weight = 0.001\nsample = 0.01", "`sample` and `weight`")):
        said = f"recipe.toml:2:1: Empty dataset: dataset.x has no rows left by its {by}."
        assert problems(tmp_path, SOURCE + 'type = "completion"\n' + fields) == [said]


def test_broken_rows_are_skipped_only_if_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, SHARED, "nonsense\n", {"instruction": "a"}, SHARED)
    skipping = desired(tmp_path, SOURCE + 'on_bad_row = "skip"')
    assert skipping.facts == {"rows": 2, "skipped": 2}
    refused = [
        "x.jsonl:2: Broken row: This row is not JSON: Expecting value in column 1.",
        "x.jsonl:3: Broken row: This row has no text in the field `response`.",
    ]
    assert problems(tmp_path, SOURCE) == refused
    assert problems(tmp_path, SOURCE, recorded(skipping)) == refused
    write(tmp_path, "nonsense\n")
    assert problems(tmp_path, SOURCE + 'type = "alpaca"\non_bad_row = "skip"') == [
        "recipe.toml:2:1: Empty dataset: dataset.x has no rows that can be read."
    ]


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        (
            "x.csv",
            'text\na\n"b\nc\n',
            "3: Broken row: This row is no row of a table: it opens a quote that",
        ),
        ("x.csv", "text,text\na,b\n", "1: Broken row: This row names the field `text` twice."),
        ("x.json", '[{"text": "a"}, {"text": "b"', "1:17: Broken row: This row is not JSON from here on: "),
        (
            "x.jsonl.gz",
            gzip.compress(b'{"text": "a"}\n')[:-6],
            "2: Broken row: This row cannot be read: Compressed ",
        ),
    ],
)
def test_the_rest_of_a_file_is_not_skipped(name: str, content: str | bytes, wrong: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (found,) = problems(tmp_path, f'source = "{name}"\ntype = "completion"\non_bad_row = "skip"')
    assert found.startswith(f"{name}:{wrong}")


def test_what_state_knows_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, SHARED)
    one = desired(tmp_path, SOURCE)
    state = recorded(evolve(one, facts={"rows": 99}))
    assert desired(tmp_path, SOURCE, state).facts == {"rows": 99}
    assert desired(tmp_path, SOURCE + "sample = 1", state).facts == {"rows": 1}


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ('[[dataset.x.filters]]\nfield = "n"\noperator = ">"\nvalue = 5', 4),
        ('[[dataset.x.filters]]\nfield = "kind"\noperator = "in"\nvalue = ["even"]', 5),
        ("sample = 3", 3),
        ("weight = 3", 30),
        ("deduplicate = true", 10),
        ("shuffle = true", 10),
        ('split = "train[:30%]"', 3),
    ],
)
def test_rows_are_counted_as_they_are_taken(fields: str, count: int, tmp_path: Path) -> None:
    write(tmp_path, *({"text": str(at), "n": at, "kind": ("even", "odd")[at % 2]} for at in range(10)))
    one = desired(tmp_path, SOURCE + 'type = "completion"\n' + fields)
    assert one.facts == {"rows": count}
    assert one.known != desired(tmp_path, SOURCE + 'type = "completion"').known


def settings(**fields: Any) -> Any:
    return settings_of(Dataset(source="x", **fields))


def test_only_what_plays_a_part_is_identity() -> None:
    chats = settings(type="chat_template")
    assert identity(chats, ["1"]) == digest({"type": "chat_template", "field": "messages", "files": ["1"]})
    for same in (
        {"field": "body"},
        {"seed": 7},
        {"on_bad_row": "skip"},
        {"description": "d"},
        {"tags": ("t",)},
        {"system_prompt": "s"},
    ):
        assert identity(settings(type="chat_template", **same), ["1"]) == identity(chats, ["1"])
    seen = {identity(chats, ["1"]), identity(chats, ["2"]), identity(settings(type="sharegpt"), ["1"])}
    others: list[dict[str, Any]] = [
        {"field_messages": "talk"}, {"roles": {"user": ["a"]}}, {"field_system": "s"}, {"shuffle": True},
        {"shuffle": True, "seed": 7}, {"sample": 3}, {"sample": 3, "seed": 7}, {"weight": 2.0}, {"deduplicate": True},
        {"filters": (Filter("a", "==", 1),)}, {"filters": (Filter("a", "==", value=True),)}, {"split": "train"},
        {"name": "a"},
    ]  # fmt: skip
    seen |= {identity(settings(type="chat_template", **one), ["1"]) for one in others}
    assert len(seen) == 3 + len(others)


def test_settings_come_back_from_state_as_they_were() -> None:
    one = Dataset(
        source=("a", "b"), type="kto", filters=(Filter("a", "in", ("x", "y")),), sample=0.5, roles={"user": ["q"]}
    )
    assert dataset_of(json.loads(json.dumps(settings_of(one)))) == one


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('"d"', "test, train"),
        ('"d/*.jsonl"', "test, train"),
        ('"d"\nsplit = "test+train"', ""),
        ('["d/train.jsonl", "d/test.jsonl"]', ""),
        ('"d/train.jsonl"', ""),
    ],
)
def test_a_folder_with_several_splits_is_warned_of(source: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("train", "test"):
        (tmp_path / "d" / f"{name}.jsonl").write_text('{"text": "a"}\n')
    recipe = parse(f"[dataset.x]\nsource = {source}", "recipe.toml", kinds.load())
    _, found = desire(recipe, tmp_path, FileDigests(), State("lineage", 0))
    said = f"dataset.x reads the files of all splits alike: {told}."
    assert [(one.summary, one.detail) for one in found] == ([("Several splits", said)] if told else [])


def test_files_that_changed_since_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, SHARED)
    given = settings_of(Dataset(source="x.jsonl", type="alpaca"))
    expected = identity(given, [digest_file(tmp_path / "x.jsonl")])
    assert check_unchanged(given, tmp_path, expected, FileDigests())
    write(tmp_path, SHARED, SHARED)
    assert not check_unchanged(given, tmp_path, expected, FileDigests())


TYPES = ", ".join(f'"{name}"' for name in sorted(formats.load()))


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ('type = "alpca"', f'dataset.x.type: expected one of {TYPES}; got "alpca".'),
        ("sample = 1.0", "dataset.x.sample: expected a number of rows, or a share between 0 and 1, got 1.0."),
        ("sample = 0", "dataset.x.sample: expected a number of rows, or a share between 0 and 1, got 0."),
        ("weight = 0", "dataset.x.weight: expected a number above 0, at most 1000, got 0.0."),
        ("weight = 1e9", "dataset.x.weight: expected a number above 0, at most 1000, got 1000000000.0."),
        (
            'split = "train["',
            "dataset.x.split: expected a split such as train, train[:10%] or train+test, got 'train['.",
        ),
        ('roles = {user = "a"}', 'dataset.x.roles: expected a list of names for user, got "a".'),
        ('revision = "main"', "dataset.x: only a hub id has a revision."),
        (
            'roles = {user = ["a"], assistant = ["b", "a"]}',
            'dataset.x.roles: expected each name once, got "a" for several roles.',
        ),
        (
            'type = "completion"\nsystem_prompt = "S"',
            "dataset.x: rows of the type `completion` are not read by `system_prompt`, which would do nothing.",
        ),
        (
            'type = "alpaca"\nprompt_style = "chat_template"\nformat = "{instruction}"',
            "dataset.x: `format` is no part of a chat template, which `prompt_style` asks for.",
        ),
        (
            'type = "alpaca"\nformat = "{instructon}"',
            'dataset.x.format: expected a text with {instruction} in it, got "{instructon}".',
        ),
        ("shuffle = 1", "dataset.x.shuffle: expected true or false, got 1."),
    ],
)  # fmt: skip
def test_fields_that_cannot_be_meant_are_refused(field: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenRecipeError) as refused:
        desired(tmp_path, 'source = "x"\n' + field)
    assert [one.detail for one in refused.value.diagnostics] == [said]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("datasets = []", "train.t.datasets: there are no rows to train on."),
        ('datasets = ["dataset.x", "dataset.x"]', "train.t.datasets: dataset.x stands there more than once."),
        (
            'datasets = ["dataset.x"]\ntest_datasets = ["dataset.y", "dataset.y"]',
            "train.t.test_datasets: dataset.y stands there more than once.",
        ),
    ],
)
def test_a_run_names_datasets_and_each_of_them_once(named: str, said: str) -> None:
    tables = "".join(f'[dataset.{name}]\nsource = "{name}.jsonl"\ntype = "completion"\n' for name in "xy")
    stage = f'[train.t]\nmethod = "sft"\nmodel = "model.m"\nlearning_rate = 1e-3\n{named}\n'
    with pytest.raises(BrokenRecipeError) as refused:
        parse(f'[model.m]\nsource = "m"\n{tables}{stage}', "recipe.toml", kinds.load())
    assert [one.detail for one in refused.value.diagnostics] == [said]


def test_a_file_has_no_configurations(tmp_path: Path) -> None:
    for source in ("x.jsonl", "d/*"):
        with pytest.raises(BrokenRecipeError, match="only a hub id or a folder has configurations"):
            desired(tmp_path, f'source = "{source}"\nname = "en"')


def test_files_and_addresses_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(BrokenRecipeError, match="a list holds either files or addresses"):
        desired(tmp_path, 'source = ["a.jsonl", "s3://b/c.jsonl"]')


def fetched(folder: Path, source: str, **fields: Any) -> Outcome:
    """What building a dataset that lies elsewhere produces."""
    one = desired(folder, f'source = "{source}"\ntype = "completion"\n')
    assert one.builds
    made = {**one.settings, **fields}
    task = Task("dataset.x", "dataset", made, one.content, {}, str(folder), str(folder / "out"), "", "")
    outcome: Outcome = KIND.build(task, Reporter("dataset.x", lambda _: None))
    assert outcome.output_digest == one.known[""]
    return outcome


def test_what_lies_elsewhere_is_fetched_and_read_by_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path, {"text": "a"}, {"text": "b"})
    address = f"file://{tmp_path}/x.jsonl"
    outcome = fetched(tmp_path, address)
    assert (outcome.facts, outcome.has_artifact) == ({"rows": 2}, False)
    detected = desired(tmp_path, f'source = "{address}"')
    assert detected.settings["type"] == "completion"
    write(tmp_path, {"text": "a"}, {"txt": "b"})
    with pytest.raises(ProblemError, match="This row has no text in the field `text`"):
        fetched(tmp_path, address)
    assert fetched(tmp_path, address, on_bad_row="skip").facts == {"rows": 1, "skipped": 1}


def test_the_type_of_what_is_not_here_must_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path, {"text": "a"})
    assert problems(tmp_path, f'source = "file://{tmp_path}/x.jsonl"') == [
        "recipe.toml:1:1: Unknown type: dataset.x names no `type`, and its rows are not on this machine yet."
    ]


def test_what_another_machine_fetched_is_assumed_where_nothing_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(tmp_path, {"text": "a"})
    table = f'source = "file://{tmp_path}/x.jsonl"\n'
    state = recorded(desired(tmp_path, table + 'type = "completion"'))
    (tmp_path / "x.jsonl").unlink()
    (one,) = state.records.values()
    assert (desired(tmp_path, table, state).content, desired(tmp_path, table, state).settings["type"]) == (
        one.content,
        "completion",
    )
    here = evolve(one, provenance=Provenance(host=socket.gethostname()))
    assert "cannot be listed" in problems(tmp_path, table, evolve(state, records={"dataset.x": here}))[0]
