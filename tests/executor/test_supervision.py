"""What rows teach, and what a length limit or an evaluation set undoes."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from executor.data.examples import IGNORED
from executor.tokens.encoding import Encoded
from executor.tokens.supervision import RowSummary, overlap, summarise, supervision
from state.diagnostic import Diagnostic, Place, Severity


def row(line: int, asked: int, answered: int, limit: int = 8, *, start: int = 100) -> RowSummary:
    """A row with tokens that ask, and then tokens that answer."""
    ids = array("i", range(start, start + asked + answered))
    labels = array("i", [IGNORED] * asked) + ids[asked:]
    return summarise(Place("data.jsonl", line), Encoded(ids, labels), limit)


def test_rows_within_the_limit_are_nothing_to_warn_of() -> None:
    assert supervision([row(1, 4, 4), row(2, 0, 8)], 8) == ()


def test_answers_that_are_cut_and_rows_that_teach_nothing_are_told() -> None:
    rows = [row(1, 4, 4), row(2, 6, 3), row(3, 8, 1), row(4, 20, 5), row(5, 1, 9), row(6, 0, 9)]
    assert supervision(rows, 8) == (
        Diagnostic(
            "Truncated answers",
            "2 of 6 rows lose the end of an answer at `sequence_len` = 8, first data.jsonl:2.",
            "A model learns from them to stop nowhere: raise `sequence_len`, or drop long rows.",
            Place("data.jsonl", 2),
            Severity.WARNING,
        ),
        Diagnostic(
            "Untrained rows",
            "2 of 6 rows have no trained token within `sequence_len` = 8, first data.jsonl:3.",
            "They are left out: raise `sequence_len`, or shorten what stands before their answers.",
            Place("data.jsonl", 3),
            Severity.WARNING,
        ),
    )


def test_rows_of_the_training_set_in_an_evaluation_are_told() -> None:
    training = [row(1, 2, 2), row(2, 3, 3), row(3, 3, 3)]
    evaluation = [row(7, 3, 3), row(8, 1, 1, start=5)]
    assert overlap(training, evaluation[1:]) == ()
    assert overlap(training, evaluation) == (
        Diagnostic(
            "Overlapping rows",
            "1 of 2 rows to evaluate on are trained on too: data.jsonl:7 is data.jsonl:2.",
            "Metrics on them say nothing of new questions: remove them from one of the two.",
            Place("data.jsonl", 7),
            Severity.WARNING,
        ),
    )


@given(asked=st.integers(0, 12), answered=st.integers(0, 12), limit=st.integers(1, 12))
def test_numbers_are_those_of_the_row_and_of_its_beginning(asked: int, answered: int, limit: int) -> None:
    one = row(1, asked, answered, limit)
    assert (one.tokens, one.trained) == (asked + answered, answered)
    assert one.trained_kept == min(answered, max(0, limit - asked))
    assert one.loses_answers == (asked > 0 and 0 < one.trained_kept < answered)
    assert one.trains_nothing == (one.trained_kept == 0)
