"""What one machine made another fetches: whole, proved, never further than its folder, and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from state import artifacts
from state.artifacts import FileEntry, Manifest
from state.backend import Backend, Listed, Moved
from state.canonical import Plain, digest, digest_bytes
from state.diagnostic import Diagnostic, ProblemError
from state.folder_backend import FolderBackend
from state.object_backend import ObjectBackend
from state.plain import record_to_plain
from state.record import Checkpoint, Record, Status
from state.shared_collection import GRACE_SECONDS, collect
from state.shared_store import SharedArtifact, SharedStore

pytest_plugins = ("tests.s3_server",)

KEY, OTHER_KEY = digest("one"), digest("other")
LINEAGE, OTHER_LINEAGE = "11" * 16, "22" * 16
FILES = {"model.safetensors": b"weights" * 40, "config.json": b"{}", "deep/er/größe.txt": b"", "again.json": b"{}"}
NOTES: dict[str, Plain] = {"outcome": {"output_digest": "0", "metrics": {"loss": 0.5}}}
STATES = {
    "model.safetensors": b"w",
    "optimizer.pt": b"o",
    "scheduler.pt": b"s",
    "rng_state.pth": b"r",
    "scaler.pt": b"c",
}
MIB = 1 << 20


@define
class Count:
    """Counts what was moved, and may cut it off."""

    limit: float = float("inf")
    moved: int = 0

    def __call__(self, count: int) -> None:
        self.moved += count
        if self.moved >= self.limit:
            raise CutError


class CutError(Exception):
    """The connection is gone."""


def fill(folder: Path, files: dict[str, bytes], notes: dict[str, Plain] | None = None) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    artifacts.publish(folder, NOTES if notes is None else notes)
    return folder


def record(key: str = KEY) -> Record:
    return Record("train", {"learning_rate": 0.1}, {}, {}, 1, key, Status.READY, artifact="artifacts/train/sft/" + key)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names(backend: Backend) -> list[str]:
    return [one.name for one in backend.list("")]


def problem_of(work: Callable[[], Any]) -> Diagnostic:
    with pytest.raises(ProblemError) as error:
        work()
    (diagnostic,) = error.value.diagnostics
    return diagnostic


def rewrite(backend: Backend, name: str, content: bytes) -> None:
    backend.delete(name)
    backend.put_if_absent(name, content)


@frozen
class Hosts:
    """Two machines, each with its folder, and a store between them."""

    backend: Backend
    here: Path
    there: Path

    @property
    def store(self) -> SharedStore:
        return SharedStore(self.backend, LINEAGE)

    def publish(
        self, files: dict[str, bytes] = FILES, key: str = KEY, store: SharedStore | None = None
    ) -> SharedArtifact:
        folder = fill(self.here / key, files)
        return (store or self.store).publish(folder, "train.sft", record(key), Count())

    def fetch(self, key: str = KEY, moved: Moved | None = None) -> Manifest:
        found = self.store.find(key)
        assert found is not None
        return self.store.fetch(found, self.there / key, moved or Count())

    def checkpoint(self, step: int, files: dict[str, bytes] = STATES) -> tuple[Checkpoint, Path]:
        folder = self.here / f"checkpoint-{step}"
        manifest = artifacts.read(fill(folder, {**files, "trainer_state.json": str(step).encode()}, {"step": step}))
        assert manifest is not None
        return Checkpoint(step, folder.name, manifest.digest), folder

    def publish_checkpoint(self, step: int, store: SharedStore | None = None) -> Checkpoint:
        checkpoint, folder = self.checkpoint(step)
        (store or self.store).publish_checkpoint(KEY, checkpoint, folder, Count())
        return checkpoint

    def collect(self, *keep: str, older_than: float = 0, dry_run: bool = False) -> tuple[Listed, ...]:
        return collect(self.store, set(keep), older_than, dry_run=dry_run)


@pytest.fixture(params=["folder", "s3"])
def hosts(request: pytest.FixtureRequest, tmp_path: Path) -> Hosts:
    """Two machines, and both kinds of places between them."""
    if request.param == "folder":
        return beside(tmp_path)
    request.getfixturevalue("s3_credentials")
    server: Any = request.getfixturevalue("s3_server")
    return Hosts(ObjectBackend(server.new_url(), server.endpoint), tmp_path / "here", tmp_path / "there")


@pytest.fixture
def neighbours(tmp_path: Path) -> Hosts:
    """Two machines with a folder between them, where the kind of place makes no difference."""
    return beside(tmp_path)


def beside(folder: Path) -> Hosts:
    return Hosts(FolderBackend(folder / "store", str(folder / "store")), folder / "here", folder / "there")


def test_what_was_made_here_arrives_there_byte_for_byte(hosts: Hosts) -> None:
    assert not hosts.store.has(KEY)
    assert hosts.store.find(KEY) is None
    published = hosts.publish()
    assert hosts.store.has(KEY)
    assert hosts.store.keys() == {KEY}
    found = hosts.store.find(KEY)
    assert found == published == SharedArtifact("train.sft", record(), published.manifest)
    assert hosts.fetch() == published.manifest
    assert contents(hosts.there / KEY) == contents(hosts.here / KEY)
    assert artifacts.read(hosts.there / KEY) == Manifest(published.manifest.files, NOTES)
    assert list(hosts.there.iterdir()) == [hosts.there / KEY]


def test_a_store_holds_files_by_content_and_manifests_by_key(hosts: Hosts) -> None:
    hosts.publish()
    hosts.publish_checkpoint(5)
    checkpoint, _ = hosts.checkpoint(5)
    place = f"checkpoints/{KEY}/{LINEAGE}/5-{checkpoint.digest}"
    objects = [f"{digest_bytes(content)}-{len(content)}" for content in {*FILES.values()}]
    assert names(hosts.backend) == sorted(
        [
            f"artifacts/{KEY}/manifest.json",
            f"artifacts/{KEY}/used_by/{LINEAGE}",
            f"{place}/manifest.json",
            *(f"{place}/{digest_bytes(content)}-1" for content in (*STATES.values(), b"5")),
            *(f"objects/{name[:2]}/{name}" for name in objects),
        ]
    )


def test_nothing_is_transferred_twice(hosts: Hosts) -> None:
    hosts.publish()
    again, other, back = Count(), Count(), Count()
    hosts.store.publish(hosts.here / KEY, "train.sft", record(), again)
    folder = fill(hosts.here / OTHER_KEY, {**FILES, "new.txt": b"123"})
    hosts.store.publish(folder, "train.other", record(OTHER_KEY), other)
    hosts.fetch()
    hosts.fetch(moved=back)
    assert (again.moved, other.moved, back.moved) == (0, 3, 0)


def test_a_file_that_several_names_share_is_stored_once(hosts: Hosts) -> None:
    folder = fill(hosts.here / KEY, {"one": b"same", "two": b"same", "three/four": b"same"})
    moved = Count()
    hosts.store.publish(folder, "train.sft", record(), moved)
    assert moved.moved == 4
    hosts.fetch()
    assert contents(hosts.there / KEY) == contents(folder)


@define
class Alone:
    """Notices when it is called while it is being called."""

    calls: int = 0
    inside: bool = False

    def __call__(self, _: int) -> None:
        assert not self.inside
        self.inside = True
        time.sleep(0.002)
        self.inside = False
        self.calls += 1


def test_progress_is_told_by_one_thread_at_a_time(hosts: Hosts) -> None:
    folder = fill(hosts.here / KEY, {f"{n}.json": str(n).encode() for n in range(30)})
    up, down = Alone(), Alone()
    found = hosts.store.publish(folder, "train.sft", record(), up)
    hosts.store.fetch(found, hosts.there / KEY, down)
    assert (up.calls, down.calls) == (30, 30)


def test_nothing_of_the_environment_is_stored(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_SECRET_ACCESS_KEY", "s3cr3t-a"), ("HF_TOKEN", "s3cr3t-b")):
        monkeypatch.setenv(name, value)
    hosts.publish()
    hosts.publish_checkpoint(5)
    stored = [hosts.backend.get(name) for name in names(hosts.backend)]
    assert not any(b"s3cr3t" in one.content for one in stored if one is not None)


MANY = {f"{n:02}.safetensors": os.urandom(MIB) for n in range(40)}
TOTAL = sum(len(content) for content in MANY.values())
IN_FLIGHT = 8 * MIB
"""Files that may be on their way when everything stops."""


@pytest.mark.parametrize("limit", [1, 7 * MIB, 30 * MIB])
def test_an_upload_that_was_cut_goes_on_with_the_files_that_are_missing(hosts: Hosts, limit: int) -> None:
    folder = fill(hosts.here / KEY, MANY)
    first, second = Count(limit), Count()
    with pytest.raises(CutError):
        hosts.store.publish(folder, "train.sft", record(), first)
    assert not hosts.store.has(KEY)
    hosts.store.publish(folder, "train.sft", record(), second)
    assert first.moved <= limit + MIB
    assert second.moved <= min(TOTAL, TOTAL - first.moved + IN_FLIGHT)
    hosts.fetch()
    assert contents(hosts.there / KEY) == contents(folder)


@pytest.mark.parametrize("limit", [1, 7 * MIB, 30 * MIB])
def test_a_download_that_was_cut_goes_on_where_it_was(hosts: Hosts, limit: int) -> None:
    hosts.publish(MANY)
    first, second = Count(limit), Count()
    with pytest.raises(CutError):
        hosts.fetch(moved=first)
    assert not (hosts.there / KEY).exists()
    hosts.fetch(moved=second)
    assert second.moved <= TOTAL - first.moved + IN_FLIGHT
    assert contents(hosts.there / KEY) == contents(hosts.here / KEY)
    assert list(hosts.there.iterdir()) == [hosts.there / KEY]


def test_a_download_goes_on_in_the_middle_of_a_file(hosts: Hosts) -> None:
    hosts.publish({"model.safetensors": os.urandom(24 * MIB)})
    first, second = Count(10 * MIB), Count()
    with pytest.raises(CutError):
        hosts.fetch(moved=first)
    hosts.fetch(moved=second)
    assert second.moved <= 16 * MIB
    assert contents(hosts.there / KEY) == contents(hosts.here / KEY)


MOVES = """
import os, signal, sys
from pathlib import Path
from state.locations import open_backend
from state.plain import from_plain
from state.record import Record
from state.shared_store import SharedStore
import json

what, url, endpoint, folder, key, record = sys.argv[1:]
store = SharedStore(open_backend(url, Path(), endpoint), "11" * 16)
count = 0

def moved(more):
    global count
    count += more
    if count >= 20 << 20:
        os.kill(os.getpid(), signal.SIGKILL)

if what == "publish":
    store.publish(Path(folder), "train.sft", from_plain(json.loads(record), Record), moved)
else:
    store.fetch(store.find(key), Path(folder), moved)
"""


def killed(what: str, backend: Backend, folder: Path) -> None:
    """Another process that moves an artifact and is killed after 20 MiB."""
    endpoint = getattr(backend, "endpoint", "")
    arguments = [what, backend.where, endpoint, str(folder), KEY, json.dumps(record_to_plain(record()))]
    done = subprocess.run(
        [sys.executable, "-c", MOVES, *arguments], check=False, cwd=Path(artifacts.__file__).parent.parent
    )
    assert done.returncode == -signal.SIGKILL


def test_a_killed_publisher_and_a_killed_fetcher_are_continued(hosts: Hosts) -> None:
    folder = fill(hosts.here / KEY, MANY)
    killed("publish", hosts.backend, folder)
    assert not hosts.store.has(KEY)
    up, down = Count(), Count()
    hosts.store.publish(folder, "train.sft", record(), up)
    assert up.moved <= TOTAL - 20 * MIB + IN_FLIGHT
    killed("fetch", hosts.backend, hosts.there / KEY)
    assert not (hosts.there / KEY).exists()
    hosts.fetch(moved=down)
    assert down.moved <= TOTAL - 20 * MIB + IN_FLIGHT
    assert contents(hosts.there / KEY) == contents(folder)


def test_what_a_crash_left_damaged_is_fetched_anew(neighbours: Hosts) -> None:
    neighbours.publish()
    partial = neighbours.there / f".{KEY}.fetching"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").write_bytes(b"\0" * 200)
    (partial / "config.json").write_bytes(b"too long")
    (partial / "again.json").write_bytes(b"[]")
    (partial / "deep").write_bytes(b"a file where a folder belongs")
    (partial / "stranger").write_bytes(b"of another attempt")
    neighbours.fetch()
    assert contents(neighbours.there / KEY) == contents(neighbours.here / KEY)


def test_links_that_somebody_left_are_not_followed(neighbours: Hosts, tmp_path: Path) -> None:
    neighbours.publish()
    outside = fill(tmp_path / "outside", {"secret": b"", "er/größe.txt": b""})
    before = contents(outside)
    partial = neighbours.there / f".{KEY}.fetching"
    partial.mkdir(parents=True)
    (partial / "model.safetensors").symlink_to(outside / "secret")
    (partial / "deep").symlink_to(outside)
    neighbours.fetch()
    assert contents(outside) == before
    assert contents(neighbours.there / KEY) == contents(neighbours.here / KEY)
    assert not any(path.is_symlink() for path in (neighbours.there / KEY).rglob("*"))
    shutil.rmtree(neighbours.there / KEY)
    partial.symlink_to(outside)
    neighbours.fetch()
    assert contents(outside) == before


def test_a_link_is_not_shared(neighbours: Hosts, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = neighbours.here / KEY
    folder.mkdir(parents=True)
    (folder / "config.json").symlink_to(tmp_path / "secret")
    artifacts.publish(folder, {})
    found = problem_of(lambda: neighbours.store.publish(folder, "train.sft", record(), Count()))
    assert (found.summary, found.detail) == (
        "Damaged artifact",
        f"`{folder}/config.json` is not the file that its manifest describes; it is not shared.",
    )
    assert not neighbours.store.has(KEY)
    assert not list(neighbours.backend.list("objects/"))


def test_a_file_that_was_damaged_here_does_not_reach_the_store(neighbours: Hosts) -> None:
    folder = fill(neighbours.here / KEY, FILES)
    (folder / "model.safetensors").write_bytes(b"Weights" * 40)
    found = problem_of(lambda: neighbours.store.publish(folder, "train.sft", record(), Count()))
    assert found.summary == "Damaged artifact"
    assert not neighbours.store.has(KEY)


@pytest.mark.parametrize("content", sorted({content for content in FILES.values() if content}))
def test_a_flipped_byte_in_a_file_is_found_on_arrival(hosts: Hosts, content: bytes) -> None:
    hosts.publish()
    name = f"objects/{digest_bytes(content)[:2]}/{digest_bytes(content)}-{len(content)}"
    rewrite(hosts.backend, name, content[:-1] + bytes([content[-1] ^ 1]))
    assert problem_of(hosts.fetch) == Diagnostic(
        "Damaged shared artifact",
        f"`{hosts.backend.where}/{name}` does not have the bytes that its name promises; nothing of it is used.",
        "Remove it there: whoever publishes the same content again puts it back.",
    )
    assert not (hosts.there / KEY).exists()
    hosts.backend.delete(name)
    assert problem_of(hosts.fetch).detail == f"`{hosts.backend.where}/{name}` is missing; nothing of it is used."
    hosts.publish()
    hosts.fetch()
    assert contents(hosts.there / KEY) == contents(hosts.here / KEY)


def test_a_file_of_another_size_is_not_downloaded(hosts: Hosts) -> None:
    hosts.publish({"model.safetensors": b"weights"})
    (name,) = (one.name for one in hosts.backend.list("objects/"))
    rewrite(hosts.backend, name, b"weights and more")
    moved = Count()
    found = problem_of(lambda: hosts.fetch(moved=moved))
    assert found.detail == f"`{hosts.backend.where}/{name}` has 16 bytes instead of 7; nothing of it is used."
    assert moved.moved == 0


@settings(max_examples=60)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_manifest_is_refused_and_named(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    root = tmp_path_factory.mktemp("flipped")
    hosts = beside(root)
    hosts.publish()
    name = f"artifacts/{KEY}/manifest.json"
    stored = hosts.backend.get(name)
    assert stored is not None
    content = bytearray(stored.content)
    content[position % len(content)] ^= 1 << bit
    rewrite(hosts.backend, name, bytes(content))
    assert problem_of(hosts.fetch).place.file == f"{hosts.backend.where}/{name}"
    assert not (hosts.there / KEY).exists()


def hostile(*paths: str, size: int = 2, of: str = digest_bytes(b"{}")) -> bytes:
    """A manifest that is well-formed, with digests that match, of files that all are `{}`."""
    files = tuple(FileEntry(path, size, of) for path in paths)
    notes: dict[str, Plain] = {"address": "train.sft", "record": record_to_plain(record()), "notes": {}}
    return artifacts.to_bytes(Manifest(files, notes))


def of_record(**changes: Any) -> bytes:
    changed = record_to_plain(evolve(record(), **changes))
    return artifacts.to_bytes(Manifest((), {"address": "train.sft", "record": changed, "notes": {}}))


def described(**notes: Plain) -> bytes:
    good: dict[str, Plain] = {"address": "train.sft", "record": record_to_plain(record()), "notes": {}}
    return artifacts.to_bytes(Manifest((), {**good, **notes}))


HOSTILE = {
    "up": hostile("../escaped"),
    "up and down": hostile("deep/../../escaped"),
    "absolute": hostile("/var/escaped"),
    "twice absolute": hostile("//var/escaped"),
    "no name": hostile(""),
    "itself": hostile("."),
    "another way to write it": hostile("./config.json"),
    "a folder's name": hostile("config.json/"),
    "the same twice": hostile("config.json", "config.json"),
    "a file below a file": hostile("config.json", "config.json/deep"),
    "the manifest": hostile("manifest.json"),
    "below the manifest": hostile("manifest.json/deep"),
    "a zero byte": hostile("config\0.json"),
    "an escape sequence": hostile("\x1b[2Jconfig.json"),
    "a lone surrogate": hostile("\udcff\ud800"),
    "less than nothing": hostile("config.json", size=-1),
    "no digest": hostile("config.json", of="../../../escaped"),
    "too deep": b"[" * 100_000,
    "no manifest": b"{}",
    "another key": of_record(action_key=OTHER_KEY),
    "an artifact elsewhere": of_record(artifact="../../escaped"),
    "a checkpoint elsewhere": of_record(checkpoints=(Checkpoint(1, "/var/escaped", "0"),)),
    "a record that is none": described(record=7),
    "a record without fields": described(record={}),
    "notes that are none": described(notes=[1, 2]),
    "a number for notes": described(notes=7),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_manifest_is_refused_and_named(neighbours: Hosts, content: bytes) -> None:
    neighbours.publish({"config.json": b"{}"})
    rewrite(neighbours.backend, f"artifacts/{KEY}/manifest.json", content)
    found = problem_of(lambda: neighbours.store.find(KEY))
    assert found.summary in {"Manifest refused", "Damaged manifest"}
    assert found.place.file == f"{neighbours.backend.where}/artifacts/{KEY}/manifest.json"


@settings(max_examples=100)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["kind", "settings", "content", "inputs", "code", "action_key", "status", "checkpoints"]
                ),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_a_store_says_of_a_record_ends_in_a_record_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    backend = FolderBackend(tmp_path_factory.mktemp("store"), "store")
    whole = {**record_to_plain(record()), **value} if isinstance(value, dict) else value
    backend.put_if_absent(f"artifacts/{KEY}/manifest.json", described(record=whole))
    try:
        found = SharedStore(backend, LINEAGE).find(KEY)
    except ProblemError:
        return
    assert found is not None
    assert found.record.action_key == KEY


def test_absurd_sizes_are_refused_before_the_first_byte(neighbours: Hosts, tmp_path: Path) -> None:
    size = 1 << 60
    neighbours.publish()
    rewrite(neighbours.backend, f"artifacts/{KEY}/manifest.json", hostile("model.safetensors", size=size))
    found = problem_of(neighbours.fetch)
    assert found.summary == "Disk full"
    assert found.detail.startswith(f"{size} bytes have to be fetched, and ")
    sparse = tmp_path / "store" / "artifacts" / OTHER_KEY / "manifest.json"
    sparse.parent.mkdir(parents=True)
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    found = problem_of(lambda: neighbours.store.find(OTHER_KEY))
    assert (found.summary, found.detail) == ("Manifest refused", f"It is not followed: it has {1 << 40} bytes.")


PICKLES = ["pytorch_model.bin", "deep/a.pt", "b.PTH", "c.pkl", "d.pickle", "e.ckpt", "optimizer.pt", "f/.metadata"]


@pytest.mark.parametrize("name", PICKLES)
def test_an_artifact_that_holds_pickles_is_neither_published_nor_fetched(neighbours: Hosts, name: str) -> None:
    found = problem_of(lambda: neighbours.publish({name: b"{}"}))
    assert (found.summary, found.detail) == (
        "Pickle refused",
        f"`{name}` is of a format whose files may run code when they are loaded; such files are not shared.",
    )
    assert names(neighbours.backend) == []
    neighbours.publish({"config.json": b"{}"}, OTHER_KEY)
    neighbours.backend.put_if_absent(f"artifacts/{KEY}/manifest.json", hostile(name))
    assert problem_of(neighbours.fetch).summary == "Pickle refused"
    assert not neighbours.there.exists()


def test_of_two_that_publish_at_once_one_is_first_and_both_are_told_which(hosts: Hosts, tmp_path: Path) -> None:
    both = [fill(tmp_path / str(n) / KEY, {"a.json": b"same", "b.json": str(n).encode()}) for n in range(2)]
    for _ in range(10):
        stores = [SharedStore(hosts.backend, lineage) for lineage in (LINEAGE, OTHER_LINEAGE)]
        with ThreadPoolExecutor(2) as pool:
            running = [
                pool.submit(store.publish, folder, "train.sft", record(), Count())
                for store, folder in zip(stores, both, strict=True)
            ]
        told = [one.result() for one in running]
        found = hosts.store.find(KEY)
        assert told == [found, found]
        hosts.fetch()
        assert contents(hosts.there / KEY) in [contents(folder) for folder in both]
        shutil.rmtree(hosts.there)
        for name in names(hosts.backend):
            hosts.backend.delete(name)


def test_what_is_not_complete_cannot_be_published(neighbours: Hosts) -> None:
    folder = fill(neighbours.here / KEY, FILES)
    (folder / "manifest.json").unlink()
    found = problem_of(lambda: neighbours.store.publish(folder, "train.sft", record(), Count()))
    assert found == Diagnostic(
        "Nothing to share", f"`{folder}` is not complete.", "Run `tune plan` again to see what it needs."
    )


def test_a_checkpoint_arrives_as_state_names_it(hosts: Hosts) -> None:
    checkpoint, folder = hosts.checkpoint(5)
    assert not hosts.store.has_checkpoint(KEY, checkpoint)
    hosts.store.publish_checkpoint(KEY, checkpoint, folder, Count())
    assert hosts.store.has_checkpoint(KEY, checkpoint)
    moved, again = Count(), Count()
    target = hosts.there / "checkpoint-5"
    manifest = hosts.store.fetch_checkpoint(KEY, checkpoint, target, moved)
    assert manifest.digest == checkpoint.digest
    assert artifacts.read(target) == manifest
    assert contents(target) == contents(folder)
    hosts.store.fetch_checkpoint(KEY, checkpoint, target, again)
    hosts.store.publish_checkpoint(KEY, checkpoint, folder, again)
    assert (moved.moved, again.moved) == (len(STATES) + 1, 0)


def test_a_checkpoint_of_the_same_step_that_state_does_not_name_gives_way(hosts: Hosts) -> None:
    checkpoint = hosts.publish_checkpoint(5)
    target = fill(hosts.there / "checkpoint-5", {"model.safetensors": b"another", "left.txt": b"over"})
    hosts.store.fetch_checkpoint(KEY, checkpoint, target, Count())
    assert contents(target) == contents(hosts.here / "checkpoint-5")


def test_only_the_newest_checkpoint_of_a_run_stays_in_the_store(hosts: Hosts) -> None:
    theirs = SharedStore(hosts.backend, OTHER_LINEAGE)
    foreign = hosts.publish_checkpoint(3, theirs)
    checkpoints = [hosts.publish_checkpoint(step) for step in (9, 10, 100)]
    assert [hosts.store.has_checkpoint(KEY, one) for one in checkpoints] == [False, False, True]
    late = hosts.publish_checkpoint(50)
    assert hosts.store.has_checkpoint(KEY, checkpoints[-1])
    assert hosts.store.has_checkpoint(KEY, late)
    assert theirs.has_checkpoint(KEY, foreign)
    hosts.publish_checkpoint(101)
    left = {name.split("/")[3].partition("-")[0] for name in names(hosts.backend) if f"/{LINEAGE}/" in name}
    assert left == {"101"}
    found = problem_of(lambda: hosts.store.fetch_checkpoint(KEY, checkpoints[0], hosts.there / "x", Count()))
    assert (found.summary, found.detail) == (
        "Checkpoint not in the store",
        f"The checkpoint of step 9 is not in `{hosts.backend.where}`.",
    )


def test_an_unfinished_upload_of_an_earlier_checkpoint_goes_with_the_next(hosts: Hosts) -> None:
    checkpoint, folder = hosts.checkpoint(1)
    with pytest.raises(CutError):
        hosts.store.publish_checkpoint(KEY, checkpoint, folder, Count(3))
    assert names(hosts.backend)
    assert not hosts.store.has_checkpoint(KEY, checkpoint)
    hosts.publish_checkpoint(2)
    assert not [name for name in names(hosts.backend) if "/1-" in name]


def test_a_checkpoint_that_was_exchanged_in_the_store_is_refused(hosts: Hosts) -> None:
    checkpoint = hosts.publish_checkpoint(5)
    _, other = hosts.checkpoint(6)
    name = f"checkpoints/{KEY}/{LINEAGE}/5-{checkpoint.digest}/manifest.json"
    rewrite(hosts.backend, name, (other / "manifest.json").read_bytes())
    found = problem_of(lambda: hosts.store.fetch_checkpoint(KEY, checkpoint, hosts.there / "x", Count()))
    assert (found.summary, found.place.file) == ("Checkpoint refused", f"{hosts.backend.where}/{name}")


@pytest.mark.parametrize("name", ["training_args.bin", "deep/optimizer.pt", "optimizer.bin", "rng_state_x.pth", "a.pt"])
def test_of_pickles_a_checkpoint_holds_only_what_the_trainer_reads_safely(neighbours: Hosts, name: str) -> None:
    checkpoint, folder = neighbours.checkpoint(5, {**STATES, "rng_state_0.pth": b"0", "rng_state_12.pth": b"1"})
    neighbours.store.publish_checkpoint(KEY, checkpoint, folder, Count())
    checkpoint, folder = neighbours.checkpoint(6, {name: b"x"})
    found = problem_of(lambda: neighbours.store.publish_checkpoint(KEY, checkpoint, folder, Count()))
    assert (found.summary, found.place.file) == ("Pickle refused", str(folder))
    assert not neighbours.store.has_checkpoint(KEY, checkpoint)
    place = f"checkpoints/{KEY}/{LINEAGE}/6-{checkpoint.digest}/"
    neighbours.backend.put_if_absent(place + "manifest.json", (folder / "manifest.json").read_bytes())
    found = problem_of(lambda: neighbours.store.fetch_checkpoint(KEY, checkpoint, neighbours.there / "x", Count()))
    assert (found.summary, found.place.file) == ("Pickle refused", f"{neighbours.backend.where}/{place}manifest.json")


def test_what_is_collected_is_what_was_announced(hosts: Hosts) -> None:
    hosts.publish()
    hosts.publish({"config.json": b"{}", "new.txt": b"new"}, OTHER_KEY)
    checkpoint = hosts.publish_checkpoint(5)
    before = names(hosts.backend)
    announced = hosts.collect(OTHER_KEY, dry_run=True)
    assert names(hosts.backend) == before
    went = hosts.collect(OTHER_KEY)
    assert went == announced
    assert sorted([*names(hosts.backend), *(one.name for one in went)]) == before
    new, empty = digest_bytes(b"new"), digest_bytes(b"{}")
    assert names(hosts.backend) == sorted(
        [
            f"artifacts/{OTHER_KEY}/manifest.json",
            f"artifacts/{OTHER_KEY}/used_by/{LINEAGE}",
            f"objects/{empty[:2]}/{empty}-2",
            f"objects/{new[:2]}/{new}-3",
        ]
    )
    assert not hosts.store.has_checkpoint(KEY, checkpoint)
    assert hosts.collect(OTHER_KEY) == ()
    hosts.fetch(OTHER_KEY)


def test_what_another_state_relies_on_stays(hosts: Hosts) -> None:
    theirs = SharedStore(hosts.backend, OTHER_LINEAGE)
    hosts.publish()
    found = theirs.find(KEY)
    assert found is not None
    theirs.fetch(found, hosts.there / "theirs", Count())
    checkpoint = hosts.publish_checkpoint(5, theirs)
    went = hosts.collect()
    assert [one.name for one in went] == [f"artifacts/{KEY}/used_by/{LINEAGE}"]
    assert theirs.has_checkpoint(KEY, checkpoint)
    hosts.fetch()
    hosts.store.release(KEY)
    hosts.store.release(KEY)
    theirs.release(KEY)
    assert theirs.has(KEY)
    hosts.collect()
    assert not theirs.has(KEY)


def test_what_is_kept_stays_even_if_nobody_said_that_they_rely_on_it(hosts: Hosts) -> None:
    hosts.publish()
    hosts.store.release(KEY)
    assert hosts.collect(KEY) == ()
    hosts.fetch()


def test_a_file_that_no_manifest_names_stays_for_the_grace_period(hosts: Hosts) -> None:
    folder = fill(hosts.here / KEY, MANY)
    with pytest.raises(CutError):
        hosts.store.publish(folder, "train.sft", record(), Count(20 * MIB))
    there = names(hosts.backend)
    assert hosts.collect(KEY, older_than=GRACE_SECONDS) == ()
    assert names(hosts.backend) == there
    went = hosts.collect(KEY, older_than=-1)
    assert [one.name for one in went] == [name for name in there if name.startswith("objects/")]
    assert sum(one.size for one in went) == len(went) * MIB


def test_a_damaged_manifest_stops_a_collection_before_anything_is_removed(hosts: Hosts) -> None:
    hosts.publish()
    hosts.publish({"new.txt": b"new"}, OTHER_KEY)
    rewrite(hosts.backend, f"artifacts/{KEY}/manifest.json", b"{}")
    before = names(hosts.backend)
    assert problem_of(lambda: hosts.collect(KEY)).place.file == f"{hosts.backend.where}/artifacts/{KEY}/manifest.json"
    assert names(hosts.backend) == before
    hosts.collect(OTHER_KEY)
    assert not hosts.store.has(KEY)


@frozen
class Busy(FolderBackend):
    """A folder on which somebody else acts right before a certain change, once."""

    change: str
    acts: list[Callable[[], Any]]

    def put_if_absent(self, name: str, content: bytes) -> str:
        self._act(f"put {name}")
        return super().put_if_absent(name, content)

    def delete(self, name: str) -> None:
        self._act(f"delete {name}")
        super().delete(name)

    def _act(self, change: str) -> None:
        if change.startswith(self.change) and self.acts:
            self.acts.pop()()


def test_files_that_a_collection_takes_before_they_are_named_are_stored_again(
    neighbours: Hosts, tmp_path: Path
) -> None:
    theirs = SharedStore(neighbours.backend, OTHER_LINEAGE)
    took: list[Listed] = []

    def collected() -> None:
        took.extend(collect(theirs, set(), -1, dry_run=False))

    busy = Busy(tmp_path / "store", "store", f"put artifacts/{KEY}/manifest.json", [collected])
    neighbours.publish(store=SharedStore(busy, LINEAGE))
    assert len(took) == len({*FILES.values()})
    neighbours.fetch()
    assert contents(neighbours.there / KEY) == contents(neighbours.here / KEY)


def test_a_manifest_that_names_what_was_just_collected_goes_too(neighbours: Hosts, tmp_path: Path) -> None:
    neighbours.publish()
    neighbours.backend.delete(f"artifacts/{KEY}/manifest.json")
    busy = Busy(tmp_path / "store", "store", "delete objects/", [neighbours.publish])
    collect(SharedStore(busy, OTHER_LINEAGE), set(), -1, dry_run=False)
    assert neighbours.store.find(KEY) is None
    neighbours.publish()
    neighbours.fetch()
    assert contents(neighbours.there / KEY) == contents(neighbours.here / KEY)
