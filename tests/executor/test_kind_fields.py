"""What an edit to a field of any kind but `train` does to a finished resource: a row for each field."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

import attrs
import pytest

from executor import kinds
from executor.data.dataset_fields import Dataset
from executor.kinds.dataset import identity
from executor.kinds.eval import Evaluation
from executor.kinds.export import Export
from executor.kinds.merge import Merge
from executor.kinds.model import Model
from planner.desired import Desired, action_key
from planner.diff import Action, Change, change
from planner.effects import fields
from planner.kind import Kind
from planner.reason import FieldChanged
from planner.situation import Situation
from planner.structure import settings_of
from state.record import Record, Status
from tests.executor.test_train_fields import LOCAL

REBUILD, UPDATE, REUSE = Action.REBUILD, Action.UPDATE, Action.REUSE
MADE: dict[str, Any] = {
    "model": Model(config={"model_type": "llama"}, tokenizer="tokenizer"),
    "merge": Merge(adapter="train.a"),
    "eval": Evaluation(model="merge.a", datasets=("dataset.a",), metrics=("perplexity",)),
    "export": Export(model="merge.a", to="outputs/a"),
}
INPUTS = {"adapter", "model", "datasets", "requires", "calibration"}
"""Compared by the digest of what they name."""
NOTES = [("description", "it", UPDATE), ("tags", ("ours",), UPDATE)]
ROWS: dict[str, list[tuple[str, object, Action]]] = {
    "model": [
        # What lies there is compared by its content, whatever it is called.
        ("source", "elsewhere", UPDATE), ("revision", "v2", UPDATE), ("tokenizer", "elsewhere", UPDATE),
        ("chat_template", "chatml", UPDATE), ("config", {"model_type": "mistral"}, REBUILD), ("seed", 7, REBUILD),
        ("tokens", ("<|case|>",), REBUILD), ("special_tokens", {"pad_token": "<pad>"}, REBUILD),
        ("rope_scaling", {"rope_type": "linear", "factor": 2.0}, REBUILD), ("trust_remote_code", True, REBUILD), *NOTES,
    ],
    "merge": [
        ("weights", (0.5,), REBUILD), ("combination_type", "ties", REBUILD), ("density", 0.5, REBUILD),
        ("majority_sign_method", "frequency", REBUILD), ("seed", 7, REBUILD), ("dtype", "float16", REBUILD),
        ("quantized_base", "dequantized", REBUILD), ("max_shard_size", "1GB", UPDATE), ("check_logits", False, UPDATE),
        *NOTES,
    ],
    "eval": [
        ("metrics", ("exact_match",), REBUILD), ("tasks", ("arc_easy",), REBUILD), ("task_folder", "tasks", REBUILD),
        ("num_fewshot", 3, REBUILD), ("limit", 9, REBUILD), ("apply_chat_template", True, REBUILD),
        # Compared where they decide: in the tokens, whose digest changes or does not.
        ("sequence_len", 77, REUSE), ("roles_to_train", ("user",), REUSE), ("max_new_tokens", 9, REBUILD),
        ("batch_size", 3, UPDATE), ("dtype", "float16", REBUILD), ("attn_implementation", "eager", UPDATE),
        ("gate", {"perplexity": "<= 9"}, UPDATE), *NOTES,
    ],
    "export": [
        ("to", "outputs/b", REBUILD), ("private", False, UPDATE), ("dtype", "float16", REBUILD),
        ("quantization", "bnb-4bit", REBUILD), ("calibration_rows", 9, REBUILD), ("sequence_len", 77, REUSE),
        ("max_shard_size", "1GB", REBUILD), ("license", "mit", REBUILD), *NOTES,
    ],
}  # fmt: skip


def planned(kind: Kind, before: Any, after: Any) -> Change:
    """What a plan says of a finished resource of which only the fields have changed."""
    old, new = (Desired(f"{kind.name}.a", kind.name, settings_of(one), {}, {}, 1, type(one)) for one in (before, after))
    metrics = {"perplexity": 2.0}
    record = Record(kind.name, old.settings, {}, {}, 1, action_key(old, {}), Status.READY, "made", metrics=metrics)
    return change(Situation(kind, new, {}, {}, {}, record, {}, LOCAL))


@pytest.mark.parametrize("kind", ROWS)
def test_every_field_has_a_row_whose_value_is_another(kind: str) -> None:
    rows, specification = [row[0] for row in ROWS[kind]], cast("Hashable", type(MADE[kind]))
    assert sorted(rows) == sorted(set(fields(specification)) - INPUTS)
    assert [name for name, value, _ in ROWS[kind] if getattr(MADE[kind], name) == value] == []


@pytest.mark.parametrize(
    ("kind", "name", "value", "action"),
    [(kind, *row) for kind, rows in ROWS.items() for row in rows],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_an_edit_does_what_its_field_says(kind: str, name: str, value: object, action: Action) -> None:
    before = MADE[kind]
    assert planned(kinds.load()[kind], before, attrs.evolve(before, **{name: value})).action is action


def test_a_table_that_was_empty_is_told_by_what_is_in_it() -> None:
    empty, full = MADE["eval"], attrs.evolve(MADE["eval"], gate={"perplexity": "<= 9"})
    for before, after in ((empty, full), (full, empty)):
        (reason,) = planned(kinds.load()["eval"], before, after).reasons
        assert isinstance(reason, FieldChanged)
        assert (reason.field, {reason.before, reason.after}) == ("gate.perplexity", {None, "<= 9"})


CHATS = Dataset(source="rows.jsonl", type="chat_template")
READ: dict[str, Any] = {
    "type": "sharegpt", "name": "small", "split": "train[:9]", "field_messages": "chat",
    "message_property_mappings": {"content": "text"}, "roles": {"assistant": ["bot"]},
    "message_field_training": "learn", "field_system": "s", "field_tools": "t",
    "filters": ({"field": "a", "operator": "==", "value": 1},), "deduplicate": True, "sample": 9, "weight": 2.0,
    "shuffle": True, "allow_control_tokens": True,
}  # fmt: skip
KEPT: dict[str, Any] = {
    # Where rows lie is compared by their content, and nothing is drawn by the seed; the others are not read by chats.
    "source": "other.jsonl", "revision": "v2", "seed": 7, "on_bad_row": "skip", "description": "it", "tags": ("ours",),
    "field_instruction": "i", "field_input": "i", "field_output": "o", "system_prompt": "s",
    "prompt_style": "chat_template", "format": "{instruction}", "no_input_format": "{instruction}", "field": "body",
    "field_prompt": "p", "field_chosen": "c", "field_rejected": "r",
}  # fmt: skip


def test_every_field_of_a_dataset_is_read_by_chats_or_not() -> None:
    assert sorted({*READ, *KEPT}) == sorted(fields(Dataset))
    assert [name for name, value in (READ | KEPT).items() if getattr(CHATS, name) == value] == []


@pytest.mark.parametrize("name", [*READ, *KEPT])
def test_rows_are_others_where_a_field_decides_how_they_are_read(name: str) -> None:
    """A record is updated either way; tokens are made again where the identity of the rows is another."""
    before, after = settings_of(CHATS), settings_of(attrs.evolve(CHATS, **{name: (READ | KEPT)[name]}))
    assert (identity(before, ["digest"]) != identity(after, ["digest"])) is (name in READ)
