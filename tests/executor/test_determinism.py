"""`deterministic`: one result on one type of machine, recorded as such, and refused where it cannot be had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from executor.training import determinism
from executor.workers import worker
from tests.executor.test_training import BASIC, Laboratory, _keep_handler, laboratory, run

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]
__all__ = ["_keep_handler", "laboratory"]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the product the process ends with the training."""
    import torch

    for name in determinism.ENVIRONMENT:
        monkeypatch.setenv(name, "")
    filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    yield
    torch.use_deterministic_algorithms(mode=False)
    torch.utils.deterministic.fill_uninitialized_memory = filling  # type: ignore[attr-defined]


def test_a_deterministic_run_is_the_same_training_and_says_what_it_is(laboratory: Laboratory) -> None:
    import torch

    made = run(laboratory.task(evolve(BASIC, deterministic=True)))
    assert torch.are_deterministic_algorithms_enabled()
    assert made.outcome.facts["deterministic"] is True
    assert laboratory.straight("full").outcome.facts["deterministic"] is False
    assert made.outcome.hardware.startswith("cpu (")
    assert made.weights == laboratory.straight("full").weights


def test_an_operation_that_has_no_deterministic_form_is_named() -> None:
    import torch

    determinism.enforce()
    with pytest.raises(RuntimeError) as error:
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
    found = worker._explain(error.value)
    assert found.summary == "Not deterministic"
    assert found.detail == "RuntimeError: put_ does not have a deterministic implementation."
