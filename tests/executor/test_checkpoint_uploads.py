"""Checkpoints leave the machine while the training goes on, which never notices; what arrives is whole and harmless."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from attrs import define, field, frozen

from executor.applying.checkpoint_uploads import CheckpointUploads
from executor.workers import worker
from state import artifacts
from state.backend import Moved
from state.canonical import digest
from state.diagnostic import problem
from state.folder_backend import FolderBackend
from state.record import Checkpoint
from state.shared_store import SharedStore

KEY = digest("key")
LINEAGE = "11" * 16
MEMORY = Path("/dev/shm")  # noqa: S108  another file system than that of the tests
LONG = 60.0
"""Seconds; only a failing test waits for them."""


@define
class Gate:
    """Lets uploads begin, be held up, or fail."""

    begun: Event = field(factory=Event)
    open: Event = field(factory=Event)
    failures: int = 0
    """How many more fail."""

    def pass_through(self) -> None:
        self.begun.set()
        assert self.open.wait(LONG)
        if self.failures:
            self.failures -= 1
            raise problem("State cannot be reached", "`store`: no route to host.")


@frozen
class Slow(FolderBackend):
    """A folder behind a gate."""

    gate: Gate

    def upload(self, name: str, path: Path, moved: Moved) -> None:
        if name.startswith("checkpoints/"):
            self.gate.pass_through()
        super().upload(name, path, moved)


@frozen
class Machine:
    """A machine that trains, and what it says."""

    tune_folder: Path
    store: SharedStore
    gate: Gate
    said: list[str] = field(factory=list)

    def uploads(self) -> CheckpointUploads:
        return CheckpointUploads(self.store, KEY, self.tune_folder, self.said.append)

    def checkpoint(self, step: int, size: int = 10) -> Checkpoint:
        folder = self.tune_folder / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        for name in ("model.safetensors", "optimizer.pt", "trainer_state.json"):
            (folder / name).write_bytes(f"{name} {step} ".encode() * size)
        manifest = artifacts.publish(folder, {"step": step})
        return Checkpoint(step, folder.relative_to(self.tune_folder).as_posix(), manifest.digest)

    def rotate_away(self, checkpoint: Checkpoint) -> None:
        artifacts.remove(self.tune_folder / checkpoint.folder)

    def arrived(self) -> set[int]:
        """The steps whose checkpoints, or pieces of them, are in the store."""
        prefix = f"checkpoints/{KEY}/{LINEAGE}/"
        return {int(one.name.removeprefix(prefix).partition("-")[0]) for one in self.store.backend.list(prefix)}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    gate = Gate()
    machine = Machine(tmp_path / ".tune", SharedStore(Slow(tmp_path / "store", "store", gate), LINEAGE), gate)
    gate.open.set()
    yield machine
    gate.open.set()
    assert not (machine.tune_folder / "uploads").exists()


def test_a_checkpoint_that_was_offered_is_in_the_store_in_the_end(machine: Machine, tmp_path: Path) -> None:
    checkpoint = machine.checkpoint(5)
    with machine.uploads() as uploads:
        uploads.offer(checkpoint)
        assert uploads.drain(LONG)
    manifest = machine.store.fetch_checkpoint(KEY, checkpoint, tmp_path / "there", lambda _: None)
    assert manifest == artifacts.read(machine.tune_folder / checkpoint.folder)
    assert machine.said == []


def test_rotation_does_not_pull_away_what_is_being_uploaded(machine: Machine, tmp_path: Path) -> None:
    machine.gate.open.clear()
    checkpoint = machine.checkpoint(5)
    with machine.uploads() as uploads:
        uploads.offer(checkpoint)
        assert machine.gate.begun.wait(LONG)
        machine.rotate_away(checkpoint)
        machine.gate.open.set()
        assert uploads.drain(LONG)
    manifest = machine.store.fetch_checkpoint(KEY, checkpoint, tmp_path / "there", lambda _: None)
    assert manifest.digest == checkpoint.digest
    assert artifacts.verify(tmp_path / "there") == ()


def test_however_fast_checkpoints_come_and_go_the_last_one_arrives_whole(machine: Machine, tmp_path: Path) -> None:
    with machine.uploads() as uploads:
        for step in range(1, 60):
            checkpoint = machine.checkpoint(step, size=2000)
            uploads.offer(checkpoint)
            machine.rotate_away(checkpoint)
        assert uploads.drain(LONG)
    assert machine.arrived() == {59}
    machine.store.fetch_checkpoint(KEY, checkpoint, tmp_path / "there", lambda _: None)
    assert artifacts.verify(tmp_path / "there") == ()
    assert machine.said == []


def test_a_newer_checkpoint_takes_the_place_of_one_that_waits(machine: Machine) -> None:
    machine.gate.open.clear()
    first, second, third = (machine.checkpoint(step) for step in (1, 2, 3))
    with machine.uploads() as uploads:
        uploads.offer(first)
        assert machine.gate.begun.wait(LONG)
        uploads.offer(second)
        uploads.offer(third)
        staged = sorted(path.name for path in (machine.tune_folder / "uploads" / KEY).iterdir())
        assert staged == ["0", "2"]
        assert not uploads.drain(0)
        machine.gate.open.set()
        assert uploads.drain(LONG)
    assert machine.arrived() == {3}


def test_a_failed_upload_is_told_and_the_next_checkpoint_tried(machine: Machine) -> None:
    machine.gate.failures = 100
    with machine.uploads() as uploads:
        uploads.offer(machine.checkpoint(1))
        assert not uploads.drain(LONG)
        machine.gate.failures = 0
        uploads.offer(machine.checkpoint(2))
        assert uploads.drain(LONG)
    assert machine.arrived() == {2}
    told = (
        "The checkpoint of step 1 is not in the shared store yet: State cannot be reached: `store`: no route to host."
    )
    assert machine.said == [told]


def test_a_last_upload_that_had_failed_is_tried_once_more(machine: Machine) -> None:
    machine.gate.failures = 100
    checkpoint = machine.checkpoint(1)
    with machine.uploads() as uploads:
        uploads.offer(checkpoint)
        assert not uploads.drain(LONG)
        assert not uploads.drain(LONG)
        machine.gate.failures = 0
        assert uploads.drain(LONG)
    assert machine.store.has_checkpoint(KEY, checkpoint)
    assert len(machine.said) == 2


def test_an_upload_is_cut_off_when_nobody_waits_any_more(machine: Machine) -> None:
    machine.gate.open.clear()
    checkpoint = machine.checkpoint(1, size=300_000)
    with machine.uploads() as uploads:
        uploads.offer(checkpoint)
        assert machine.gate.begun.wait(LONG)
        assert not uploads.drain(0.01)
        uploads._closed = True
        machine.gate.open.set()
    assert not machine.store.has_checkpoint(KEY, checkpoint)
    assert machine.said == []


def test_a_checkpoint_that_is_gone_already_is_passed_over(machine: Machine) -> None:
    checkpoint = machine.checkpoint(1)
    machine.rotate_away(checkpoint)
    with machine.uploads() as uploads:
        uploads.offer(checkpoint)
        assert uploads.drain(LONG)
    assert machine.arrived() == set()
    assert machine.said == []


def test_a_checkpoint_that_was_damaged_here_does_not_leave(machine: Machine) -> None:
    checkpoint = machine.checkpoint(1)
    path = machine.tune_folder / checkpoint.folder / "optimizer.pt"
    path.write_bytes(path.read_bytes().swapcase())
    with machine.uploads() as uploads:
        uploads.offer(checkpoint)
        assert not uploads.drain(LONG)
    assert not machine.store.has_checkpoint(KEY, checkpoint)
    assert machine.said[0].startswith("The checkpoint of step 1 is not in the shared store yet: Damaged artifact: ")


def test_a_damaged_manifest_ends_no_training(machine: Machine) -> None:
    checkpoint = machine.checkpoint(1)
    (machine.tune_folder / checkpoint.folder / "manifest.json").write_bytes(b"{}")
    with machine.uploads() as uploads:
        uploads.offer(checkpoint)
        assert uploads.drain(LONG)
    assert machine.said[0].startswith("The checkpoint of step 1 is not in the shared store yet: Damaged manifest: ")


def test_what_a_killed_process_left_is_removed_at_the_start(machine: Machine) -> None:
    left = machine.tune_folder / "uploads" / "other key" / "3"
    left.mkdir(parents=True)
    with machine.uploads():
        assert not left.exists()


@pytest.mark.skipif(not MEMORY.is_dir() or os.stat(MEMORY).st_dev == os.stat("/tmp").st_dev, reason="one file system")  # noqa: PTH116, S108
def test_checkpoints_on_another_file_system_are_copied(machine: Machine) -> None:
    elsewhere = MEMORY / f"tune-{os.getpid()}"
    elsewhere.mkdir()
    try:
        machine.tune_folder.mkdir()
        (machine.tune_folder / "checkpoints").symlink_to(elsewhere)
        checkpoint = machine.checkpoint(1)
        with machine.uploads() as uploads:
            uploads.offer(checkpoint)
            assert uploads.drain(LONG)
        assert machine.store.has_checkpoint(KEY, checkpoint)
    finally:
        shutil.rmtree(elsewhere)


@frozen
class Trap:
    """Makes a file when it is unpickled."""

    path: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def train(folder: Path, steps: int, resume_from: Path | None = None) -> None:
    """A training of the smallest model, with a checkpoint in the end."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=8, **sizes))
    arguments = TrainingArguments(
        str(folder), max_steps=steps, save_steps=1, use_cpu=True, report_to="none", disable_tqdm=True
    )
    rows: Any = [{"input_ids": torch.tensor([1, 2, 3]), "labels": torch.tensor([1, 2, 3])}] * 16
    resume = str(resume_from) if resume_from is not None else None
    Trainer(model, arguments, train_dataset=rows).train(resume_from_checkpoint=resume)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of transformers' own making."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder, 1)
    (folder / "checkpoint-1" / "training_args.bin").unlink()
    return folder / "checkpoint-1"


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [None, "optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_what_is_planted_in_a_shared_checkpoint_is_not_run_on_resuming(
    machine: Machine, trained: Path, tmp_path: Path, name: str | None
) -> None:
    import torch

    folder = machine.tune_folder / "checkpoints" / "checkpoint-1"
    shutil.copytree(trained, folder)
    sprung = tmp_path / "sprung"
    if name is not None:
        torch.save({"state": Trap(sprung)}, folder / name)
    manifest = artifacts.publish(folder, {"step": 1})
    checkpoint = Checkpoint(1, "checkpoints/checkpoint-1", manifest.digest)
    machine.store.publish_checkpoint(KEY, checkpoint, folder, lambda _: None)
    there = tmp_path / "there" / "checkpoint-1"
    machine.store.fetch_checkpoint(KEY, checkpoint, there, lambda _: None)
    if name is None:
        train(tmp_path / "there", 2, there)
        return
    with pytest.raises(Exception, match="Weights only load failed") as error:
        train(tmp_path / "there", 2, there)
    assert not sprung.exists()
    assert worker._explain(error.value).summary == "Checkpoint refused"
    torch.load(there / name, weights_only=False)
    assert sprung.exists()
