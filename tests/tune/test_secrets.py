"""Secrets in the environment, in URLs and in recipes: none is in anything that is written or shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PLANTED = {
    "HF_TOKEN": "hf_plantedPLANTEDplanted0123456789",
    "WANDB_API_KEY": "plantedwandb0123456789abcdef0123456789ab",
    "AWS_SECRET_ACCESS_KEY": "planted/Secret+Key/0123456789",
    "OPENAI_API_KEY": "sk-planted-planted-planted-0123456789",
    "MY_PASSWORD": "planted password with spaces",
}
SMALL = """
[model.tiny]
tokenizer = "tokenizer"

[dataset.chats]
source = "data/chats.jsonl"
type = "chat_template"

[model.tiny.config]
model_type = "llama"
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 1
num_attention_heads = 2

[train.small]
method = "sft"
model = "model.tiny"
datasets = ["dataset.chats"]
sequence_len = 128
max_steps = 2
batch_size = 4
micro_batch_size = 4
learning_rate = 1e-3
bf16 = false
"""


def written(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.torch
@pytest.mark.slow
def test_no_secret_of_the_environment_is_written_or_shown(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    (fresh.path / "recipe.toml").write_text(SMALL)
    shown = []
    for command in (
        ["plan", "--out", "p.plan.json"],
        ["apply", "p.plan.json", "--json"],
        ["state", "show", "train.small", "--json"],
        ["state", "log", "--json"],
        ["state", "pull"],
        ["export-audit", "train.small"],
    ):
        done = fresh.tune(*command)
        shown.append(done.stdout + done.stderr)
    files = written(fresh.path)
    assert any(path.suffix == ".log" for path in files)
    assert any(path.name == "bom.cdx.json" for path in files)
    for value in PLANTED.values():
        assert not [path for path, content in files.items() if value.encode() in content]
        assert not [text for text in shown if value in text]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('source = "data/chats.jsonl"', 'source = "https://ada:planted-secret@data.example/chats.jsonl"', "6:1"),
        ("[dataset.chats]", '[dataset.chats]\ndescription = "hf_plantedPLANTEDplanted0123456789"', ""),
        ("[dataset.chats]", '[state]\nurl = "s3://bucket/x?X-Amz-Signature=planted-secret"\n[dataset.chats]', ""),
        ("[dataset.chats]", '[state]\nurl = "s3://ada:planted-secret@bucket/x"\n[dataset.chats]', ""),
    ],
)
@pytest.mark.parametrize("command", [["validate"], ["plan"], ["apply", "--auto-approve"], ["state", "list"]])
def test_a_recipe_with_a_secret_is_refused_without_repeating_it(
    empty: Any, old: str, new: str, where: str, command: list[str]
) -> None:
    if command == ["state", "list"] and "[state]" not in new:
        return
    (empty.path / "recipe.toml").write_text(SMALL.replace(old, new))
    refused = empty.tune(*command, expect=1).stderr
    assert where in refused
    assert "recipe.toml:" in refused
    assert "planted" not in refused.lower()
    assert [path.name for path in empty.path.iterdir()] == ["recipe.toml"]
