"""`input_output`: segments of text, each with a `label` that says whether it is trained; no template adds anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from executor.data.chat_messages import RowError
from executor.data.examples import Example, Segments
from executor.data.flags import flag
from executor.data.format import Format, Values
from executor.data.message_fields import objects
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset


def example(values: Values, _: Dataset) -> Example:
    """The segments of a row; of a `prompt` and a `completion`, the second one is trained and ended."""
    if "segments" not in values and {"prompt", "completion"} <= values.keys():
        return _prompt_and_completion(values)
    segments = objects(values.get("segments"))
    if not isinstance(segments, list) or not segments:
        reason = "has no list of segments in the field `segments`"
        raise RowError(reason)
    parts = tuple(_part(segment, number) for number, segment in enumerate(segments, start=1))
    if not any(trained and text for text, trained in parts):
        reason = "yields no trained token: no segment with a text has the label true"
        raise RowError(reason)
    return Segments(parts)


def _prompt_and_completion(values: Values) -> Segments:
    prompt, completion = values["prompt"], values["completion"]
    if not isinstance(prompt, str) or not isinstance(completion, str) or not completion:
        reason = "has no texts in the fields `prompt` and `completion`"
        raise RowError(reason)
    return Segments(((prompt, False), (completion, True)), ended=True)


def _part(segment: object, number: int) -> tuple[str, bool]:
    text = segment.get("text") if isinstance(segment, Mapping) else None
    label = flag(segment.get("label")) if isinstance(segment, Mapping) else None
    if not isinstance(text, str):
        reason = f"has no `text` in segment {number}"
        raise RowError(reason)
    if label is None:
        reason = f"has neither true nor false as `label` of segment {number}"
        raise RowError(reason)
    return text, label


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    if isinstance(objects(values.get("segments")), list):
        return {}
    told = isinstance(values.get("prompt"), str) and isinstance(values.get("completion"), str)
    return {} if told and not {"label", "instruction"} & values.keys() else None


FORMAT = Format(name="input_output", example=example, recognises=_recognises, yields=(Segments,))
