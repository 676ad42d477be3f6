"""`stepwise`: a prompt, the steps of a solution, and for each whether it is right (TRL's stepwise supervision)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.chat_messages import RowError
from executor.data.embedded_json import from_text
from executor.data.examples import Example, Steps
from executor.data.flags import flag
from executor.data.format import Format, Values
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset


def example(values: Values, dataset: Dataset) -> Example:
    """The steps of a row."""
    field = dataset.field_prompt or "prompt"
    prompt, completions, labels = values.get(field), *(from_text(values.get(one)) for one in ("completions", "labels"))
    if not isinstance(prompt, str) or not prompt:
        reason = f"has no text in the field `{field}`"
        raise RowError(reason)
    if not isinstance(completions, list) or not completions or not all(isinstance(one, str) for one in completions):
        reason = "has no list of texts in the field `completions`"
        raise RowError(reason)
    judged = [flag(one) for one in labels] if isinstance(labels, list) else []
    known = tuple(one for one in judged if one is not None)
    if not isinstance(labels, list) or len(known) < len(labels):
        reason = "has no list of true and false in the field `labels`"
        raise RowError(reason)
    if len(known) != len(completions):
        reason = f"has {len(completions)} completions and {len(known)} labels"
        raise RowError(reason)
    return Steps(prompt, tuple(completions), known)


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    lists = (from_text(values.get(name)) for name in ("completions", "labels"))
    return {} if isinstance(values.get("prompt"), str) and all(isinstance(one, list) for one in lists) else None


FORMAT = Format(name="stepwise", example=example, recognises=_recognises, yields=(Steps,), fields=("field_prompt",))
