"""Checkpoints on their way to a shared store while the training goes on, so that a lost machine loses little."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Condition, Thread
from types import TracebackType
from typing import Self

from attrs import field

from state import artifacts
from state.diagnostic import ProblemError
from state.record import Checkpoint
from state.shared_store import SharedStore
from state.values import frozen, mutable

CLOSING_SECONDS = 30.0
"""How long the end of a step waits for an upload that it cut off; a store that hangs must not hold it up."""


class _CutOffError(Exception):
    """Ends an upload for which nobody waits any more."""


@frozen
class _Staged:
    """A checkpoint and the folder in which its files are safe from the worker that rotates them."""

    checkpoint: Checkpoint
    folder: Path


def shareable(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint may leave the machine: sharded ones hold pickles that run code when they are read."""
    return checkpoint.format == "torch"


@mutable
class CheckpointUploads:
    """Uploads the newest checkpoint of one run, in a thread of its own; nothing that happens to it ends the training.

    Only one may be open for a `.tune` folder: what lies in its `uploads/` at the start was left by a process that was
    killed, and is removed. `say` is called from the thread.
    """

    store: SharedStore
    key: str
    tune_folder: Path
    say: Callable[[str], None]
    _numbers: count[int] = field(factory=count, init=False)
    _change: Condition = field(factory=Condition, init=False)
    _waiting: _Staged | None = field(default=None, init=False)
    _current: _Staged | None = field(default=None, init=False)
    _failed: _Staged | None = field(default=None, init=False)
    _closed: bool = field(default=False, init=False)
    _thread: Thread = field(init=False)

    def __enter__(self) -> Self:
        """Start with nothing to do."""
        shutil.rmtree(self._root, ignore_errors=True)
        self._thread = Thread(target=self._run, name="checkpoint uploads", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut off what is still being uploaded, and clean up."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join(CLOSING_SECONDS)
        shutil.rmtree(self._root, ignore_errors=True)

    def offer(self, checkpoint: Checkpoint) -> None:
        """Upload a checkpoint when there is time; it takes the place of an earlier one that still waits or failed."""
        staged = self._stage(checkpoint)
        if staged is None:
            return
        with self._change:
            replaced = (self._waiting, self._failed)
            self._waiting, self._failed = staged, None
            self._change.notify_all()
        for one in replaced:
            _unstage(one)

    def drain(self, timeout: float) -> bool:
        """Wait until all that was offered is in the store; whether it is, after so many seconds at the latest.

        An upload that had failed is tried once more.
        """
        with self._change:
            if self._waiting is None:
                self._waiting, self._failed = self._failed, None
            self._change.notify_all()
            idle = self._change.wait_for(lambda: self._waiting is None and self._current is None, timeout)
            return idle and self._failed is None

    @property
    def _root(self) -> Path:
        return self.tune_folder / "uploads"

    def _stage(self, checkpoint: Checkpoint) -> _Staged | None:
        """Give the files of a checkpoint second names; None if it cannot be done, or rotation was faster."""
        source = self.tune_folder / checkpoint.folder
        staged = _Staged(checkpoint, self._root / self.key / str(next(self._numbers)))
        try:
            manifest = artifacts.read(source)
            if manifest is None:
                return None
            for path in (*manifest.digests, artifacts.MANIFEST):
                link(source / path, staged.folder / path)
        except FileNotFoundError:
            _unstage(staged)
            return None
        except (OSError, ProblemError) as error:
            _unstage(staged)
            self._tell(checkpoint, error)
            return None
        return staged

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting is not None or self._closed)
                if self._closed or self._waiting is None:
                    return
                staged = self._current = self._waiting
                self._waiting = None
            done = self._upload(staged)
            with self._change:
                if not done and self._waiting is None:
                    self._failed = staged
                else:
                    _unstage(staged)
                self._current = None
                self._change.notify_all()

    def _upload(self, staged: _Staged) -> bool:
        try:
            self.store.publish_checkpoint(self.key, staged.checkpoint, staged.folder, self._moved)
        except Exception as error:  # noqa: BLE001  a training is worth more than the copy of its checkpoint
            if not self._closed:
                self._tell(staged.checkpoint, error)
            return False
        return True

    def _moved(self, _: int) -> None:
        if self._closed:
            raise _CutOffError

    def _tell(self, checkpoint: Checkpoint, error: Exception) -> None:
        why = str(error) or type(error).__name__
        self.say(f"The checkpoint of step {checkpoint.step} is not in the shared store yet: {why}")


def link(source: Path, target: Path) -> None:
    """A second name for a file, which outlives the first; a copy where the file system has no such names."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)


def _unstage(staged: _Staged | None) -> None:
    if staged is not None:
        with suppress(OSError):
            shutil.rmtree(staged.folder)
