"""Names of other tools' fields lead to ours, and nowhere else."""

from __future__ import annotations

import re

import pytest

from executor import kinds
from executor.methods.sft import Sft
from executor.training.known_elsewhere import hints
from executor.training.trainer_arguments import SFT
from planner.effects import fields, table_class
from planner.recipe import parse
from state.diagnostic import ProblemError

RECIPE = """\
[model.m]
source = "m"
[dataset.d]
source = "d.jsonl"
[train.t]
method = "sft"
model = "model.m"
datasets = ["dataset.d"]
learning_rate = 1e-4
"""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gradient_accumulation_steps", "Use `batch_size`."),
        ("lora_r", "Write it into the table `adapter`, as `r`."),
        ("wandb_entity", "Remove it: trackers take it from their own environment variables."),
        ("liger_rope", "Set `use_liger_kernel`; `liger_kernel_config.rope` says which."),
        ("chat_template", "Write it into the table of the model."),
        ("learning_rte", "Did you mean `learning_rate`?"),
    ],
)
def test_a_name_from_elsewhere_is_told_what_it_is_here(name: str, hint: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse(f"{RECIPE}{name} = 1\n", "recipe.toml", kinds.load())
    (found,) = caught.value.diagnostics
    assert (found.summary, found.hint, str(found.place)) == ("Unknown field", hint, "recipe.toml:10:1")


def is_field(path: str, specification: type = Sft) -> bool:
    name, _, rest = path.partition(".")
    field = fields(specification).get(name)
    if field is None:
        return False
    inner = table_class(field)
    return not rest or inner is None or is_field(rest, inner)


def test_what_is_named_instead_is_there() -> None:
    for name, hint in hints().items():
        assert not is_field(name), name
        named = re.findall(r"(?:Use|Set) `([^`]+)`", hint)
        for path in named:
            assert path.removeprefix("trainer.") in SFT if path.startswith("trainer.") else is_field(path), name
        for inner in re.findall(r"table `adapter`, as `([^`]+)`", hint):
            assert is_field(f"adapter.{inner}"), name
