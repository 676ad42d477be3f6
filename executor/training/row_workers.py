"""Processes that make batches beside a training: they end with it, and not by what asks the training to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Any

from state.values import frozen


@frozen
class Unstopped:
    """Makes batches as another collator does; a process that is there for nothing else ignores SIGTERM from then on.

    Clusters may send it to every process. torch lets it end a worker, which is then an error of the training.
    """

    collate: Callable[[Sequence[Any]], Any]

    def __call__(self, rows: Sequence[Any]) -> Any:  # noqa: ANN401  what the collator makes
        """One batch."""
        from torch.utils.data import get_worker_info

        if get_worker_info() is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return self.collate(rows)
