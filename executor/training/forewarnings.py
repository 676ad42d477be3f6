"""What a run says before its first step: where it is otherwise than its recipe may lead one to think."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from executor.tokens.row_layout import RowLayout

if TYPE_CHECKING:
    from executor.training.training_run import Run


def forewarnings(layout: RowLayout, run: Run) -> Iterator[str]:
    """In sentences; of prompts, no part of a step is trained, so that an epoch leaves some of them out."""
    rows, batch, processes = run.row_count, int(run.settings["batch_size"]), run.task.world.size
    if layout != "prompts" and rows < batch:
        yield f"warning: there are only {rows} rows, and no more in an optimizer step of `batch_size` = {batch}"
    if layout not in ("prompts", "documents") and run.lacking_rows:
        yield f"{run.lacking_rows} rows are seen twice in each epoch, so that all {processes} processes get as many"
    planned = run.schedule()
    if planned.warmup_steps >= planned.total_steps:
        yield (
            f"warning: the warm-up takes {planned.warmup_steps} steps and the run {planned.total_steps}: "
            "`learning_rate` is never reached"
        )
