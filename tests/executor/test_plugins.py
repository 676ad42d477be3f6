"""Kinds and methods are found by being there: a module of ours, or an entry point of somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

KIND = """\
from planner.kind import Kind
from attrs import frozen

@frozen
class Poem:
    pass

KIND = Kind("poem", {"": Poem}, 1, "rewrite", inputs=lambda *_: {})
NOT_A_KIND = "prose"
"""


def load(folder: Path, entry: str) -> subprocess.CompletedProcess[str]:
    """The kinds that a process sees in which another distribution is installed."""
    (folder / "acme_kinds.py").write_text(KIND)
    metadata = folder / "acme-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[tune.kinds]\npoem = acme_kinds:{entry}\n")
    code = "from executor import kinds; print(*kinds.load())"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)


def test_a_kind_of_another_distribution_is_one_of_the_kinds(tmp_path: Path) -> None:
    kinds = ["dataset", "eval", "export", "merge", "model", "tokens", "train", "poem"]
    assert load(tmp_path, "KIND").stdout.split() == kinds


def test_what_is_no_kind_is_refused_by_name(tmp_path: Path) -> None:
    assert "expected a Kind, found 'prose'" in load(tmp_path, "NOT_A_KIND").stderr
