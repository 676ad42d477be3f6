"""Which documents share a row: best fit, longest first, so that nearly nothing of a row is padding."""

from __future__ import annotations

from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Places of the given lengths, grouped into rows that hold at most `capacity` tokens.

    Best-fit decreasing: each document, longest first, goes to the fullest row that still has room. The rows with a
    given room are kept in a list for that room, and a bit set (one integer) tells which rooms there are, so that the
    smallest sufficient one is found by bit arithmetic. Rows stand in the order in which they were begun, and ties are
    broken by place: the same lengths, the same rows. Raises ValueError for a negative length and one over the capacity.
    """
    rows: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0
    for length in (min(lengths, default=0), max(lengths, default=0)):
        if not 0 <= length <= capacity:
            message = f"a document of {length} tokens does not fit into {capacity}"
            raise ValueError(message)
    for place in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        length = lengths[place]
        sufficient = rooms >> length
        if sufficient:
            room = length + (sufficient & -sufficient).bit_length() - 1
            row = with_room[room].pop()
            if not with_room[room]:
                rooms ^= 1 << room
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(place)
        left = room - length
        if not with_room[left]:
            rooms |= 1 << left
        with_room[left].append(row)
    return rows
