"""Fields of `[train.NAME]` that say in how many bits weights are held and sums are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from planner.effects import Effect, setting
from state.canonical import Plain
from state.diagnostic import problem
from state.values import frozen

AMPERE = (8, 0)
"""The compute capability from which on GPUs have TF32, bfloat16 and flash attention."""
HELD = "the frozen weights are rounded differently"


def where_in_four_bits(settings: Mapping[str, Plain], _: Mapping[str, Plain]) -> Effect:
    """Details of a format that the weights are not in decide nothing."""
    return Effect.REBUILD if settings["load_in_4bit"] else Effect.METADATA


@frozen(kw_only=True)
class Precision:
    """Bits of arithmetic, and of frozen weights held by bitsandbytes, under the names that transformers has."""

    bf16: bool = setting(default=True, effect=Effect.REBUILD, why="the arithmetic has another precision")
    fp16: bool = setting(default=False, effect=Effect.REBUILD, why="the arithmetic has another precision")
    """Float16 with a scaled loss, for GPUs that have no bfloat16."""
    tf32: bool = setting(default=False, effect=Effect.NUMERICS, why="float32 products are rounded differently")
    """Products of float32 matrices in TF32, where the GPU has it."""
    load_in_8bit: bool = setting(default=False, effect=Effect.REBUILD, why=HELD)
    load_in_4bit: bool = setting(default=False, effect=Effect.REBUILD, why=HELD)
    """Implied by adapter.type = "qlora"."""
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = setting("nf4", effect=where_in_four_bits, why=HELD)
    bnb_4bit_use_double_quant: bool = setting(default=True, effect=where_in_four_bits, why=HELD)
    """Whether the scales of the four-bit blocks are held in eight bits in turn."""
    bnb_4bit_compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto", effect=where_in_four_bits, why="the arithmetic has another precision"
    )
    """ "auto": that of the rest of the arithmetic."""


def compute_dtype(*, bf16: bool, fp16: bool) -> Literal["float32", "bfloat16", "float16"]:
    """What sums are made in, and what frozen weights that are not quantised are held in."""
    if fp16:
        return "float16"
    return "bfloat16" if bf16 else "float32"


def resolved(stage: Any) -> dict[str, Any]:  # noqa: ANN401  a Stage, which builds on this module
    """What the other fields of a stage imply for the fields of this module."""
    if stage.adapter is None or not (stage.adapter.type == "qlora" or stage.load_in_4bit):
        return {}
    computed = stage.bnb_4bit_compute_dtype
    computed = compute_dtype(bf16=stage.bf16, fp16=stage.fp16) if computed == "auto" else computed
    return {"load_in_4bit": True, "bnb_4bit_compute_dtype": computed}


def faults(stage: Any, written: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  as above
    """What is wrong with the fields together: path, detail, hint. `written` holds what the recipe itself says."""
    if stage.bf16 and stage.fp16:
        yield "fp16", "`bf16` is on too", "Set `bf16 = false`."
    quantised = "load_in_4bit" if stage.load_in_4bit else "load_in_8bit"
    four = stage.load_in_4bit or (stage.adapter is not None and stage.adapter.type == "qlora")
    if stage.adapter is not None and stage.adapter.type == "qlora":
        if "load_in_4bit" in written and not stage.load_in_4bit:
            yield "load_in_4bit", '`adapter.type` = "qlora" means weights in four bits', 'Remove it, or use "lora".'
        if stage.load_in_8bit:
            yield "load_in_8bit", '`adapter.type` = "qlora" means weights in four bits', 'Remove it, or use "lora".'
    elif stage.load_in_4bit and stage.load_in_8bit:
        yield "load_in_8bit", "`load_in_4bit` is set too", "Remove one of them."
    if stage.adapter is None and (stage.load_in_4bit or stage.load_in_8bit):
        yield quantised, "weights of so few bits cannot be trained, only an adapter", "Add an `adapter` table."
    for name in written:
        if name.startswith("bnb_4bit_") and not four:
            yield (
                name,
                "it says how four bits are used, and the weights are not held in four",
                ('Set `adapter.type` = "qlora", or remove it.'),
            )


def told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as arguments of a trainer's configuration class; a problem if this machine cannot do it."""
    import torch

    has_gpu = torch.cuda.is_available()
    if settings["fp16"] and not has_gpu:
        raise problem("No GPU", "Training in float16 needs one.", "Use `bf16 = true`, which processors can do too.")
    # What there is no TF32 for is computed in float32: slower, and rounded a little better.
    tf32 = settings["tf32"] if has_gpu and torch.cuda.get_device_capability() >= AMPERE else None
    return {"bf16": settings["bf16"], "fp16": settings["fp16"], "tf32": tf32}
