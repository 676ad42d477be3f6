"""Files of documents: each in a row of its own, or several packed into one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from executor.tokens.packing import RULE, alone, pack
from executor.tokens.token_group import TokenGroup
from state.values import frozen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@frozen
class DocumentRows:
    """As many documents in a row as its capacity allows, or each in one of its own."""

    capacity: int | None

    def rule(self, group: TokenGroup) -> str:  # noqa: ARG002  other rows are more than their documents
        """Which documents share a row, and so what rows they become."""
        return "alone" if self.capacity is None else f"{RULE} {self.capacity}"

    def write(self, group: TokenGroup, path: Path) -> None:
        """Write a group."""
        lengths = group.lengths
        group.write(path, alone(range(len(lengths))) if self.capacity is None else pack(lengths, self.capacity))


def row_lengths(path: Path) -> NDArray[np.int32]:
    """Tokens of each row of a file, of which no more is read."""
    import numpy as np
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        columns = [batch.column("input_ids") for batch in pa.ipc.open_stream(source)]
        # By its buffer: Arrow's own way to numpy imports pandas where that is installed.
        return np.concatenate([np.diff(np.frombuffer(one.buffers()[1], np.int32, len(one) + 1)) for one in columns])
