"""Dropout that a model has of its own: known to plans, said in records, and switched off where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from executor import kinds, methods
from executor.models.dropout_rates import DROPOUT, RATE, UNLESS_SAID, drops_out, fact, switch_off
from planner.desired import effect_of
from planner.diff import Action
from planner.effects import Effect
from planner.kind import Probe
from planner.recipe import parse
from planner.structure import settings_of
from state.canonical import Plain
from state.record import Record, Status
from tests.executor.test_stage_faults import RECIPE
from tests.executor.test_train_fields import NOTHING_AROUND, meant
from tests.executor.test_training import ARCHITECTURE

CHAIN = f"""\
{RECIPE}[train.after]
method = "sft"
model = "train.it"
datasets = ["dataset.chats"]
learning_rate = 1e-4
"""
PREFERRING = f"""\
{RECIPE}[dataset.pairs]
source = "pairs.jsonl"
type = "preference"
[train.after]
method = "dpo"
model = "train.it"
datasets = ["dataset.pairs"]
learning_rate = 1e-4
"""
CONFIGURATIONS: list[tuple[dict[str, Any], bool]] = [
    ({"model_type": "llama"}, False),
    ({"model_type": "llama", "attention_dropout": 0.0}, False),
    ({"model_type": "llama", "attention_dropout": 0.1}, True),
    ({"model_type": "gpt2"}, True),
    ({"model_type": "gpt2", "attn_pdrop": 0.1, "embd_pdrop": 0.0, "resid_pdrop": 0}, True),
    (
        {"model_type": "gpt2", "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0, "summary_first_dropout": 0.1},
        False,
    ),
    ({"model_type": "opt", "dropout": 0.0, "layerdrop": 0.2}, True),
    ({"model_type": "gpt_neox", "classifier_dropout": 0.1, "use_dropout": True, "drop_policy": "probs"}, False),
    ({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "attention_dropout": 0.1}}, True),
    ({"model_type": "mixtral", "router_jitter_noise": 0.01}, True),
]
FAMILIES: dict[str, dict[str, Plain]] = {
    "llama": {"attention_dropout": 0.3},
    "gpt2": {"n_embd": 32, "n_head": 4, "n_layer": 2},
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 32, "layerdrop": 0.3},
    "mixtral": {"attention_dropout": 0.3, "router_jitter_noise": 0.3},
}


def probed(folder: Path, line: str = "", config: str = "", chain: str = CHAIN, **records: Record) -> Probe:
    """What a plan finds out of the second run of a chain, where the first model's configuration can be read or not."""
    if config:
        (folder / "tiny").mkdir()
        (folder / "tiny/config.json").write_text(config)
    resources = parse(chain + line, "recipe.toml", kinds.load()).resources
    named = {address.replace("_", "."): record for address, record in records.items()}
    state = attrs.evolve(NOTHING_AROUND.state, records=named)
    around = attrs.evolve(NOTHING_AROUND, folder=folder, resources=resources, state=state)
    found: Probe = resources["train.after"].kind.probe(resources["train.after"], around)
    return found


@pytest.mark.parametrize(("config", "expected"), CONFIGURATIONS)
def test_what_a_configuration_says(config: dict[str, Any], *, expected: bool) -> None:
    assert drops_out(config) is expected
    assert fact(config, disabled=False) == {DROPOUT: expected}
    assert fact(config, disabled=True) == {DROPOUT: False}


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_what_a_configuration_leaves_out_is_what_transformers_assumes() -> None:
    from huggingface_hub.errors import StrictDataclassClassValidationError
    from transformers import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found: dict[str, set[str]] = {}

    def look(config: dict[str, Any]) -> None:
        for name, value in config.items():
            if isinstance(value, dict):
                look(value)
            elif isinstance(value, float) and value > 0 and RATE.fullmatch(str(name)):
                found.setdefault(config["model_type"], set()).add(name)

    for family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        try:
            look(CONFIG_MAPPING[family]().to_dict())
        except StrictDataclassClassValidationError:  # gemma4_assistant has no configuration without fields
            continue
    assert found == {family: set(names) for family, names in UNLESS_SAID.items()}


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_drawn_by_a_model_whose_dropout_is_switched_off(family: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes: dict[str, Any] = {
        **ARCHITECTURE,
        "vocab_size": 64,
        "pad_token_id": 0,
        **FAMILIES[family],
        "model_type": family,
    }
    config = AutoConfig.for_model(**sizes)
    random: Any = AutoModelForCausalLM.from_config
    model = random(config).train()
    rows = torch.arange(3, 27).reshape(2, 12)
    assert drops_out(config.to_dict())
    assert not torch.equal(model(rows).logits, model(rows).logits)
    switch_off(model)
    assert torch.equal(model(rows).logits, model(rows).logits)
    assert drops_out(model.config.to_dict())  # what is saved is the model as it came


@pytest.mark.parametrize("config", ['{"model_type": "gpt2"}', '{"model_type": "llama"}'])
def test_a_plan_reads_it_where_the_model_is(tmp_path: Path, config: str) -> None:
    assert probed(tmp_path, config=config).facts == {DROPOUT: "gpt2" in config}


def test_a_plan_elsewhere_takes_the_word_of_the_record(tmp_path: Path) -> None:
    assert probed(tmp_path).facts == {}
    trained = Record("train", {}, {}, {}, 1, "key", Status.READY, "made", facts={DROPOUT: True, "steps": 3})
    assert probed(tmp_path, train_after=trained).facts == {DROPOUT: True}


@pytest.mark.parametrize("disabled", [True, False])
def test_a_run_without_the_dropout_of_its_base_has_none(tmp_path: Path, *, disabled: bool) -> None:
    base = Record("model", {}, {}, {}, 1, "key", Status.READY, "made", facts={DROPOUT: True})
    chain = f"{PREFERRING}disable_dropout = {str(disabled).lower()}\n"
    assert probed(tmp_path, chain=chain, model_tiny=base).facts == {DROPOUT: not disabled}


def test_of_a_run_that_was_cut_off_the_record_of_its_base_tells(tmp_path: Path) -> None:
    base = Record("model", {}, {}, {}, 1, "key", Status.READY, "made", facts={DROPOUT: True})
    cut_off = Record("train", {}, {}, {}, 1, "key", Status.INTERRUPTED)
    assert probed(tmp_path, train_after=cut_off, model_tiny=base).facts == {DROPOUT: True}


def test_a_micro_batch_that_may_shrink_is_refused(tmp_path: Path) -> None:
    (found,) = probed(tmp_path, "auto_micro_batch = true", '{"model_type": "gpt2"}').diagnostics
    assert found.detail == (
        "train.after.auto_micro_batch: model.tiny has dropout of its own, and a smaller micro-batch would be "
        "another training."
    )
    assert (found.place.line, found.place.file) == (18, "recipe.toml")


@pytest.mark.parametrize(("facts", "expected"), [({DROPOUT: True}, Action.REBUILD), ({DROPOUT: False}, Action.UPDATE)])
def test_masks_are_drawn_for_each_micro_batch(facts: dict[str, Plain], expected: Action) -> None:
    assert meant("micro_batch_size = 8", "micro_batch_size = 4", facts=facts).action is expected


def test_masks_are_drawn_by_each_process() -> None:
    specification = methods.load()["sft"].specification
    stage = settings_of(specification(model="model.tiny", datasets=("dataset.chats",), learning_rate=1e-4))
    for path in ("distributed.processes", "distributed.nodes", "distributed.strategy", "torch_compile"):
        assert effect_of(specification, path, stage, {DROPOUT: True}) is Effect.REBUILD
        assert effect_of(specification, path, stage, {}) is Effect.NUMERICS
