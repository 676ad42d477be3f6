"""What rows teach: how long each is, how much of it is trained, and what a length limit or an evaluation set undoes."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import xxhash
from attrs import field

from executor.data.examples import IGNORED
from executor.tokens.encoding import Encoded
from executor.tokens.row_layout import RowLayout, positions, sequence_length
from state.diagnostic import Diagnostic, Place, Severity
from state.values import frozen


@frozen
class RowSummary:
    """One row as the model sees it, in numbers."""

    place: Place
    tokens: int
    trained: int
    trained_kept: int
    """Trained tokens within the length limit."""
    identity: str
    """The digest of its tokens, by which equal rows are known."""
    length: int = field()
    """Tokens of the longest sequence that the model reads of it: all, unless there are several answers to a prompt."""

    @length.default
    def _all(self) -> int:
        return self.tokens

    @property
    def loses_answers(self) -> bool:
        """Whether cutting the row to the limit cuts an answer: some trained tokens of a row that is not one text."""
        return 0 < self.trained_kept < self.trained < self.tokens

    @property
    def trains_nothing(self) -> bool:
        """Whether no trained token is left within the limit."""
        return self.trained_kept == 0


def summarise(place: Place, encoded: Encoded, limit: int, layout: RowLayout = "documents") -> RowSummary:
    """The numbers of one row, cut to `limit` tokens or not."""
    labels = encoded.labels
    trained = len(labels) - labels.count(IGNORED)
    length = sequence_length(labels, layout)
    kept = trained
    if length > limit:
        pairs = zip(labels, positions(labels, layout), strict=True)
        kept = sum(1 for label, at in pairs if label != IGNORED and at < limit)
    identity = xxhash.xxh3_128_hexdigest(array("i", encoded.ids).tobytes())
    return RowSummary(place, len(encoded.ids), trained, kept, identity, length)


def supervision(rows: Sequence[RowSummary], limit: int, *, complete: bool = True) -> tuple[Diagnostic, ...]:
    """Warnings about rows that are cut to a length limit: answers without their end, and rows that teach nothing.

    `complete` says whether these are all rows.
    """
    found = []
    lost = [row for row in rows if row.loses_answers]
    if lost:
        share = _share(lost, rows, complete=complete)
        detail = f"{share} lose the end of an answer at `sequence_len` = {limit}, first {lost[0].place}."
        hint = "A model learns from them to stop nowhere: raise `sequence_len`, or drop long rows."
        found.append(Diagnostic("Truncated answers", detail, hint, lost[0].place, Severity.WARNING))
    empty = [row for row in rows if row.trains_nothing]
    if empty:
        share = _share(empty, rows, complete=complete)
        detail = f"{share} have no trained token within `sequence_len` = {limit}, first {empty[0].place}."
        hint = "They are left out: raise `sequence_len`, or shorten what stands before their answers."
        found.append(Diagnostic("Untrained rows", detail, hint, empty[0].place, Severity.WARNING))
    return tuple(found)


def dropped(rows: Sequence[RowSummary], limit: int, *, complete: bool = True) -> tuple[Diagnostic, ...]:
    """A warning that rows over a length limit are left out, as the recipe asks for; none if there are none."""
    long = [row for row in rows if row.length > limit]
    if not long:
        return ()
    share = _share(long, rows, complete=complete)
    detail = f"{share} are longer than `sequence_len` = {limit} and left out, first {long[0].place}."
    return (Diagnostic("Dropped rows", detail, "Raise `sequence_len` to keep them.", long[0].place, Severity.WARNING),)


def overlap(
    training: Sequence[RowSummary], evaluation: Sequence[RowSummary], *, complete: bool = True
) -> tuple[Diagnostic, ...]:
    """A warning if rows that are evaluated on are trained on too, token for token."""
    seen: Mapping[str, Place] = {row.identity: row.place for row in reversed(training)}
    shared = [row for row in evaluation if row.identity in seen]
    if not shared:
        return ()
    first = shared[0]
    share = _share(shared, evaluation, complete=complete)
    detail = f"{share} to evaluate on are trained on too: {first.place} is {seen[first.identity]}."
    hint = "Metrics on them say nothing of new questions: remove them from one of the two."
    return (Diagnostic("Overlapping rows", detail, hint, first.place, Severity.WARNING),)


def _share(some: Sequence[RowSummary], rows: Sequence[RowSummary], *, complete: bool) -> str:
    return f"{len(some)} of {'' if complete else 'the first '}{len(rows)} rows"
