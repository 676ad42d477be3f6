"""Digests of files: of their bytes alone, and remembered only where the file system proves that nothing changed."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from state import still_file
from state.files import BUFFER_BYTES, MAPPED_BYTES, RACY_NANOSECONDS, FileDigests, digest_file

WRONG = "0" * 32


@settings(deadline=None)
@given(st.binary())
@example(b"x" * (BUFFER_BYTES - 1))
@example(b"x" * BUFFER_BYTES)
@example(b"xy" * BUFFER_BYTES + b"z")
@example(b"xyz" * MAPPED_BYTES)
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


@pytest.mark.slow
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


def test_what_is_remembered_is_told_by_one_look(folder: Path, memory: Path) -> None:
    path = folder / "read"
    assert FileDigests(memory).remembered(str(path)) == ""
    digests = remembered_wrongly(memory, path)
    assert [digests.remembered(str(one)) for one in (path, folder, folder / "gone")] == [WRONG, "", ""]


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


DIGESTS = """
import sys
from pathlib import Path
from threading import Thread
from state import still_file
from state.files import digest_file

for _ in range(400):
    digest_file(Path(sys.argv[1]))
print("alive")
"""


def test_a_file_that_is_truncated_meanwhile_kills_nobody(tmp_path: Path) -> None:
    path, content = tmp_path / "file", b"xy" * MAPPED_BYTES
    path.write_bytes(content)
    command = [sys.executable, "-c", DIGESTS, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            os.truncate(path, 0)
            path.write_bytes(content)
        assert process.stdout is not None
        assert (process.stdout.read(), process.returncode) == ("alive\n", 0)


def test_a_writer_waits_no_longer_than_for_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(still_file, "WINDOW_BYTES", MAPPED_BYTES)
    path = tmp_path / "file"
    path.write_bytes(b"a" * MAPPED_BYTES + b"b" * MAPPED_BYTES)
    said = []
    with path.open("rb", buffering=0) as file, still_file.mapped(file) as windows:
        for window in windows:
            said.append(bytes(window[:1]))
            writing = Thread(target=path.write_bytes, args=[b"c"])
            writing.start()
            while fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_RDLCK:
                time.sleep(0.001)
    writing.join()
    assert (said, path.read_bytes()) == ([b"a"], b"c")


def test_a_file_that_somebody_is_writing_is_read_as_it_is(tmp_path: Path) -> None:
    path, content = tmp_path / "file", b"xy" * MAPPED_BYTES
    with path.open("wb") as writing:
        writing.write(content)
        writing.flush()
        with path.open("rb", buffering=0) as file, still_file.mapped(file) as windows:
            assert list(windows) == []
        assert digest_file(path) == xxhash.xxh3_128_hexdigest(content)


@pytest.mark.slow
def test_several_large_files_have_the_digests_that_each_has_alone(tmp_path: Path, memory: Path) -> None:
    contents = [b"a" * MAPPED_BYTES, b"small", b"b" * (MAPPED_BYTES + 1)]
    paths = [tmp_path / str(number) for number, _ in enumerate(contents)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    time.sleep(RACY_NANOSECONDS / 1e9 + 0.1)
    expected = [xxhash.xxh3_128_hexdigest(one) for one in contents]
    digests = FileDigests(memory)
    assert digests.digest(paths[2]) == expected[2]
    assert digests.digests(paths) == expected
    digests.save()
    assert FileDigests(memory).digests(paths[::-1]) == expected[::-1]


def test_whoever_may_not_write_remembers_nothing_and_goes_on(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, in which no file can be put")
    digests = FileDigests(tmp_path / "cache" / "file_digests.json")
    assert digests.digest(folder / "read") == digest_file(folder / "read")
    digests.save()
    assert (tmp_path / "cache").read_text() == "a file, in which no file can be put"
