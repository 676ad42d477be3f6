"""What a worker prints is kept, and holds no secret of the environment."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.workers.rank_process import keep_log
from executor.workers.worker import _explain
from tests.processes import running


def test_the_log_of_a_worker_that_prints_its_environment_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef0123")
    monkeypatch.setenv("HF_TOKEN", "something-without-shape")
    monkeypatch.setenv("HARMLESS", "kept as it is")
    code = "import os, sys\nfor name, value in os.environ.items(): print(name, repr(value), file=sys.stderr)"
    with running([sys.executable, "-c", code], stderr=subprocess.PIPE, env=os.environ) as process:
        keep_log(process, tmp_path / "log")
    lines = (tmp_path / "log").read_text().splitlines()
    assert "WANDB_API_KEY '(secret removed)'" in lines
    assert "HF_TOKEN '(secret removed)'" in lines
    assert "HARMLESS 'kept as it is'" in lines


def test_a_worker_is_read_on_where_its_log_finds_no_room() -> None:
    """More than a pipe holds: a worker that nobody reads would wait for ever."""
    code = "import sys; sys.stderr.write('a line of sixty or so letters, as libraries print them\\n' * 5000)"
    with running([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        keep_log(process, Path("/dev/full"))
        assert process.wait(timeout=10) == 0


def archive_without_room() -> Exception:
    """What torch says when a file of a checkpoint finds no room."""
    told = "[enforce fail at inline_container.cc:672] . unexpected pos 685056 vs 684948"
    return RuntimeError(told)


def wrapped() -> Exception:
    error = RuntimeError("could not save")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


@pytest.mark.parametrize(
    "error",
    [
        archive_without_room(),
        wrapped(),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ValueError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_told_as_that_however_a_library_puts_it(error: Exception) -> None:
    found = _explain(error)
    assert found.summary == "Disk full"
    assert found.hint == "Free some space, or lower `checkpoints.save_total_limit`; complete checkpoints are kept."
    assert _explain(RuntimeError("unexpected pos")).summary == "Step failed"
