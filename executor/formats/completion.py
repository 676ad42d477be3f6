"""`completion`: a text that is trained whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.chat_messages import RowError
from executor.data.examples import Example, Text
from executor.data.format import Format, Values
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

_OF_OTHERS = (
    "messages", "conversations", "conversation", "prompt", "completion", "chosen", "rejected", "instruction", "output",
    "segments", "input_ids",
)  # fmt: skip
_OF_MESSAGES = ("role", "from")


def example(values: Values, dataset: Dataset) -> Example:
    """The text of a row."""
    text = values.get(dataset.field)
    if not isinstance(text, str) or not text:
        reason = f"has no text in the field `{dataset.field}`"
        raise RowError(reason)
    return Text(text)


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    """Rows of other formats often bring their text as well, and so do messages that should be in a list."""
    if any(values.get(name) is not None for name in (*_OF_OTHERS, *_OF_MESSAGES)):
        return None
    field = next((name for name in ("text", "content") if isinstance(values.get(name), str)), None)
    return {"field": field} if field else None


FORMAT = Format(name="completion", example=example, recognises=_recognises, yields=(Text,), fields=("field",))
