"""What each strategy makes of a trainer: its arguments, a proof that they took effect, and whole weights in the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from executor.models.loading import has_gpu
from executor.training.deepspeed_file import merged
from executor.workers.world import World, accumulation, micro_batch
from state.diagnostic import problem

DISTRIBUTED_TYPES = {
    "single": ("NO",),
    "ddp": ("MULTI_GPU", "MULTI_CPU"),
    "fsdp": ("FSDP",),
    "deepspeed": ("DEEPSPEED",),
}
"""What accelerate calls each strategy."""


def trainer_arguments(settings: Mapping[str, Any], world: World) -> dict[str, Any]:
    """The arguments of transformers' trainer for the strategy."""
    match world.strategy:
        case "fsdp":
            return {"fsdp": True, "fsdp_config": _fsdp_configuration(settings["distributed"])}
        case "deepspeed":
            return {"deepspeed": deepspeed_configuration(settings, world)}
        case "ddp" if settings["gradient_checkpointing"]:
            # Looking for parameters without a gradient takes what is computed again for a second gradient; transformers
            # does not look either, except beside an adapter.
            return {"ddp_find_unused_parameters": False}
    return {}


def _fsdp_configuration(table: Mapping[str, Any]) -> dict[str, Any]:
    wrapped = list(table["transformer_layer_cls_to_wrap"])
    return {
        "version": 2,
        "reshard_after_forward": table["reshard_after_forward"],
        "cpu_offload": table["offload_parameters"] == "cpu",
        "state_dict_type": f"{table['state_dict_type'].upper()}_STATE_DICT",
        **({"transformer_layer_cls_to_wrap": wrapped} if wrapped else {}),
    }


def deepspeed_configuration(settings: Mapping[str, Any], world: World) -> dict[str, Any]:
    """A DeepSpeed configuration with nothing left open, so that it holds before a trainer exists."""
    table, micro, steps = settings["distributed"], micro_batch(settings, world), accumulation(settings, world)
    offloads = {
        "offload_optimizer": table["offload_optimizer"],
        "offload_param": table["offload_parameters"],
    }
    ours = {
        "train_micro_batch_size_per_gpu": micro,
        "gradient_accumulation_steps": steps,
        "train_batch_size": micro * steps * world.size,
        "gradient_clipping": settings["max_grad_norm"],
        "bf16": {"enabled": settings["bf16"]},
        "zero_optimization": {
            "stage": table["zero_stage"],
            # Whole weights are what a checkpoint can be published from, and what the artifact is.
            "stage3_gather_16bit_weights_on_model_save": True,
            **{name: _offloaded(device, table["nvme_path"]) for name, device in offloads.items() if device != "none"},
        },
        "zero_allow_untested_optimizer": True,
        # DeepSpeed's own Adam for the CPU has to be compiled: worth it only where the CPU helps out a GPU.
        "zero_force_ds_cpu_optimizer": has_gpu(),
    }
    return merged(table["config"] or {}, ours)


def _offloaded(device: str, nvme_path: str) -> dict[str, Any]:
    return {"device": device, "pin_memory": has_gpu(), **({"nvme_path": nvme_path} if device == "nvme" else {})}


def start_deepspeed() -> None:
    """Let DeepSpeed find the other ranks; it must happen before a model is loaded that it is to share out."""
    import deepspeed
    import deepspeed.ops

    if not has_gpu():
        # A shortcut for CPUs that a compiler would have to make first, and that gives the same bits.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="nccl" if has_gpu() else "gloo", auto_mpi_discovery=False)


def shared_out(settings: Mapping[str, Any], world: World) -> object:
    """Have ZeRO stage 3 share models out among the ranks while they are loaded, as long as the result lives."""
    if world.strategy != "deepspeed":
        return None
    from transformers.integrations.deepspeed import HfDeepSpeedConfig

    return HfDeepSpeedConfig(deepspeed_configuration(settings, world))  # type: ignore[no-untyped-call]


@contextmanager
def whole_if(needed: bool) -> Iterator[None]:  # noqa: FBT001  a condition
    """Have models that are to be shared out loaded whole on each rank first: earlier adapters are merged into them."""
    from transformers.integrations import deepspeed

    active = deepspeed._hf_deepspeed_config_weak_ref  # noqa: SLF001  what transformers loads models by
    config = active() if active is not None else None
    if not needed or config is None:
        yield
        return
    deepspeed.unset_hf_deepspeed_config()
    try:
        yield
    finally:
        deepspeed.set_hf_deepspeed_config(config)


def prove(trainer: Any, world: World) -> None:  # noqa: ANN401  transformers has no types
    """Raise ProblemError unless the trainer does what it was asked for: libraries fall back without a word."""
    accelerator = trainer.accelerator
    found = accelerator.distributed_type.value
    if accelerator.num_processes == world.size and found in DISTRIBUTED_TYPES[world.strategy]:
        return
    asked = f"{world.strategy} on {world.size} {'process' if world.size == 1 else 'processes'}"
    detail = f"The recipe asks for {asked}; accelerate set up {found} on {accelerator.num_processes}."
    hint = "FSDP needs GPUs: on a CPU use another strategy." if world.strategy == "fsdp" and not has_gpu() else ""
    raise problem("Wrong strategy", detail, hint)


def consolidated(trainer: Any) -> Any:  # noqa: ANN401  transformers has no types
    """All trained parameters, put together on the first rank; None where every rank has them anyway."""
    accelerator = trainer.accelerator
    match accelerator.distributed_type.value:
        case "FSDP":
            return accelerator.get_state_dict(trainer.model)
        case "DEEPSPEED":
            return accelerator.get_state_dict(trainer.model_wrapped)
    return None
