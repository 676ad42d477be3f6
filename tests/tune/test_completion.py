"""What a shell is told so that it completes `tune`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.tune.conftest import TUNE

COMPLETES = """
eval "$(tune completion bash)"
complete -p tune
COMP_WORDS=({words})
COMP_CWORD={last}
_tune_completion tune
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(folder: Path, *words: str) -> list[str]:
    script = COMPLETES.format(words=" ".join(words), last=len(words) - 1)
    environment = {**os.environ, "PATH": f"{TUNE.parent}:{os.environ['PATH']}"}
    command = ["bash", "--norc", "-c", script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    known, *found = done.stdout.splitlines()
    assert known == "complete -o nosort -F _tune_completion tune"
    return found


def test_bash_completes_commands_and_options(empty: Any) -> None:
    assert completed(empty.path, "tune", "pl") == ["plan"]
    assert completed(empty.path, "tune", "state", "li") == ["list"]
    assert completed(empty.path, "tune", "graph", "--fo") == ["--format"]
    assert completed(empty.path, "tune", "graph", "--format", "m") == ["mermaid"]


@pytest.mark.parametrize(("shell", "said"), [("zsh", "compdef _tune_completion tune"), ("fish", "complete --no-files")])
def test_other_shells_get_theirs(empty: Any, shell: str, said: str) -> None:
    assert said in empty.tune("completion", shell).stdout
    assert f"_TUNE_COMPLETE={shell}_complete" in empty.tune("completion", shell).stdout


def test_an_unknown_shell_is_refused_with_those_that_are_known(empty: Any) -> None:
    refused = empty.tune("completion", "ksh", expect=1)
    assert "'ksh' is not one of 'bash', 'zsh', 'fish'." in refused.stderr
