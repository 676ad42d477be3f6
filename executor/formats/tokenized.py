"""`tokenized`: token ids that somebody else made, with labels or masks, as TRL and Axolotl store them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from executor.data.chat_messages import RowError
from executor.data.embedded_json import from_text
from executor.data.examples import IGNORED, Example, Tokenized
from executor.data.format import Format, Values
from state.canonical import Plain

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset

_MASKS = ("assistant_masks", "completion_mask")
_MOST = 2**31
"""Ids are stored in 32 bits."""


def example(values: Values, _: Dataset) -> Example:
    """The tokens of a row without its padding; where neither labels nor masks are given, all are trained."""
    ids = _numbers(values, "input_ids")
    if not ids or not all(0 <= one < _MOST for one in ids):
        reason = "has no list of token ids in the field `input_ids`"
        raise RowError(reason)
    labels = _labels(values, ids)
    if any(label not in (IGNORED, token) for token, label in zip(ids, labels, strict=True)):
        reason = f"has a label that is neither {IGNORED} nor the token's own id"
        raise RowError(reason)
    present = _as_long(values, "attention_mask", ids) if values.get("attention_mask") is not None else [1] * len(ids)
    kept = [(token, label) for token, label, here in zip(ids, labels, present, strict=True) if here]
    if all(label == IGNORED for _, label in kept):
        reason = f"yields no trained token: every label is {IGNORED}"
        raise RowError(reason)
    return Tokenized(tuple(token for token, _ in kept), tuple(label for _, label in kept))


def _labels(values: Values, ids: Sequence[int]) -> Sequence[int]:
    if values.get("labels") is not None:
        return _as_long(values, "labels", ids)
    masks = [_as_long(values, name, ids) for name in _MASKS if values.get(name) is not None]
    return [token if all(marks) else IGNORED for token, *marks in zip(ids, *masks, strict=True)]


def _as_long(values: Values, field: str, ids: Sequence[int]) -> list[int]:
    found = _numbers(values, field)
    if len(found) != len(ids):
        reason = f"has {len(ids)} token ids and {len(found)} numbers in the field `{field}`"
        raise RowError(reason)
    return found


def _numbers(values: Values, field: str) -> list[int]:
    given = from_text(values.get(field))
    if not isinstance(given, list) or not all(type(one) is int for one in given):
        reason = f"has no list of whole numbers in the field `{field}`"
        raise RowError(reason)
    return given


def _recognises(values: Values) -> Mapping[str, Plain] | None:
    return {} if isinstance(from_text(values.get("input_ids")), list) else None


FORMAT = Format(name="tokenized", example=example, recognises=_recognises, yields=(Tokenized,))
