"""`preference`: a chosen and a rejected answer, to a prompt of its own or to the beginning that both share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.answers import CHOSEN, REJECTED, alike, answer, as_messages, field_of, prompt
from executor.data.chat_messages import ASSISTANT, RowError
from executor.data.examples import Example, Preference, Turns
from executor.data.format import Format, Values
from executor.data.message_fields import tools, with_system
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset


def example(values: Values, dataset: Dataset) -> Example:
    """The pair of answers of a row, and what both answer."""
    chosen = answer(values, dataset.field_chosen, CHOSEN, dataset)
    rejected = answer(values, dataset.field_rejected, REJECTED, dataset)
    if chosen == rejected:
        reason = "has the same answer as chosen and as rejected"
        raise RowError(reason)
    asked = prompt(values, dataset)
    if asked is None or _begins_with_the_question(asked, chosen, rejected):
        asked, chosen, rejected = _shared(chosen, rejected)
        asked = asked if isinstance(asked, str) else with_system(asked, values.get(dataset.field_system))
    asked, chosen, rejected = alike(asked, chosen, rejected)
    return Preference(asked, chosen, rejected, tools(values, dataset.field_tools))


def _begins_with_the_question(asked: Turns, chosen: Turns, rejected: Turns) -> bool:
    """Whether both answers are whole conversations, which hold the prompt once more (UltraFeedback)."""
    if isinstance(chosen, str) or isinstance(rejected, str):
        return False
    question = as_messages(asked, "user")[-1]["content"]
    asking = [[one["content"] for one in chat if one["role"] != ASSISTANT] for chat in (chosen, rejected)]
    return all(question in contents for contents in asking)


def _shared(chosen: Turns, rejected: Turns) -> tuple[Turns, Turns, Turns]:
    """The beginning that both answers share, and what each has beyond it, as TRL's `extract_prompt` cuts them."""
    if isinstance(chosen, str) != isinstance(rejected, str):
        chosen, rejected = as_messages(chosen), as_messages(rejected)
    pairs = zip(chosen, rejected, strict=False)
    at = next((at for at, (one, other) in enumerate(pairs) if one != other), min(len(chosen), len(rejected)))
    if isinstance(chosen, str) and at and chosen[at - 1] == " ":
        at -= 1
    if not at:
        reason = "has no prompt: `chosen` and `rejected` share no beginning"
        raise RowError(reason)
    if at in (len(chosen), len(rejected)):
        reason = "has an empty answer: one of `chosen` and `rejected` is the beginning of the other"
        raise RowError(reason)
    return chosen[:at], chosen[at:], rejected[at:]


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    return {} if field_of(values, "", CHOSEN) and field_of(values, "", REJECTED) else None


FORMAT = Format(
    name="preference",
    example=example,
    recognises=_recognises,
    yields=(Preference,),
    fields=(
        "field_prompt", "field_chosen", "field_rejected", "field_messages", "message_property_mappings", "roles",
        "field_system", "field_tools",
    ),
    renders=lambda _: True,
)  # fmt: skip
