"""Models from a folder and from the hub's cache, trained for a few steps as a person would."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKENIZER = Path(__file__).parent.parent.parent / "examples" / "quickstart" / "tokenizer"
RECIPE = """\
[model.base]
{model}

[dataset.rows]
source = "rows.jsonl"
type = "chat_template"

[train.sft]
method = "sft"
model = "model.base"
datasets = ["dataset.rows"]
learning_rate = 1e-3
max_steps = 2
batch_size = 2
sequence_len = 64
sample_packing = true
bf16 = false
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with its tokenizer, as it would lie in a repository."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("weights")
    config = LlamaConfig(
        vocab_size=423, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=64,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    for path in TOKENIZER.iterdir():
        shutil.copyfile(path, folder / path.name)
    return folder


def rows(folder: Path, count: int = 6) -> None:
    answers = [{"role": "user", "content": "3 March 2021?"}, {"role": "assistant", "content": "2021-03-03"}]
    (folder / "rows.jsonl").write_text("".join(json.dumps({"messages": answers}) + "\n" for _ in range(count)))


def test_a_folder_is_what_its_files_are_and_a_tokenizer_change_tokenizes_again(empty: Any, weights: Path) -> None:
    shutil.copytree(weights, empty.path / "llama")
    (empty.path / "recipe.toml").write_text(RECIPE.format(model='source = "llama"'))
    rows(empty.path)
    # A person's own modules of our packages' names, in the folder where the command is run, are never imported.
    for stranger in ("state.py", "planner.py", "executor.py"):
        (empty.path / stranger).write_text("raise RuntimeError('a stranger was imported')\n")
    assert empty.apply() == {
        "model.base": "recorded",
        "dataset.rows": "recorded",
        "tokens.sft": "built",
        "train.sft": "built",
    }
    assert empty.record("tokens.sft")["facts"]["rows"] < 6
    template = empty.path / "llama" / "chat_template.jinja"
    template.write_text(template.read_text() + "{# a comment #}")
    assert empty.actions() == {"model.base": "update", "tokens.sft": "rebuild", "train.sft": "rebuild"}
    assert empty.apply()["train.sft"] == "reused"
    (empty.path / "llama").rename(empty.path / "renamed")
    empty.edit('source = "llama"', 'source = "renamed"')
    assert empty.actions() == {"model.base": "update"}
    weights_file = empty.path / "renamed" / "model.safetensors"
    changed = bytearray(weights_file.read_bytes())
    changed[-1] ^= 1
    weights_file.write_bytes(bytes(changed))
    assert empty.actions() == {"model.base": "update", "train.sft": "rebuild"}


@pytest.fixture
def cached(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's cache as a download leaves it, and no network."""
    repository = tmp_path / "cache" / "models--acme--tiny"
    shutil.copytree(weights, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.usefixtures("cached")
def test_a_hub_model_at_a_commit_is_planned_without_network_and_trained_with_the_template_that_the_recipe_names(
    empty: Any, weights: Path
) -> None:
    (empty.path / "mine.jinja").write_text((weights / "chat_template.jinja").read_text() + "{# mine #}")
    model = f'source = "acme/tiny"\nrevision = "{COMMIT}"\nchat_template = "mine.jinja"'
    (empty.path / "recipe.toml").write_text(RECIPE.format(model=model))
    rows(empty.path)
    assert empty.actions()["model.base"] == "build"
    assert empty.apply()["train.sft"] == "built"
    assert empty.record("model.base")["content"]["commit"] == COMMIT
    assert empty.record("model.base")["facts"] == {"dropout": False}
    assert empty.summary() == {"reuse": 4}
    trained = Path(empty.tune("output", "train.sft").stdout.strip())
    assert (trained / "chat_template.jinja").read_text() == (empty.path / "mine.jinja").read_text()


@pytest.mark.usefixtures("cached")
def test_a_branch_that_cannot_be_resolved_says_how_to_pin_it(empty: Any) -> None:
    (empty.path / "recipe.toml").write_text(RECIPE.format(model='source = "acme/tiny"'))
    rows(empty.path)
    said = empty.tune("plan", expect=1).stderr
    assert "recipe.toml:2:1: Error: Unresolved revision" in said
    assert 'hint: Pin it: `revision = "<commit>"`' in said


def test_long_rows_are_refused_dropped_or_cut_as_the_recipe_says(empty: Any, weights: Path) -> None:
    shutil.copytree(weights, empty.path / "llama")
    recipe = RECIPE.format(model='source = "llama"').replace("sequence_len = 64", "sequence_len = 24")
    (empty.path / "recipe.toml").write_text(recipe)
    rows(empty.path, 2)
    long = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "2021-03-03 " * 9}]
    with (empty.path / "rows.jsonl").open("a") as file:
        file.write(json.dumps({"messages": long}) + "\n")
    said = empty.tune("plan", expect=1).stderr
    assert "rows.jsonl:3: Error: Broken row" in said
    assert "more than `sequence_len` = 24" in said
    for strategy, fact in (("drop", "dropped"), ("truncate", "truncated")):
        (empty.path / "recipe.toml").write_text(f'{recipe}excess_length_strategy = "{strategy}"\n')
        empty.apply("--target", "tokens.sft")
        assert empty.record("tokens.sft")["facts"][fact] == 1


ADAPTER = """
[train.sft.adapter]
type = "lora"
r = 4
"""
CHAIN = """
[train.more]
method = "sft"
model = "train.sft"
datasets = ["dataset.rows"]
learning_rate = 1e-2
max_steps = 2
batch_size = 2
sequence_len = 64
bf16 = false

[train.more.adapter]
type = "dora"
r = 2

[merge.final]
adapter = "train.more"
dtype = "float32"
"""


def test_an_adapter_is_the_same_in_every_folder_and_one_on_top_of_it_is_merged_with_both(
    empty: Any, weights: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    from executor.models.loading import load_model
    from executor.workers.task import Input

    other = type(empty)(tmp_path / "elsewhere" / "deep")
    other.path.mkdir(parents=True)
    digests = []
    for folder, more in ((empty, CHAIN), (other, "")):
        shutil.copytree(weights, folder.path / "llama")
        (folder.path / "recipe.toml").write_text(RECIPE.format(model='source = "llama"') + ADAPTER + more)
        rows(folder.path)
        folder.apply()
        digests.append(folder.record("train.sft")["output_digest"])
    assert digests[0] == digests[1]
    folders = [str(empty.path / "llama")]
    folders += [empty.tune("output", address).stdout.strip() for address in ("train.sft", "train.more")]
    expected = load_model([Input("", "", folder, {}, {}) for folder in folders], "float32", "sdpa").state_dict()
    merged = AutoModelForCausalLM.from_pretrained(empty.tune("output", "merge.final").stdout.strip()).state_dict()
    assert expected.keys() == merged.keys()
    assert all(bool((expected[name] == merged[name]).all()) for name in expected)
    base = AutoModelForCausalLM.from_pretrained(weights).state_dict()
    assert any(bool((base[name] != merged[name]).any()) for name in base)
    empty.edit("learning_rate = 1e-2", "learning_rate = 2e-2")
    assert empty.actions() == dict.fromkeys(["train.more", "merge.final"], "rebuild")
