"""Files of documents: each in a row of its own, or several packed into one."""

from __future__ import annotations

from pathlib import Path

from executor.tokens.packing import RULE, alone, pack
from executor.tokens.token_group import TokenGroup
from state.values import frozen


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
