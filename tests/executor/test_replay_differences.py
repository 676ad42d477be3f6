"""Two results that should be one: what is told of those that are not."""

from __future__ import annotations

import json
from pathlib import Path

from executor.applying.replay_differences import differences


def test_figures_and_answers_that_differ_are_told(tmp_path: Path) -> None:
    for name, accuracy, said in (("before", 0.5, ["2", "3", "4"]), ("after", 0.25, ["2", "5", "6"])):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "metrics.json").write_text(json.dumps({"exact_match": accuracy, "answers": 3}))
        (folder / "predictions.jsonl").write_text("".join(f'{{"answer": "{one}"}}\n' for one in said))
    assert list(differences("eval", tmp_path / "before", tmp_path / "before")) == []
    assert list(differences("eval", tmp_path / "before", tmp_path / "after")) == [
        "exact_match is 0.25, and was 0.5",
        "2 of 3 answers differ, the first is answer 2",
    ]
