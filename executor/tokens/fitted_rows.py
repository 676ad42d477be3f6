"""Encoded rows within the length limit, with how they are written and what is counted of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from executor.tokens import answer_rows, length_limit
from executor.tokens.answer_files import AnswerRows
from executor.tokens.answer_sizes import AnswerSizes, answer_sizes
from executor.tokens.document_files import DocumentRows
from executor.tokens.documents import Question
from executor.tokens.length_limit import Fitted
from executor.tokens.row_layout import RowLayout
from executor.tokens.token_documents import Documents, selected
from executor.tokens.token_group import RowSizes
from state.canonical import Plain
from state.values import frozen


@frozen
class FittedDocuments:
    """Rows that are trained by themselves."""

    lengths: Sequence[int]
    """Tokens of all rows before any limit."""
    fitted: Fitted
    form: DocumentRows
    held_back_form: DocumentRows

    def statistics(self, files: Sequence[Path], places: Sequence[int]) -> dict[str, Plain]:
        """Counts over the rows to train on, which were written to files."""
        import numpy as np

        documents, written = self.fitted.documents, [RowSizes.of(one) for one in files]
        lengths, trained = (np.asarray(one)[selected(places)] for one in (documents.lengths, documents.trained))
        return {
            "rows": sum(one.count for one in written),
            "documents": len(places),
            "tokens": int(lengths.sum(dtype="q")),
            "trained_tokens": int(trained.sum(dtype="q")),
            "longest": max(one.longest for one in written),
        }


@frozen
class FittedAnswers:
    """Rows that are compared, judged or asked."""

    lengths: Sequence[int]
    """Tokens of the longest sequence of all rows before any limit."""
    fitted: Fitted
    form: AnswerRows
    sizes: AnswerSizes
    """Of the rows within the limit, before they are cut."""

    @property
    def held_back_form(self) -> AnswerRows:
        """The same."""
        return self.form

    def statistics(self, _: Sequence[Path], places: Sequence[int]) -> dict[str, Plain]:
        """Counts over the rows to train on."""
        cut = self.sizes.at(selected(places)).within(self.form.limit)
        return {
            "rows": len(places),
            "documents": len(places),
            "tokens": int(cut.read.sum(dtype="q")),
            "trained_tokens": int(cut.answered.sum(dtype="q")),
            "longest": max(cut.lengths),
        }


FittedRows: TypeAlias = FittedDocuments | FittedAnswers


def fitted_rows(
    documents: Documents,
    questions: Sequence[Question],
    layout: RowLayout,
    limit: int,
    strategy: str,
    *,
    packed: bool,
) -> FittedRows:
    """Rows within a limit, by their layout."""
    import numpy as np

    if layout in ("documents", "steps"):
        fitted = length_limit.fit(documents, limit, strategy)
        return FittedDocuments(documents.lengths, fitted, DocumentRows(limit if packed else None), DocumentRows(None))
    sizes = answer_sizes(documents, np.arange(len(documents.lengths)))
    fitted, kept = answer_rows.fit(documents, sizes, limit, strategy)
    form = AnswerRows(layout, limit, [questions[at] for at in kept] if questions else ())
    return FittedAnswers(sizes.lengths, fitted, form, sizes.at(selected(kept)))
