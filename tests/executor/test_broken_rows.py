"""What is said of broken rows stays short, and no file's hide behind another's."""

from __future__ import annotations

from executor.data.broken_rows import BrokenRows
from executor.data.rows import BrokenRow
from state.diagnostic import Place


def told(**counts: int) -> list[str]:
    """What is said where files have so many broken rows, on every odd line."""
    places = (Place(f"{name}.jsonl", 2 * at + 1) for name, count in counts.items() for at in range(count))
    found = BrokenRows.of(BrokenRow(place, "is odd") for place in places)
    assert len(found) == sum(counts.values())
    return [f"{one.place}: {one.detail}" for one in found.diagnostics()]


def test_few_are_told_one_by_one() -> None:
    assert told(a=2, b=1) == [
        "a.jsonl:1: This row is odd.",
        "a.jsonl:3: This row is odd.",
        "b.jsonl:1: This row is odd.",
    ]
    assert told() == []


def test_every_file_tells_its_first_and_how_many_more_it_has() -> None:
    assert told(a=100_000, b=1, c=17) == [
        *(f"a.jsonl:{2 * at + 1}: This row is odd." for at in range(10)),
        "a.jsonl:21: 99,990 more rows are broken.",
        "b.jsonl:1: This row is odd.",
        *(f"c.jsonl:{2 * at + 1}: This row is odd." for at in range(9)),
        "c.jsonl:19: 8 more rows are broken.",
    ]
    assert told(a=21) == [
        *(f"a.jsonl:{2 * at + 1}: This row is odd." for at in range(20)),
        "a.jsonl:41: 1 more row is broken.",
    ]


def test_of_many_files_some_are_only_counted() -> None:
    many = {f"f{number}": 3 for number in range(500)}
    assert told(**many) == [
        *(
            line
            for number in range(20)
            for line in (f"f{number}.jsonl:1: This row is odd.", f"f{number}.jsonl:3: 2 more rows are broken.")
        ),
        "f20.jsonl: 1,440 more rows are broken in 480 more files.",
    ]
