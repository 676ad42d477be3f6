"""Fields of `[train.NAME]` that say how the same sums are made: kernels, memory against time, loading of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from attrs import Factory

from executor.training.dropout import neutral_without_dropout
from planner.effects import Effect, setting
from planner.limits import not_negative
from state.canonical import Plain
from state.values import frozen

ROUNDED = "the same training, rounded differently"
COMPILED = "compiled code rounds differently, and draws other dropout masks"
RECOMPUTED = "activations are computed again, bit by bit the same"
FLASH = ("flash_attention_2", "flash_attention_3")
LIGER = ("cross_entropy", "fused_linear_cross_entropy", "geglu", "layer_norm", "rms_norm", "rope", "swiglu")
"""The kernels of the liger-kernel package, as its functions call them."""


@frozen
class GradientCheckpointing:
    """`[train.NAME.gradient_checkpointing_kwargs]`: how activations are computed again."""

    use_reentrant: bool = setting(default=False, effect=Effect.RUNTIME, why=RECOMPUTED)


@frozen(kw_only=True)
class Kernels:
    """How sums are made, under the names of transformers' TrainingArguments."""

    attn_implementation: Literal[
        "auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"
    ] = setting("sdpa", effect=Effect.NUMERICS, why="the same attention, rounded differently")
    """ "auto": the fastest that the machine has; its record says which."""
    gradient_checkpointing: bool = setting(default=False, effect=Effect.RUNTIME, why=RECOMPUTED)
    gradient_checkpointing_kwargs: GradientCheckpointing = setting(
        Factory(GradientCheckpointing), effect=Effect.RUNTIME, why=RECOMPUTED
    )
    activation_offloading: bool = setting(
        default=False, effect=Effect.RUNTIME, why="activations wait elsewhere, bit by bit the same"
    )
    """Activations wait in the memory of the host until the backward pass needs them."""
    torch_compile: bool = setting(default=False, effect=neutral_without_dropout, why=COMPILED)
    torch_compile_backend: str = setting("inductor", effect=neutral_without_dropout, why=COMPILED)
    torch_compile_mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = setting(
        "default", effect=neutral_without_dropout, why=COMPILED
    )
    use_liger_kernel: bool = setting(default=False, effect=Effect.NUMERICS, why=ROUNDED)
    """Fused kernels of the liger-kernel package, which must be installed."""
    liger_kernel_config: dict[str, Plain] = setting(Factory(dict), effect=Effect.NUMERICS, why=ROUNDED)
    """Which of them, `rope = false` for instance; the package decides about those that are left out."""
    dataloader_num_workers: int = setting(
        0, effect=Effect.RUNTIME, why="rows arrive in the same order", validator=not_negative
    )
    dataloader_prefetch_factor: int = setting(
        2, effect=Effect.RUNTIME, why="rows arrive in the same order", validator=not_negative
    )
    """Batches that each worker prepares ahead."""
    dataloader_pin_memory: bool = setting(default=True, effect=Effect.RUNTIME, why="rows arrive in the same order")


def told(settings: Mapping[str, Any], *, has_gpu: bool) -> dict[str, Any]:
    """The fields as arguments of a trainer's configuration class."""
    compiled = settings["torch_compile"]
    workers = settings["dataloader_num_workers"]
    # Without a GPU, activations are where they would be moved to.
    offloading = {"activation_offloading": True} if settings["activation_offloading"] and has_gpu else {}
    return {
        **offloading,
        "activation_checkpointing": settings["gradient_checkpointing"],
        "activation_checkpointing_kwargs": dict(settings["gradient_checkpointing_kwargs"]),
        "torch_compile": compiled,
        "torch_compile_backend": settings["torch_compile_backend"] if compiled else None,
        "torch_compile_mode": settings["torch_compile_mode"] if compiled else None,
        "use_liger_kernel": settings["use_liger_kernel"],
        "liger_kernel_config": dict(settings["liger_kernel_config"]) or None,
        "dataloader_num_workers": workers,
        "dataloader_prefetch_factor": settings["dataloader_prefetch_factor"] if workers else None,
        "dataloader_pin_memory": settings["dataloader_pin_memory"] and has_gpu,
    }


def faults(stage: Any, written: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  a Stage, which builds on this
    """What is wrong with the fields together: path, detail, hint. `written` holds what the recipe itself says."""
    if stage.attn_implementation in FLASH and not (stage.bf16 or stage.fp16):
        detail = f'"{stage.attn_implementation}" computes in bfloat16 or float16 only'
        yield "attn_implementation", detail, 'Set `bf16 = true`, or use "sdpa".'
    if stage.use_liger_kernel and stage.liger_kernel_config.get("fused_linear_cross_entropy"):
        detail = "TRL has a fused loss of its own, which this would take the place of"
        yield "liger_kernel_config.fused_linear_cross_entropy", detail, "Remove it."
    for name, value in stage.liger_kernel_config.items():
        if name not in LIGER or not isinstance(value, bool):
            yield (
                f"liger_kernel_config.{name}",
                "no such kernel, or neither true nor false",
                f"There are: {', '.join(LIGER)}.",
            )
    yield from _unused(stage, written)
    if stage.gradient_checkpointing_kwargs.use_reentrant and stage.unfrozen_parameters:
        detail = "the reentrant kind computes no gradients behind parameters that are frozen"
        yield "gradient_checkpointing_kwargs.use_reentrant", detail, "Remove it."
    if stage.gradient_checkpointing_kwargs.use_reentrant and stage.distributed.strategy == "fsdp":
        detail = "FSDP goes with the other kind only"
        yield "gradient_checkpointing_kwargs.use_reentrant", detail, "Remove it."


def _unused(stage: Any, written: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  as above
    for switch, on, names in (
        ("gradient_checkpointing", stage.gradient_checkpointing, ("gradient_checkpointing_kwargs",)),
        ("torch_compile", stage.torch_compile, ("torch_compile_backend", "torch_compile_mode")),
        ("use_liger_kernel", stage.use_liger_kernel, ("liger_kernel_config",)),
        ("dataloader_num_workers", stage.dataloader_num_workers, ("dataloader_prefetch_factor",)),
    ):
        for path in written:
            if path.partition(".")[0] in names and not on:
                yield path, f"it does nothing without `{switch}`", f"Set `{switch}`, or remove it."
