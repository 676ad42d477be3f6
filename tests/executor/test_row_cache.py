"""What the cache of encoded rows finds again, and what it believes of its file."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.tokens import file_seal, row_cache, row_index
from executor.tokens.row_cache import Block, KnownLines
from executor.tokens.row_index import UNKNOWN, RowIndex

np = pytest.importorskip("numpy")

KEYS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=8)
"""Keys of which many have the same first half."""


@given(st.lists(KEYS, max_size=12), st.integers(1, 12))
def test_an_index_finds_what_a_dictionary_finds_unless_first_halves_are_equal(
    groups: list[list[tuple[int, int]]], largest: int
) -> None:
    index, expected, number = RowIndex(), dict[tuple[int, int], set[int]](), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_index, "_LARGEST_RUN", largest)
        for group in groups:
            index.add(np.array(group, np.uint64), number)
            for key in group:
                expected.setdefault(key, set()).add(number)
                number += 1
    wanted = [(first, second) for first in range(6) for second in range(3)]
    for key, found in zip(wanted, index.find(np.array(wanted, np.uint64)).tolist(), strict=True):
        alone = all(other == key for other in expected if other[0] == key[0])
        assert found in expected.get(key, {UNKNOWN}) or (found == UNKNOWN and not alone)


def fill(path: Path) -> None:
    with row_cache.opened(path) as cache:
        keys = np.arange(6, dtype=np.uint64).reshape(3, 2)
        cache.add(Block(keys, array("i", [1, 2, 1]), array("i", [1, 0, 1]), array("i", range(8)).tobytes()))
        cache.add_lines(b"k" * 16, KnownLines(array("Q", [7, 8]), array("I", [2, 0]), array("I", [0, 3]), 5))
        cache.add(Block(keys + np.uint64(9), array("i", [1, 1, 1]), array("i", [1, 1, 1]), bytes(24)))


@pytest.mark.parametrize("sealed", [True, False])
def test_a_cache_that_is_opened_again_knows_its_rows_and_lines(tmp_path: Path, *, sealed: bool) -> None:
    path = tmp_path / "rows"
    fill(path)
    if not sealed:
        (tmp_path / "rows.seal").unlink()
    with row_cache.opened(path) as cache:
        assert cache.find(np.array([[4, 5], [13, 14], [1, 0]], np.uint64)).tolist() == [2, 5, UNKNOWN]
        assert cache.lines(b"k" * 16) == KnownLines(array("Q", [7, 8]), array("I", [2, 0]), array("I", [0, 3]), 5)
        assert cache.lines(b"l" * 16) is None
        documents = cache.documents([1, 0], cache.content())
        assert [documents.ids(at).tolist() for at in (0, 1)] == [[2, 3], [0]]
        assert [documents.labels(at).tolist() for at in (0, 1)] == [[4, 5], [1]]
        assert documents.trained.tolist() == [0, 1]


def test_a_seal_holds_until_anything_writes_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    fill(path)
    assert file_seal.holds(path)
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content[:1])
    assert not file_seal.holds(path)
    file_seal.put(path)
    assert file_seal.holds(path)
    (tmp_path / "other").write_bytes(content)
    (tmp_path / "other").replace(path)
    assert not file_seal.holds(path)
    (tmp_path / "rows.seal").write_bytes(b"\xff")
    assert not file_seal.holds(path)
