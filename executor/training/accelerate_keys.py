"""What the keys of accelerate's configurations mean for a recipe: its own fields, or what is done anyway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from executor.training.distributed_fields import PARAMETERS_SHARED_OUT, Distributed, known_processes
from executor.workers.world import World, accumulation
from state.values import frozen

AUTO = "auto"
_DEVICES = {"none": "none", "cpu": "cpu", "nvme": "nvme"}
_SWITCH = {True: True, False: False}
STRATEGIES = {"NO": "single", "MULTI_GPU": "ddp", "MULTI_CPU": "ddp", "FSDP": "fsdp", "DEEPSPEED": "deepspeed"}
SECTIONS = {"deepspeed_config": "deepspeed", "fsdp_config": "fsdp"}
"""Tables that are for one strategy alone."""


@frozen
class Meaning:
    """A field of the recipe's table, and what it calls the values of a key."""

    field: str
    values: Mapping[Any, object] | Callable[[Any], object]
    """All that the key may have; or what makes the field's value of it, raising what a wrong value makes it raise."""


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _names(value: object) -> tuple[str, ...]:
    return tuple(one.strip() for one in _text(value).split(","))


FIELDS = {
    "distributed_type": Meaning("strategy", STRATEGIES),
    "num_machines": Meaning("nodes", _count),
    "num_processes": Meaning("processes", _count),
    "deepspeed_config.zero_stage": Meaning("zero_stage", {1: 1, 2: 2, 3: 3}),
    "deepspeed_config.offload_optimizer_device": Meaning("offload_optimizer", _DEVICES),
    "deepspeed_config.offload_param_device": Meaning("offload_parameters", _DEVICES),
    "deepspeed_config.offload_optimizer_nvme_path": Meaning("nvme_path", _text),
    "deepspeed_config.offload_param_nvme_path": Meaning("nvme_path", _text),
    "deepspeed_config.deepspeed_config_file": Meaning("config", _text),
    "fsdp_config.fsdp_reshard_after_forward": Meaning("reshard_after_forward", _SWITCH),
    "fsdp_config.fsdp_offload_params": Meaning("offload_parameters", {True: "cpu", False: "none"}),
    "fsdp_config.fsdp_state_dict_type": Meaning(
        "state_dict_type", {"SHARDED_STATE_DICT": "sharded", "FULL_STATE_DICT": "full"}
    ),
    "fsdp_config.fsdp_transformer_layer_cls_to_wrap": Meaning("transformer_layer_cls_to_wrap", _names),
}
"""Keys for which the recipe's table has fields."""
ZERO_3 = ("deepspeed_config.zero3_init_flag", "deepspeed_config.zero3_save_16bit_model")
"""Keys that mean something at stage 3 alone."""
AS_IT_IS: Mapping[str, tuple[object, ...]] = {
    "compute_environment": ("LOCAL_MACHINE",),
    "main_training_function": ("main",),
    "machine_rank": (0,),
    "gpu_ids": ("all",),
    "rdzv_backend": ("static",),
    # Both are about launchers that start processes on other machines, which nothing here does.
    "same_network": (True, False),
    "downcast_bf16": ("no", False),
    "dynamo_config.dynamo_backend": ("NO",),
    **dict.fromkeys(("debug", "use_cpu", "enable_cpu_affinity", "tpu_use_cluster", "tpu_use_sudo"), (False,)),
    "tpu_env": ([],),
    "deepspeed_config.deepspeed_multinode_launcher": ("standard",),
    **dict.fromkeys(ZERO_3, (True, False)),
    "fsdp_config.fsdp_version": (2,),
    "fsdp_config.fsdp_auto_wrap_policy": ("TRANSFORMER_BASED_WRAP",),
    "fsdp_config.fsdp_cpu_ram_efficient_loading": (False,),
}
"""Keys for which there is no field, with the values that say what is done anyway."""
HINTS = {
    "machine_rank": "Start `tune apply --node-rank N` on the other machines.",
    "main_process_ip": "Say it on the command line: `tune apply --main-address HOST:PORT`.",
    "main_process_port": "Say it on the command line: `tune apply --main-address HOST:PORT`.",
    "gpu_ids": "Choose GPUs with CUDA_VISIBLE_DEVICES.",
    "use_cpu": "GPUs are used where there are any; CUDA_VISIBLE_DEVICES= hides them.",
    "dynamo_config": "Use `torch_compile`.",
    "deepspeed_config.deepspeed_multinode_launcher": "Start `tune apply --node-rank N` on the other machines.",
    "fsdp_config.fsdp_version": "`accelerate to-fsdp2` converts the file.",
}
"""What to do instead, by the key or the table that it stands in."""


def decided(stage: Any, table: Distributed) -> dict[str, tuple[str, object]]:  # noqa: ANN401  a Stage, which builds on this
    """Keys that say what the recipe decides: its field for that, and the value that says the same."""
    precision = ("fp16", "fp16") if stage.fp16 else ("bf16", "bf16" if stage.bf16 else "no")
    # Models are shared out while they are loaded, and what comes out is whole.
    shared_out = dict.fromkeys(ZERO_3, ("zero_stage", True)) if table.zero_stage == PARAMETERS_SHARED_OUT else {}
    return {
        "mixed_precision": precision,
        "deepspeed_config.gradient_clipping": ("max_grad_norm", stage.max_grad_norm),
        "deepspeed_config.gradient_accumulation_steps": ("batch_size", _accumulation(stage, table)),
        "fsdp_config.fsdp_activation_checkpointing": ("gradient_checkpointing", stage.gradient_checkpointing),
        **shared_out,
    }


def _accumulation(stage: Any, table: Distributed) -> int | None:  # noqa: ANN401  as above
    """Micro-batches that make a step; None where only the host knows, or where a batch cannot be shared evenly."""
    processes = known_processes(table)
    if isinstance(table.processes, str) or stage.batch_size % processes:
        return None
    share = stage.batch_size // processes
    micro = share if stage.micro_batch_size == AUTO else stage.micro_batch_size
    return accumulation({"batch_size": stage.batch_size, "micro_batch_size": micro}, World(processes=processes))
