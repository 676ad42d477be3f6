"""An own configuration of accelerate's: read into the recipe's fields, and refused where it contradicts the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor import kinds
from executor.training.accelerate_file import probed
from executor.training.accelerate_keys import AS_IT_IS, FIELDS, HINTS, SECTIONS, decided
from executor.training.distributed_fields import Distributed
from planner.kind import Resource
from planner.recipe import parse
from state.diagnostic import Diagnostic, Place
from tests.executor.test_training import BASIC

RECIPE = """
[model.tiny]
source = "model"
[dataset.chats]
source = "chats.jsonl"
type = "chat_template"
[train.it]
method = "sft"
model = "model.tiny"
datasets = ["dataset.chats"]
learning_rate = 1e-3
batch_size = 8
micro_batch_size = 2
distributed = {{ {table} }}
"""
FILE = "accelerate.yaml"
NAMED = f'accelerate_config = "{FILE}"'
ZERO = """\
compute_environment: LOCAL_MACHINE
debug: false
deepspeed_config:
  gradient_accumulation_steps: 2
  gradient_clipping: 1.0
  offload_optimizer_device: nvme
  offload_optimizer_nvme_path: /local_nvme
  offload_param_device: none
  zero3_init_flag: true
  zero3_save_16bit_model: true
  zero_stage: 3
distributed_type: DEEPSPEED
downcast_bf16: 'no'
enable_cpu_affinity: false
machine_rank: 0
main_training_function: main
mixed_precision: bf16
num_machines: 1
num_processes: 2
rdzv_backend: static
same_network: true
tpu_env: []
tpu_use_cluster: false
tpu_use_sudo: false
use_cpu: false
"""
"""As `accelerate config` writes it."""
SHARDED = """\
distributed_type: FSDP
fsdp_config:
  fsdp_activation_checkpointing: false
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_offload_params: true
  fsdp_reshard_after_forward: false
  fsdp_state_dict_type: FULL_STATE_DICT
  fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer, OtherLayer
  fsdp_version: 2
mixed_precision: bf16
num_machines: 2
num_processes: 8
"""
FSDP = '`fsdp_config.fsdp_offload_params` is True, and the strategy is "auto"'
STEPS = "`deepspeed_config.gradient_accumulation_steps` is 4, and the recipe's `batch_size` makes it 2"
REFUSED = {
    *("command_file", "commands", "tpu_name", "tpu_vm", "tpu_zone"),
    *("fp8_config", "megatron_lm_config", "mpirun_config", "parallelism_config"),
}
"""What accelerate has for other machines and other ways to train."""


def read(folder: Path, content: str, table: str = NAMED) -> tuple[Distributed, tuple[Diagnostic, ...]]:
    (folder / FILE).write_text(content)
    return probed(_resource(table), folder)


def _resource(table: str) -> Resource:
    return parse(RECIPE.format(table=table), "recipe.toml", kinds.load()).resources["train.it"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            ZERO,
            Distributed("deepspeed", 2, zero_stage=3, offload_optimizer="nvme", nvme_path="/local_nvme"),
        ),
        (
            SHARDED,
            Distributed(
                "fsdp",
                4,
                2,
                offload_parameters="cpu",
                reshard_after_forward=False,
                state_dict_type="full",
                transformer_layer_cls_to_wrap=("LlamaDecoderLayer", "OtherLayer"),
            ),
        ),
        ("distributed_type: MULTI_GPU\nmixed_precision: bf16\n", Distributed("ddp")),
        ("distributed_type: 'NO'\nnum_processes: 1\n", Distributed("single", 1)),
        (
            "distributed_type: DEEPSPEED\ndeepspeed_config: {deepspeed_config_file: ds.json}\n",
            Distributed("deepspeed", config="ds.json"),
        ),
    ],
    ids=["zero", "fsdp", "ddp", "single", "file in file"],
)
def test_a_file_sets_the_fields_of_the_recipe(tmp_path: Path, content: str, expected: Distributed) -> None:
    assert read(tmp_path, content) == (expected, ())
    assert read(tmp_path, content, f"{NAMED}, strategy = '{expected.strategy}'") == (expected, ())


@pytest.mark.parametrize(
    ("content", "table", "line", "said"),
    [
        (
            ZERO,
            ", zero_stage = 2",
            11,
            "`deepspeed_config.zero_stage` is 3, and the recipe's `distributed.zero_stage` makes it 2",
        ),
        (
            "num_processes: 2",
            ", processes = 4",
            1,
            "`num_processes` is 2, and the recipe's `distributed.processes` makes it 4",
        ),
        (
            "debug: false\nmixed_precision: fp16",
            "",
            2,
            "`mixed_precision` is 'fp16', and the recipe's `bf16` makes it 'bf16'",
        ),
        ("num_machines: 2\nnum_processes: 3", "", 2, "`num_processes` is 3, which 2 machines cannot share evenly"),
        ("distributed_type: MEGATRON_LM", "", 1, "`distributed_type` is 'MEGATRON_LM', which is no value for it here"),
        ("fsdp_config:\n  fsdp_offload_params: true", "", 2, FSDP),
        ("num_proceses: 2", "", 1, "`num_proceses` is 2, for which there is nothing here"),
        ("main_process_ip: 10.0.0.1", "", 1, "`main_process_ip` is '10.0.0.1', for which there is nothing here"),
        ("fp8_config:\n  backend: TE", "", 2, "`fp8_config.backend` is 'TE', for which there is nothing here"),
        (ZERO.replace("steps: 2", "steps: 4"), "", 4, STEPS),
        (
            SHARDED.replace("version: 2", "version: 1"),
            "",
            9,
            "`fsdp_config.fsdp_version` is 1, for which there is nothing here",
        ),
    ],
)
def test_what_contradicts_the_recipe_is_told_with_its_line(
    tmp_path: Path, content: str, table: str, line: int, said: str
) -> None:
    _, (found,) = read(tmp_path, content, NAMED + table)
    assert (found.place.file, found.place.line) == (FILE, line)
    assert found.detail == f"{said}."
    assert found.hint


@pytest.mark.parametrize(
    ("content", "place"),
    [("- a", Place(FILE, 1, 1)), ("a: [", Place(FILE, 1, 5)), (None, Place("recipe.toml", 14, 17))],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, content: str | None, place: Place) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    _, (found,) = probed(_resource(NAMED), tmp_path)
    assert found.place == place


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_all_keys_that_accelerate_has_are_known_and_its_own_file_is_taken(tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.utils import write_basic_config

    known = {one.partition(".")[0] for one in (*FIELDS, *AS_IT_IS, *HINTS, *SECTIONS, *decided(BASIC, Distributed()))}
    assert set(ClusterConfig.__dataclass_fields__) - known == REFUSED
    write_basic_config(mixed_precision="bf16", save_location=str(tmp_path / FILE))
    table, faults = probed(_resource(NAMED), tmp_path)
    assert [one.detail.partition(" ")[0] for one in faults] == ["`use_cpu`"]  # this machine has no GPU
    assert table == Distributed("single", 1)
