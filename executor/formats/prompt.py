"""`prompt`: what is asked in reinforcement learning; the row's other columns go to the reward functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.answers import CHOSEN, PROMPTS, REJECTED, asked_in, prompt
from executor.data.chat_messages import ASSISTANT, RowError
from executor.data.examples import Example, Prompt
from executor.data.format import Format, Values
from executor.data.message_fields import tools
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

_ANSWERED = (
    *CHOSEN, *REJECTED, "completion", "completions", "output", "response", "segments", "input_ids", "messages",
    "conversations", "conversation",
)  # fmt: skip


def example(values: Values, dataset: Dataset) -> Example:
    """The prompt of a row."""
    asked = prompt(values, dataset)
    if asked is None:
        reason = f"has nothing in the field `{dataset.field_prompt or PROMPTS[0]}`"
        raise RowError(reason)
    if not isinstance(asked, str) and asked[-1]["role"] == ASSISTANT:
        reason = "has a prompt that ends with an answer already; only what comes before it is to be asked"
        raise RowError(reason)
    taken = (
        asked_in(values, dataset),
        dataset.field_system,
        dataset.field_tools,
    )
    columns = {name: value for name, value in values.items() if name not in taken}
    return Prompt(asked, columns, tools(values, dataset.field_tools))


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    asked = values.get("prompt") is not None
    return {} if asked and not any(values.get(name) is not None for name in _ANSWERED) else None


FORMAT = Format(
    name="prompt",
    example=example,
    recognises=_recognises,
    yields=(Prompt,),
    fields=(
        "field_prompt", "field_messages", "message_property_mappings", "roles", "field_system", "field_tools",
    ),
    renders=lambda _: True,
)  # fmt: skip
