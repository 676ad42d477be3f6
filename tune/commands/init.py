"""`tune init`: a recipe to start from."""

from __future__ import annotations

from pathlib import Path

import click

from state.diagnostic import problem
from state.durable import write_atomically
from tune.project import DEFAULTS
from tune.writing import say

RECIPE = """\
# What should exist. `tune plan` says what has to be done for it, and why; `tune apply` does it.

[model.base]                               # what training starts from: a hub repository, or a folder
source = "Qwen/Qwen2.5-0.5B-Instruct"
revision = "main"                          # a commit keeps it for ever; a branch is resolved once

[dataset.chats]                            # {"messages": [{"role": "user", "content": "..."}, ...]} in every row
source = "data/chats.jsonl"                # a file, a glob, a folder, or a list of these
type = "chat_template"

[dataset.heldout]                          # rows that are never trained on
source = "data/heldout.jsonl"
type = "chat_template"

[train.assistant]
method = "sft"
model = "model.base"
datasets = ["dataset.chats"]
sequence_len = 2048
num_epochs = 2
batch_size = 16                            # rows for one optimizer step, however many fit at once
learning_rate = 2e-4
lr_scheduler = "cosine"
warmup_ratio = 0.05
bf16 = true                                # false on a CPU, and on GPUs older than Ampere
seed = 42

[train.assistant.adapter]                  # without this table all weights are trained
type = "lora"
r = 16
lora_alpha = 32
target_modules = "all-linear"

[train.assistant.checkpoints]              # a run that is stopped or killed goes on from the newest
save_steps = 100
save_total_limit = 2

[merge.assistant]                          # one folder that any Hugging Face tool loads
adapter = "train.assistant"

[eval.assistant]
model = "merge.assistant"
datasets = ["dataset.heldout"]
metrics = ["perplexity"]

# [eval.assistant.gate]                    # `tune apply` fails if the model is not this good
# perplexity = "<= 8"

# [state]                                  # shared with a team; without it everything is in .tune/
# url = "s3://team/tune/assistant"
"""
IGNORED = b"*.plan.json"
IGNORE = b"# Saved plans of tune; .tune/ says itself what git should ignore.\n" + IGNORED + b"\n"


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
def command(folder: Path) -> None:
    """Write a recipe to start from into FOLDER, and keep saved plans out of git; nothing is overwritten."""
    for name in DEFAULTS:
        if (folder / name).exists():
            detail = f"`{folder / name}` exists, and is left as it is."
            raise problem("Recipe exists", detail, "Name another folder: `tune init FOLDER`.")
    write_atomically(folder / DEFAULTS[0], RECIPE.encode())
    click.echo(folder / DEFAULTS[0])
    ignore = folder / ".gitignore"
    before = ignore.read_bytes() if ignore.exists() else b""
    if IGNORED not in before.splitlines():
        gap = b"" if before.endswith(b"\n") or not before else b"\n"
        write_atomically(ignore, before + gap + IGNORE)
        click.echo(ignore)
    plan = "tune plan" if folder == Path() else f"tune plan {folder}"
    say(f"Name your model and your data in it, then look at what that means: {plan}")
