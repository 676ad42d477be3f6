"""What every place for shared state does alike: a folder on a disk, and a server that speaks the S3 protocol."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from state.backend import Backend, ConflictError
from state.object_backend import ObjectBackend
from tests.s3_server import S3Server

Opener: TypeAlias = Callable[[], Backend]
ODD_NAMES = (
    "a b",
    "ü/ñ 日本",
    "a#b",
    "a%41",
    "a%2Fb",
    "a+b",
    "a&b=c",
    "a..b",
    "a~b",
    "a:b@c",
    "a?b",
    "{a}'\"*",
    "x.y/z-_",
)
COUNTS = """
import sys
from pathlib import Path
from state.backend import ConflictError
from state.locations import open_backend

url, endpoint, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
backend = open_backend(url, Path("/"), endpoint)
while rounds:
    stored = backend.get("counter")
    try:
        backend.put_if_match("counter", str(int(stored.content) + 1).encode(), stored.version)
        rounds -= 1
    except ConflictError:
        pass
"""


def test_what_nobody_stored_is_not_there(backend: Backend) -> None:
    assert backend.get("state.json") is None
    assert backend.size("state.json") is None
    assert list(backend.list("")) == []
    backend.delete("state.json")


@pytest.mark.parametrize("content", [b"", b"{}", bytes(range(256)) * 300])
def test_what_was_created_is_read_as_it_was_written(place: Opener, content: bytes) -> None:
    version = place().put_if_absent("a/b.json", content)
    stored = place().get("a/b.json")
    assert stored is not None
    assert (stored.content, stored.version) == (content, version)
    assert place().size("a/b.json") == len(content)


def test_an_object_is_created_once(place: Opener) -> None:
    first = place().put_if_absent("lock.json", b"ada")
    with pytest.raises(ConflictError):
        place().put_if_absent("lock.json", b"bob")
    assert place().put_if_absent("lock.json", b"ada") == first
    stored = place().get("lock.json")
    assert stored is not None
    assert stored.content == b"ada"


def test_an_object_is_replaced_only_over_the_version_that_was_read(backend: Backend) -> None:
    first = backend.put_if_absent("state.json", b"1")
    second = backend.put_if_match("state.json", b"2", first)
    elsewhere = backend.put_if_absent("other.json", b"foreign")
    for stale in (first, elsewhere):
        with pytest.raises(ConflictError):
            backend.put_if_match("state.json", b"3", stale)
    stored = backend.get("state.json")
    assert stored is not None
    assert (stored.content, stored.version) == (b"2", second)
    assert len({first, second, elsewhere}) == 3


def test_a_refused_write_is_a_conflict_even_if_somebody_wrote_the_same(backend: Backend) -> None:
    first = backend.put_if_absent("counter", b"1")
    backend.put_if_match("counter", b"2", first)
    with pytest.raises(ConflictError):
        backend.put_if_match("counter", b"2", first)


def test_what_is_gone_cannot_be_replaced(backend: Backend) -> None:
    version = backend.put_if_absent("lock.json", b"ada")
    backend.delete("lock.json")
    with pytest.raises(ConflictError):
        backend.put_if_match("lock.json", b"bob", version)
    assert backend.get("lock.json") is None


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_taken_as_they_are(backend: Backend, name: str) -> None:
    version = backend.put_if_absent(name, name.encode())
    backend.put_if_match(name, b"again", version)
    assert [(one.name, one.size) for one in backend.list("")] == [(name, 5)]
    backend.delete(name)
    assert list(backend.list("")) == []


def test_a_listing_is_of_one_folder_and_sorted(backend: Backend) -> None:
    before = time.time()
    names = ["b", "a/2", "a/10", "a-b/1", "a/c/d", "ab/1", "Z"]
    for size, name in enumerate(names):
        backend.put_if_absent(name, b"x" * size)
    assert [one.name for one in backend.list("")] == ["Z", "a-b/1", "a/10", "a/2", "a/c/d", "ab/1", "b"]
    assert [(one.name, one.size) for one in backend.list("a/")] == [("a/10", 2), ("a/2", 1), ("a/c/d", 4)]
    assert [one.name for one in backend.list("a/c/")] == ["a/c/d"]
    assert list(backend.list("c/")) == []
    for one in backend.list(""):
        assert before - 2 < one.modified < time.time() + 2  # stores may cut the fraction of a second off


@pytest.mark.usefixtures("s3_credentials")
def test_the_mark_that_a_console_leaves_for_a_folder_is_no_object(s3_server: S3Server) -> None:
    url = s3_server.new_url()
    mark = urllib.request.Request(f"{s3_server.endpoint}/{url.removeprefix('s3://')}/", b"", method="PUT")  # noqa: S310
    urllib.request.urlopen(mark).close()  # noqa: S310
    backend = ObjectBackend(url, s3_server.endpoint)
    backend.put_if_absent("state.json", b"{}")
    assert [one.name for one in backend.list("")] == ["state.json"]


def test_a_listing_has_no_last_page(place: Opener) -> None:
    backend = place()
    count = 1_050 if isinstance(backend, ObjectBackend) else 50  # servers list at most 1,000 at a time
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: backend.put_if_absent(f"objects/{number:04}", b""), range(count)))
    assert [one.name for one in backend.list("objects/")] == [f"objects/{number:04}" for number in range(count)]


def test_deleting_removes_one_object_and_only_that(backend: Backend) -> None:
    for name in ("a/b", "a/b.json", "a/c/d"):
        backend.put_if_absent(name, b"")
    for _ in range(2):
        backend.delete("a/b")
    assert [one.name for one in backend.list("")] == ["a/b.json", "a/c/d"]


@pytest.mark.parametrize("size", [0, 1, 1_000_000, (5 << 20), 12 << 20])
def test_a_file_comes_back_byte_for_byte_however_large_it_is(place: Opener, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(251)) * (size // 251) + b"x" * (size % 251))
    sent: list[int] = []
    place().upload("objects/file", source, sent.append)
    assert sum(sent) == size
    assert place().size("objects/file") == size
    place().upload("objects/file", source, lambda _: None)
    received: list[int] = []
    place().download("objects/file", target, received.append)
    assert sum(received) == size
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("present", [0, 1, (5 << 20) + 7, (12 << 20) - 1, 12 << 20])
def test_a_download_goes_on_where_the_file_ends(backend: Backend, tmp_path: Path, present: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(240)) * ((12 << 20) // 240) + b"end")
    backend.upload("file", source, lambda _: None)
    target.write_bytes(source.read_bytes()[:present])
    received: list[int] = []
    backend.download("file", target, received.append)
    assert sum(received) == source.stat().st_size - min(present, source.stat().st_size)
    assert target.read_bytes() == source.read_bytes()


def test_a_download_of_nothing_leaves_no_file(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        backend.download("nothing", tmp_path / "target", lambda _: None)
    assert list(tmp_path.glob("target*")) == []


class StoppedError(Exception):
    """Raised by whoever listens to the progress."""


def test_a_listener_can_stop_a_transfer(place: Opener, s3_server: S3Server, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * (12 << 20))

    def stop(_: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        place().upload("file", source, stop)
    assert place().get("file") is None
    assert s3_server.unfinished_uploads() == 0
    place().upload("file", source, lambda _: None)
    with pytest.raises(StoppedError):
        place().download("file", target, stop)
    place().download("file", target, lambda _: None)
    assert target.read_bytes() == source.read_bytes()


def test_four_processes_that_count_together_lose_nothing(place: Opener, tmp_path: Path) -> None:
    backend, rounds = place(), 10
    backend.put_if_absent("counter", b"0")
    where = [backend.where, backend.endpoint] if isinstance(backend, ObjectBackend) else [str(tmp_path / "place"), ""]
    command = [sys.executable, "-c", COUNTS, *where, str(rounds)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4
    counter = backend.get("counter")
    assert counter is not None
    assert int(counter.content) == 4 * rounds


class Model(RuleBasedStateMachine):
    """Two clients of one place against a dictionary; every version that was ever seen may be tried again."""

    clients: tuple[Backend, Backend]

    def __init__(self) -> None:
        super().__init__()
        for one in self.clients[0].list(""):
            self.clients[0].delete(one.name)
        self.expected: dict[str, bytes] = {}
        self.versions: dict[str, tuple[str, bytes]] = {}

    @rule(name=st.sampled_from(["a", "b/c"]), content=st.binary(max_size=2), who=st.integers(0, 1))
    def create(self, name: str, content: bytes, who: int) -> None:
        if self.expected.get(name, content) == content:
            self.versions[self.clients[who].put_if_absent(name, content)] = (name, content)
            self.expected[name] = content
        else:
            with pytest.raises(ConflictError):
                self.clients[who].put_if_absent(name, content)

    @precondition(lambda self: self.versions)
    @rule(data=st.data(), content=st.binary(max_size=2), who=st.integers(0, 1))
    def replace(self, data: st.DataObject, content: bytes, who: int) -> None:
        version = data.draw(st.sampled_from(sorted(self.versions)))
        name, over = self.versions[version]
        if self.expected.get(name) == over:
            self.versions[self.clients[who].put_if_match(name, content, version)] = (name, content)
            self.expected[name] = content
        else:
            with pytest.raises(ConflictError):
                self.clients[who].put_if_match(name, content, version)

    @rule(name=st.sampled_from(["a", "b/c"]), who=st.integers(0, 1))
    def delete(self, name: str, who: int) -> None:
        self.clients[who].delete(name)
        self.expected.pop(name, None)

    @rule(who=st.integers(0, 1))
    def look(self, who: int) -> None:
        read = {name: self.clients[who].get(name) for name in ("a", "b/c")}
        assert {name: one.content for name, one in read.items() if one is not None} == self.expected
        listed = {one.name: one.size for one in self.clients[who].list("")}
        assert listed == {name: len(content) for name, content in self.expected.items()}

    def teardown(self) -> None:
        self.look(0)
        self.look(1)


def test_two_clients_agree_whatever_they_do(place: Opener) -> None:
    machine = type("Machine", (Model,), {"clients": (place(), place())})
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=12))
