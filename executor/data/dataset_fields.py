"""The fields of a dataset table: where rows lie, how they are read, and which of them are taken."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, cast

import attrs
from attrs import Factory

from executor import formats
from executor.sources import splits
from planner.effects import Effect, setting
from planner.limits import not_empty, not_negative, tags
from planner.structure import structure
from state.canonical import Plain
from state.shapes import FieldError
from state.values import frozen
from state.wording import show, suggestion

_READ = "rows are read differently"
_TAKEN = "other rows are taken"
MOST_TIMES = 1000
"""How often a row may be taken: more is a slip, and would be read for days."""


def _known_type(_: object, field: attrs.Attribute[Any], value: str) -> None:
    if value and value not in formats.load():
        known = sorted(formats.load())
        message = f"expected one of {', '.join(map(show, known))}; got {show(value)}"
        raise FieldError(field.name, f"{message}\n{suggestion(value, known)}")


def _named(_: object, field: attrs.Attribute[Any], value: str | tuple[str, ...]) -> None:
    """Refuse a path that is empty, which would mean all files around the recipe."""
    not_empty(None, field, value)
    if not all(value):
        raise FieldError(field.name, 'expected a path in each entry, got ""')


def _asks(_: object, field: attrs.Attribute[Any], value: str) -> None:
    if value and "{instruction}" not in value:
        raise FieldError(field.name, f"expected a text with {{instruction}} in it, got {show(value)}")


def _slices(_: object, field: attrs.Attribute[Any], value: str) -> None:
    if value:
        try:
            splits.parse(value)
        except ValueError as error:
            raise FieldError(field.name, str(error)) from None


def _share_or_count(_: object, field: attrs.Attribute[Any], value: float | None) -> None:
    if value is not None and (value <= 0 or (isinstance(value, float) and value >= 1)):
        raise FieldError(field.name, f"expected a number of rows, or a share between 0 and 1, got {show(value)}")


def _times(_: object, field: attrs.Attribute[Any], value: float) -> None:
    if not 0 < value <= MOST_TIMES:
        raise FieldError(field.name, f"expected a number above 0, at most {MOST_TIMES}, got {show(value)}")


def _texts(_: object, field: attrs.Attribute[Any], value: Mapping[str, Plain]) -> None:
    for name, one in value.items():
        if not isinstance(one, str):
            raise FieldError(field.name, f"expected a field's name for {name}, got {show(one)}")


def _lists(_: object, field: attrs.Attribute[Any], value: Mapping[str, Plain]) -> None:
    for name, one in value.items():
        if not isinstance(one, list) or not all(isinstance(role, str) for role in one):
            raise FieldError(field.name, f"expected a list of names for {name}, got {show(one)}")
    names = [role for one in value.values() for role in cast("list[str]", one)]
    if twice := [role for role in names if names.count(role) > 1]:
        raise FieldError(field.name, f"expected each name once, got {show(twice[0])} for several roles")


@frozen
class Filter:
    """One condition that rows must meet to be taken."""

    field: str = setting(effect=Effect.REBUILD, why=_TAKEN, validator=not_empty)
    """The field to look at; a dot leads into a table: `meta.score`."""
    operator: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in", "contains", "min_length", "max_length"] = (
        setting(effect=Effect.REBUILD, why=_TAKEN)
    )
    value: str | int | float | bool | tuple[str, ...] | tuple[float, ...] = setting(effect=Effect.REBUILD, why=_TAKEN)
    """What to compare with; for the lengths a number of characters, of all texts in the field together."""


@frozen
class Dataset:
    """The fields of a dataset."""

    source: str | tuple[str, ...] = setting(
        effect=Effect.METADATA, why="the bytes decide, not where they lie", validator=_named
    )
    """A file, glob or folder relative to the recipe, a list of these, a hub id, or s3:// and other addresses."""
    type: str = setting("", effect=Effect.REBUILD, why=_READ, validator=_known_type)
    """How rows are written; left out, it is told from the first rows."""
    revision: str = setting("", effect=Effect.METADATA, why="the commit that it leads to decides")
    """For a hub id: a commit, or a branch or tag, which is resolved once and then stays."""
    name: str = setting("", effect=Effect.REBUILD, why=_TAKEN)
    """For a hub id or a folder laid out like one: the configuration."""
    split: str = setting("", effect=Effect.REBUILD, why=_TAKEN, validator=_slices)
    """`train`, `train[:10%]`, `train+test`; left out: all files, or `train` for a hub id."""
    field_messages: str = setting("messages", effect=Effect.REBUILD, why=_READ)
    """The field that holds the messages."""
    message_property_mappings: dict[str, Plain] = setting(
        Factory(dict), effect=Effect.REBUILD, why=_READ, validator=_texts
    )
    """Names of a message's properties in the data: `{role = "from", content = "value"}`."""
    roles: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why=_READ, validator=_lists)
    """Names of roles in the data: `{assistant = ["bot"]}`."""
    message_field_training: str = setting("", effect=Effect.REBUILD, why=_READ)
    """The property that says whether a message is trained; left out: `train`, `training`, `loss` or `weight`."""
    field_system: str = setting("system", effect=Effect.REBUILD, why=_READ)
    """The field with a system prompt, used where the messages bring none."""
    field_tools: str = setting("tools", effect=Effect.REBUILD, why=_READ)
    """The field with the tools that may be called."""
    field_instruction: str = setting("instruction", effect=Effect.REBUILD, why=_READ)
    field_input: str = setting("input", effect=Effect.REBUILD, why=_READ)
    field_output: str = setting("output", effect=Effect.REBUILD, why=_READ)
    system_prompt: str = setting("", effect=Effect.REBUILD, why=_READ)
    """For alpaca: what stands above the instruction, where the row brings no system prompt."""
    prompt_style: Literal["instruct", "chat_template"] = setting("instruct", effect=Effect.REBUILD, why=_READ)
    """For alpaca: a text of its own, or the model's chat template."""
    format: str = setting("", effect=Effect.REBUILD, why=_READ, validator=_asks)
    """For alpaca: the text before the answer, with {system}, {instruction} and {input}."""
    no_input_format: str = setting("", effect=Effect.REBUILD, why=_READ, validator=_asks)
    """For alpaca: the same, for rows without an input."""
    field: str = setting("text", effect=Effect.REBUILD, why=_READ)
    """For completion and pretrain: the field that holds the text."""
    field_prompt: str = setting("", effect=Effect.REBUILD, why=_READ)
    """For preference, kto and prompt; left out: `prompt`, `question`, `instruction` or `input`."""
    field_chosen: str = setting("", effect=Effect.REBUILD, why=_READ)
    """For preference; left out: `chosen` or `chosen_response`."""
    field_rejected: str = setting("", effect=Effect.REBUILD, why=_READ)
    """For preference; left out: `rejected` or `rejected_response`."""
    filters: tuple[Filter, ...] = setting((), effect=Effect.REBUILD, why=_TAKEN)
    """Conditions that all must hold."""
    deduplicate: bool = setting(default=False, effect=Effect.REBUILD, why=_TAKEN)
    """Take only the first of rows that say the same."""
    sample: int | float | None = setting(None, effect=Effect.REBUILD, why=_TAKEN, validator=_share_or_count)
    """So many rows, or a share of them."""
    weight: float = setting(1.0, effect=Effect.REBUILD, why=_TAKEN, validator=_times)
    """How often each row is seen in an epoch: 2.0 doubles this dataset's share, 0.5 takes half of the rows."""
    shuffle: bool = setting(default=False, effect=Effect.REBUILD, why="rows come in another order")
    seed: int = setting(42, effect=Effect.REBUILD, why="other rows are drawn", validator=not_negative)
    """For `sample`, `weight` and `shuffle`."""
    allow_control_tokens: bool = setting(default=False, effect=Effect.REBUILD, why=_READ)
    """For chats: whether messages may spell out control tokens of the tokenizer, which end turns and begin others."""
    on_bad_row: Literal["error", "skip"] = setting(
        "error", effect=Effect.METADATA, why="the rows that can be read stay the same"
    )
    description: str = setting("", effect=Effect.METADATA, why="it is a note")
    tags: tuple[str, ...] = setting((), effect=Effect.METADATA, why="they are notes", validator=tags)
    """What to find it by, with `tune state list --tag`; a model's card and a bill of materials have them, too."""


def dataset_of(settings: Mapping[str, Plain]) -> Dataset:
    """A dataset from its settings, as plans and state hold them."""
    dataset: Dataset = structure(settings, Dataset)
    return dataset


def as_they_lie(dataset: Dataset) -> Dataset:
    """The dataset with all rows of its splits, in their order."""
    return attrs.evolve(dataset, shuffle=False, sample=None, weight=1.0, filters=(), deduplicate=False)


@cache
def reading_fields() -> tuple[str, ...]:
    """The fields that say how rows are read, whatever their type."""
    return tuple(
        one.name for one in attrs.fields(Dataset) if one.metadata["setting"].why == _READ and one.name != "type"
    )
