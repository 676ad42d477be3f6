"""A model card says where a run is no run from scratch."""

from __future__ import annotations

from executor.audit.card_sections import settings_of
from executor.audit.subject import Material
from state.record import Splice
from tests.executor.audit.conftest import record


def test_the_card_of_a_spliced_run_says_so() -> None:
    spliced = record("train", 1, {"seed": 42}, {}, splices=(Splice(100, "c", 52, 1e-4, 1.5e-4),))
    assert settings_of([Material("train.sft", spliced.output_digest, spliced)])[-1] == (
        "No run from scratch with these settings: it went on from step 100, though the learning rate of step 52 was "
        "0.0001 and would have been 0.00015."
    )
