"""`kto`: one answer to a prompt, with a `label` that says whether it is a good one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.answers import COMPLETIONS, PROMPTS, alike, answer, field_of, prompt
from executor.data.chat_messages import RowError
from executor.data.examples import Example, Judged
from executor.data.flags import flag
from executor.data.format import Format, Values
from executor.data.message_fields import tools
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset


def example(values: Values, dataset: Dataset) -> Example:
    """The judged answer of a row."""
    asked = prompt(values, dataset)
    if asked is None:
        reason = f"has nothing in the field `{dataset.field_prompt or PROMPTS[0]}`"
        raise RowError(reason)
    label = flag(values.get("label"))
    if label is None:
        reason = "has neither true nor false in the field `label`"
        raise RowError(reason)
    asked, completion = alike(asked, answer(values, "", COMPLETIONS, dataset))
    return Judged(asked, completion, label, tools(values, dataset.field_tools))


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    told = field_of(values, "", PROMPTS) and field_of(values, "", COMPLETIONS) and flag(values.get("label")) is not None
    return {} if told else None


FORMAT = Format(
    name="kto",
    example=example,
    recognises=_recognises,
    yields=(Judged,),
    fields=(
        "field_prompt", "field_messages", "message_property_mappings", "roles", "field_system", "field_tools",
    ),
    renders=lambda _: True,
)  # fmt: skip
