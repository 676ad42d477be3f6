"""The optimizers of transformers: which of them a recipe may name, what each can be told, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from state.values import frozen

Fault = tuple[str, str, str]
ADAM = ("adam_beta1", "adam_beta2", "adam_epsilon")
BETAS = ("adam_beta1", "adam_beta2")


@frozen
class Optimizer:
    """One of them: what it reads of the recipe, and which libraries it needs."""

    fields: tuple[str, ...] = ()
    """Of the recipe's `adam_...`."""
    arguments: tuple[str, ...] = ()
    """The keys that `optim_args` may have."""
    modules: tuple[str, ...] = ()
    """What is imported for it, beside torch and transformers."""
    targets: bool = False
    """Whether it treats the modules of `optim_target_modules` apart from others, and needs to know them."""


_BITS = ("bitsandbytes",)
_ADEMAMIX = Optimizer(ADAM, ("beta1", "beta2", "beta3", "alpha", "eps", "t_alpha", "t_beta3"), _BITS)
_GALORE = ("rank", "update_proj_gap", "scale", "proj_type")
_APOLLO = (*_GALORE, "proj", "scale_type")
_SCHEDULE_FREE = ("weight_lr_power", "r")
_TORCHAO = Optimizer(ADAM, ("block_size", "bf16_stochastic_round"), ("torchao",))
_GROKKING = ("alpha_init", "lamb", "gamma", "grokking_signal_decay_rate", "gradient_clipping")
_GALORE_TORCH = ("galore_torch",)

OPTIMIZERS: dict[str, Optimizer] = {
    **dict.fromkeys(("adamw_torch", "adamw_torch_fused"), Optimizer(ADAM)),
    **dict.fromkeys(
        ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit", "paged_adamw_32bit"), Optimizer(ADAM, modules=_BITS)
    ),
    **dict.fromkeys(("adamw_torch_4bit", "adamw_torch_8bit"), _TORCHAO),
    **dict.fromkeys(("ademamix", "ademamix_8bit", "paged_ademamix_32bit", "paged_ademamix_8bit"), _ADEMAMIX),
    **dict.fromkeys(
        ("lion_32bit", "lion_8bit", "paged_lion_32bit", "paged_lion_8bit"), Optimizer(BETAS, modules=_BITS)
    ),
    "adafactor": Optimizer(),
    "sgd": Optimizer((), ("momentum", "dampening", "weight_decay", "nesterov")),
    "adagrad": Optimizer((), ("lr_decay", "weight_decay", "eps")),
    "rmsprop": Optimizer((), ("momentum", "alpha", "eps", "weight_decay", "centered")),
    **dict.fromkeys(("rmsprop_bnb", "rmsprop_bnb_8bit", "rmsprop_bnb_32bit"), Optimizer(modules=_BITS)),
    "galore_adamw": Optimizer(ADAM, _GALORE, _GALORE_TORCH, targets=True),
    "galore_adamw_8bit": Optimizer(ADAM, _GALORE, (*_GALORE_TORCH, *_BITS), targets=True),
    "galore_adafactor": Optimizer((), _GALORE, _GALORE_TORCH, targets=True),
    "apollo_adamw": Optimizer(ADAM, _APOLLO, ("apollo_torch",), targets=True),
    "grokadamw": Optimizer((), _GROKKING, ("grokadamw",)),
    **dict.fromkeys(("schedule_free_adamw", "schedule_free_radam"), Optimizer(ADAM, _SCHEDULE_FREE, ("schedulefree",))),
    "schedule_free_sgd": Optimizer((), _SCHEDULE_FREE, ("schedulefree",)),
    "stable_adamw": Optimizer(ADAM, ("max_lr", "kahan_sum", "decouple_lr"), ("optimi",)),
}

LEFT_OUT = frozenset(
    {
        "lomo",
        "adalomo",
        "galore_adamw_layerwise",
        "galore_adamw_8bit_layerwise",
        "galore_adafactor_layerwise",
        "apollo_adamw_layerwise",
        "adamw_torch_xla",
        "adamw_torch_npu_fused",
        "adamw_anyprecision",
    }
)
"""Those that step within the backward pass and leave nothing to resume from, and those for other hardware."""


def faults(stage: Any, written: Mapping[str, Any]) -> Iterator[Fault]:  # noqa: ANN401  a Stage, which builds on this
    """What a recipe tells an optimizer that it would not hear. `written` holds what the recipe itself says."""
    name = stage.optimizer
    optimizer = OPTIMIZERS[name]
    for key in stage.optim_args:
        if key not in optimizer.arguments:
            takes = f"It takes {', '.join(optimizer.arguments)}." if optimizer.arguments else "It takes none."
            yield f"optim_args.{key}", f'the optimizer "{name}" has no such argument', takes
    for key in ADAM:
        if key in written and key not in optimizer.fields:
            yield key, f'the optimizer "{name}" does not use it', "Remove it."
    if optimizer.targets and not stage.optim_target_modules:
        yield "optimizer", f'"{name}" must know the modules that it is for', 'Set optim_target_modules = "all-linear".'
    if optimizer.targets and stage.adapter is not None:
        yield "optimizer", f'"{name}" is for training all weights', 'Use "adamw_torch", or remove `adapter`.'
    if stage.optim_target_modules and not optimizer.targets:
        yield "optim_target_modules", f'the optimizer "{name}" does not use it', "Remove it."
    if name.startswith("schedule_free") and not stage.lr_scheduler.startswith("constant"):
        yield "lr_scheduler", f'"{name}" takes the place of a schedule', 'Use lr_scheduler = "constant".'


def told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer as arguments of a trainer's configuration class."""
    named = settings["optim_target_modules"]
    listed = ",".join(f"{key}={value}" for key, value in settings["optim_args"].items())
    return {
        "optim": settings["optimizer"],
        "optim_args": listed or None,
        "optim_target_modules": named if isinstance(named, str) else list(named) or None,
    }
