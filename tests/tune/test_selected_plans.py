"""Part of a plan, asked for on the command line, saved and applied; and a policy that holds applies back."""

from __future__ import annotations

import json
import subprocess
from typing import Any


def test_a_part_is_planned_saved_and_applied(fresh: Any) -> None:
    printed = fresh.tune("plan", "--target", "dataset.chats", "--out", "p.plan.json").stdout
    assert printed == (
        "To make the models match recipe.toml, tune will:\n"
        "\n"
        "    + build\n"
        "\n"
        "    + dataset.chats  build\n"
        "        not in state yet\n"
        "\n"
        "Left out, as asked for: model.tiny, dataset.corpus, dataset.heldout, tokens.base, train.base,\n"
        "tokens.assistant, train.assistant, merge.assistant, tokens.eval.assistant, eval.assistant.\n"
        "Plan: 1 to build.\n"
    )
    assert fresh.tune("show", "p.plan.json").stdout == printed
    refused = fresh.tune("apply", "p.plan.json", "--exclude", "dataset.chats", expect=1)
    assert "A saved plan remembers --target, --exclude and --replace." in refused.stderr
    done = fresh.tune("apply", "p.plan.json", "--json").stdout.splitlines()
    assert json.loads(done[-1])["steps"] == {"dataset.chats": "recorded"}
    again = fresh.tune("plan", "--target", "dataset.chats", "--detailed-exitcode").stdout
    assert again.endswith("No changes to what was selected.\n")


def test_an_unknown_address_cannot_be_selected(fresh: Any) -> None:
    refused = fresh.tune("plan", "--replace", "train.asistant", expect=1)
    assert refused.stderr == (
        "Error: Unknown address [TUNE040]\n"
        "  There is no `train.asistant` in the recipe or the state.\n"
        "  hint: Did you mean `train.assistant`?\n"
    )


def git(folder: Any, *arguments: str) -> None:
    name = ("-c", "user.name=ada", "-c", "user.email=ada@localhost")
    command = ["git", "-C", str(folder.path), *name, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def test_a_policy_asks_for_a_commit(fresh: Any) -> None:
    text = (fresh.path / "recipe.toml").read_text()
    (fresh.path / "recipe.toml").write_text(f"[policy]\nallow_dirty_git = false\n{text}")
    part = ("apply", "--auto-approve", "--target")
    refused = fresh.tune(*part, "dataset.chats", expect=1)
    assert (
        "recipe.toml:2:1: Error: Policy [TUNE060]\n  The recipe's folder is in no git repository with a commit.\n"
        in refused.stderr
    )
    git(fresh, "init")
    git(fresh, "add", ".")
    git(fresh, "commit", "-m", "first")
    fresh.tune(*part, "dataset.chats")
    fresh.tune(*part, "dataset.corpus")  # the state that the first one wrote is no edit
    fresh.edit("learning_rate = 1e-3", "learning_rate = 2e-3")
    refused = fresh.tune(*part, "dataset.heldout", expect=1)
    assert "The recipe's folder differs from its commit.\n" in refused.stderr
    assert fresh.tune("plan").returncode == 0
