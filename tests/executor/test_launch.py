"""What a worker prints is kept, and holds no secret of the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor.workers.rank_process import keep_log
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
