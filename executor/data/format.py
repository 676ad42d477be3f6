"""The contract of a dataset format: how rows of one `type` are recognised and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from state.canonical import Plain
from state.values import frozen

if TYPE_CHECKING:
    from executor.data.dataset_fields import Dataset
    from executor.data.examples import Example

Values: TypeAlias = Mapping[str, Plain]
"""What a row says, by field."""


@frozen
class Format:
    """A way to write rows. One module in `executor/formats/` defines one, as `FORMAT`."""

    name: str
    """The value of `type` in a recipe."""
    example: Callable[[Values, Dataset], Example]
    """Reads a row; raises chat_messages.RowError with the end of a sentence that starts with "This row"."""
    recognises: Callable[[Values], Mapping[str, Plain] | None]
    """The settings, beside `type`, with which a row can be read; None for a row that is written in another way."""
    yields: tuple[type, ...]
    """What examples rows may become; methods say from which they learn."""
    fields: tuple[str, ...] = ()
    """The dataset's fields that decide how rows are read; the first one, if there is a main one, names it."""
    renders: Callable[[Dataset], bool] = lambda _: False
    """Whether rows may be chats, which take a chat template to become text."""
