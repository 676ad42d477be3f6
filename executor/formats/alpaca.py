"""`alpaca`: an instruction, perhaps an input, and an output; written out as Stanford Alpaca's prompt or as a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.chat_messages import ASSISTANT, RowError
from executor.data.examples import Conversation, Example, Segments
from executor.data.format import Format, Values
from executor.data.message_fields import with_system
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

_TASK = "Below is an instruction that describes a task"
SYSTEM_WITH_INPUT = (
    f"{_TASK}, paired with an input that provides further context. "
    "Write a response that appropriately completes the request."
)
SYSTEM = f"{_TASK}. Write a response that appropriately completes the request."
WITH_INPUT = "{system}\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
WITHOUT_INPUT = "{system}\n\n### Instruction:\n{instruction}\n\n### Response:\n"
"""The prompts of Stanford Alpaca (`train.py`, PROMPT_DICT), with the line end that Axolotl puts before the answer."""


def example(values: Values, dataset: Dataset) -> Example:
    """A prompt that is not trained and an answer that is; or the same as a chat."""
    instruction = _text(values, dataset.field_instruction)
    given = _text(values, dataset.field_input, required=False)
    output = _text(values, dataset.field_output)
    own = _text(values, dataset.field_system, required=False) or dataset.system_prompt
    if dataset.prompt_style == "chat_template":
        asked = f"{instruction}\n{given}" if given else instruction
        chat = ({"role": "user", "content": asked}, {"role": ASSISTANT, "content": output})
        return Conversation(with_system(chat, own))
    pattern = (dataset.format or WITH_INPUT) if given else dataset.no_input_format or dataset.format or WITHOUT_INPUT
    for name, text in (("system", own), ("input", given)):
        if text and f"{{{name}}}" not in pattern:
            reason = f"has a text for {{{name}}}, which the format of the recipe leaves out"
            raise RowError(reason)
    system = own or (SYSTEM_WITH_INPUT if given else SYSTEM)
    prompt = _prompt(pattern, {"system": system, "instruction": instruction, "input": given})
    return Segments(((prompt, False), (output, True)), ended=True)


def _prompt(pattern: str, parts: Mapping[str, str]) -> str:
    """The text before the answer; what the data says is never read as a pattern itself."""
    pieces = pattern.split("{")
    text = pieces[0]
    for piece in pieces[1:]:
        name, closed, rest = piece.partition("}")
        text += parts[name] + rest if closed and name in parts else "{" + piece
    return text


def _text(values: Values, field: str, *, required: bool = True) -> str:
    value = values.get(field)
    if isinstance(value, str) and (value or not required):
        return value
    if required or value is not None:
        reason = f"has no text in the field `{field}`"
        raise RowError(reason)
    return ""


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    asked = isinstance(values.get("instruction"), str)
    field = next((name for name in ("output", "response", "completion") if isinstance(values.get(name), str)), None)
    if not asked or not field or "label" in values:
        return None
    context = "input" not in values and isinstance(values.get("context", 0), str | None)  # as databricks-dolly has it
    return {"field_output": field, **({"field_input": "context"} if context else {})}


FORMAT = Format(
    name="alpaca",
    example=example,
    recognises=_recognises,
    yields=(Segments, Conversation),
    fields=(
        "field_instruction", "field_input", "field_output", "field_system", "system_prompt", "prompt_style", "format",
        "no_input_format", "allow_control_tokens",
    ),
    renders=lambda dataset: dataset.prompt_style == "chat_template",
)  # fmt: skip
