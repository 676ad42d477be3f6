"""Digests of files: of their bytes alone, and remembered only where the file system proves that nothing changed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from state.files import BUFFER_BYTES, RACY_NANOSECONDS, FileDigests, digest_file

WRONG = "0" * 32


@settings(deadline=None)
@given(st.binary())
@example(b"x" * (BUFFER_BYTES - 1))
@example(b"x" * BUFFER_BYTES)
@example(b"xy" * BUFFER_BYTES + b"z")
def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "file"
    path.write_bytes(content)
    assert digest_file(path) == xxhash.xxh3_128_hexdigest(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that were written long enough ago to be remembered."""
    folder = tmp_path_factory.mktemp("settled")
    for name in ("read", "edited", "replaced", "damaged"):
        (folder / name).write_text(name)
    time.sleep(RACY_NANOSECONDS / 1e9 + 0.1)
    return folder


def remembered_wrongly(memory: Path, path: Path) -> FileDigests:
    """Digests whose memory of a file is false, which shows whether the file is read again."""
    first = FileDigests(memory)
    assert first.digest(path) == digest_file(path)
    first.save()
    known = json.loads(memory.read_text())
    memory.write_text(json.dumps(dict.fromkeys(known, WRONG)))
    return FileDigests(memory)


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "file_digests.json"


def test_an_unchanged_file_is_not_read_again_by_a_later_command(folder: Path, memory: Path) -> None:
    assert remembered_wrongly(memory, folder / "read").digest(folder / "read") == WRONG


def test_an_edit_is_noticed_even_with_the_same_size_and_a_restored_mtime(folder: Path, memory: Path) -> None:
    path = folder / "edited"
    digests = remembered_wrongly(memory, path)
    before = path.stat()
    path.write_text("EDITED")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert digests.digest(path) == xxhash.xxh3_128_hexdigest(b"EDITED")


def test_another_file_of_the_same_name_is_noticed(folder: Path, memory: Path) -> None:
    path = folder / "replaced"
    digests = remembered_wrongly(memory, path)
    other = folder / "other"
    other.write_text("REPLACED")
    other.replace(path)
    assert digests.digest(path) == xxhash.xxh3_128_hexdigest(b"REPLACED")


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, memory: Path) -> None:
    path = tmp_path / "fresh"
    path.write_text("one")
    digests = FileDigests(memory)
    assert digests.digest(path) == xxhash.xxh3_128_hexdigest(b"one")
    digests.save()
    assert not memory.exists()


def test_a_file_dated_back_is_not_remembered_either(tmp_path: Path, memory: Path) -> None:
    path = tmp_path / "old"
    path.write_text("one")
    os.utime(path, (0, 0))
    digests = FileDigests(memory)
    digests.digest(path)
    digests.save()
    assert not memory.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b'{"a": 7}'])
def test_a_damaged_memory_is_an_empty_one(folder: Path, memory: Path, content: bytes) -> None:
    path = folder / "damaged"
    remembered_wrongly(memory, path)
    memory.write_bytes(content)
    assert FileDigests(memory).digest(path) == xxhash.xxh3_128_hexdigest(b"damaged")


def test_nothing_is_written_where_there_is_no_folder_of_ours(folder: Path, tmp_path: Path) -> None:
    memory = tmp_path / ".tune" / "cache" / "file_digests.json"
    digests = FileDigests(memory)
    digests.digest(folder / "read")
    digests.save()
    assert list(tmp_path.iterdir()) == []


def test_without_a_memory_nothing_is_kept(folder: Path) -> None:
    digests = FileDigests()
    assert digests.digest(folder / "read") == xxhash.xxh3_128_hexdigest(b"read")
    digests.save()
