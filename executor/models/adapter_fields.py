"""`[train.NAME.adapter]`: what is trained beside weights that stay as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import attrs
from attrs import Factory

from planner.effects import Effect, Made, setting
from planner.limits import fraction, not_empty, positive
from state.canonical import Plain
from state.shapes import FieldError
from state.values import frozen
from state.wording import show

OTHER_PARAMETERS = "other parameters are trained"
SAME_MODULES = "they are the same modules, and nothing is trained again"
ALL_LINEAR = "all_linear"
"""The fact that a record holds of an adapter's base: the names that "all-linear" stands for there."""
SCALED = "the adapter is scaled differently"
SHAPED = "the adapter has another shape"
INITIAL = ("default", "gaussian", "orthogonal", "olora", "pissa", "loftq")
CONVERTED = re.compile(r"olora|pissa(_niter_[1-9]\d*)?")
"""Beginnings that take part of the base into the adapter, which is converted when it is finished: then it is a plain
one, of twice the rank, for the base as it was."""
EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in")
HEADS = ("lm_head", "embed_out")


def _initialisation(_: object, field: attrs.Attribute[Any], value: str) -> None:
    if value not in INITIAL and not CONVERTED.fullmatch(value):
        names = ", ".join(show(name) for name in (*INITIAL, "pissa_niter_16"))
        raise FieldError(field.name, f"expected one of {names}; got {show(value)}")


def _numbers(_: object, field: attrs.Attribute[Any], value: Mapping[str, Plain]) -> None:
    for name, one in value.items():
        if type(one) not in (int, float) or one <= 0:  # type: ignore[operator]  # a number by now
            raise FieldError(f"{field.name}.{name}", f"expected a number above 0, got {show(one)}")


def same_modules(made: Made, wanted: Mapping[str, Plain]) -> str:
    """Of target modules: in another order, or by the names that the run found "all-linear" to stand for."""
    before, after = (_named(settings, made.facts) for settings in (made.settings, wanted))
    return SAME_MODULES if before and before == after else ""


def _named(settings: Mapping[str, Any], facts: Mapping[str, Any]) -> frozenset[str]:
    """The modules that settings name; none where it is not known what they stand for, or where there is no adapter."""
    adapter = settings["adapter"]
    named = () if adapter is None else adapter["target_modules"]
    return frozenset(facts.get(ALL_LINEAR, ()) if named == "all-linear" else named)


@frozen
class Adapter:
    """Low-rank matrices beside frozen weights, as PEFT's LoraConfig has them."""

    type: Literal["lora", "qlora", "dora"] = setting("lora", effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    """ "qlora" is "lora" beside weights in four bits."""
    r: int = setting(8, effect=Effect.REBUILD, why=SHAPED, validator=positive)
    lora_alpha: float = setting(16.0, effect=Effect.REBUILD, why=SCALED, validator=positive)
    lora_dropout: float = setting(
        0.0, effect=Effect.REBUILD, why="every optimizer step depends on it", validator=fraction
    )
    target_modules: Literal["all-linear"] | tuple[str, ...] = setting(
        "all-linear", effect=Effect.REBUILD, why=OTHER_PARAMETERS, validator=not_empty, alike=same_modules
    )
    """Ends of modules' names; "all-linear" for every matrix but the output's."""
    exclude_modules: tuple[str, ...] = setting((), effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    target_parameters: tuple[str, ...] = setting((), effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    """Ends of the names of parameters that are no module's matrix: the experts of a mixture of experts."""
    modules_to_save: tuple[str, ...] = setting((), effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    """Modules that are trained whole."""
    trainable_tokens: tuple[str, ...] = setting((), effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    """Tokens whose rows of the embedding, and of the output's matrix, are trained; all other rows stay as they are."""
    layers_to_transform: tuple[int, ...] = setting((), effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    """Numbers of the layers that get an adapter; all if empty."""
    rank_pattern: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why=SHAPED, validator=_numbers)
    """Another `r` for modules whose names end so."""
    alpha_pattern: dict[str, Plain] = setting(Factory(dict), effect=Effect.REBUILD, why=SCALED, validator=_numbers)
    """Another `lora_alpha` for modules whose names end so."""
    use_rslora: bool = setting(default=False, effect=Effect.REBUILD, why=SCALED)
    lora_bias: bool = setting(default=False, effect=Effect.REBUILD, why=OTHER_PARAMETERS)
    """Whether the second matrix has a bias."""
    init_lora_weights: str = setting(
        "default", effect=Effect.REBUILD, why="training starts elsewhere", validator=_initialisation
    )
    """Where the matrices start. "pissa_niter_16" is a faster, approximate "pissa"."""

    @property
    def converted(self) -> bool:
        """Whether it starts with a part of the base, so that it has to be converted when it is finished."""
        return CONVERTED.fullmatch(self.init_lora_weights) is not None


def faults(stage: Any, written: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  a Stage, which builds on this
    """What is wrong with the fields together: path, detail, hint. `written` holds what the recipe itself says."""
    adapter: Adapter | None = stage.adapter
    if stage.judges and stage.unfrozen_parameters:
        detail = "a model that scores texts is trained whole, or with an adapter"
        yield "unfrozen_parameters", detail, "Remove it."
    if adapter is None:
        for name in ("loraplus_lr_ratio", "loraplus_lr_embedding"):
            if name in written:
                yield (
                    name,
                    "LoRA+ is for adapters, and all weights are trained",
                    "Add an `adapter` table, or remove it.",
                )
        return
    if stage.unfrozen_parameters:
        detail = "with an adapter, all weights of the base are frozen"
        yield "unfrozen_parameters", detail, "Name modules in `adapter.modules_to_save`, or remove one of the two."
    if "loraplus_lr_embedding" in written and stage.loraplus_lr_ratio == 1:
        yield "loraplus_lr_embedding", "it does nothing without `loraplus_lr_ratio`", "Set that, or remove it."
    yield from (("adapter." + name, detail, hint) for name, detail, hint in _faults(stage, adapter))


def _faults(stage: Any, adapter: Adapter) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  as above
    heads = [one for one in adapter.target_modules if one in HEADS] if adapter.target_modules != "all-linear" else []
    for name in heads:
        detail = f"the loss is computed from the weights of `{name}` themselves, past any adapter on it"
        yield "target_modules", detail, f'Remove it here, and use modules_to_save = ["{name}"] to train it whole.'
    for name in (one for one in adapter.modules_to_save if one in adapter.target_modules):
        yield "modules_to_save", f"`{name}` is in `target_modules` too", "Remove it from one of the two."
    yield from _row_faults(stage, adapter)
    if adapter.layers_to_transform and adapter.target_modules == "all-linear":
        detail = 'PEFT picks layers for modules that are named, not for "all-linear"'
        yield "layers_to_transform", detail, "Name the modules in `target_modules`."
    for name, rank in adapter.rank_pattern.items():
        if type(rank) is not int:
            yield f"rank_pattern.{name}", "a rank is a whole number", "Use a whole number."
    initial = adapter.init_lora_weights
    if initial == "orthogonal" and adapter.r % 2:
        yield (
            "init_lora_weights",
            f'"orthogonal" needs an even rank, and `r` is {adapter.r}',
            f"Set `r` to {adapter.r + 1}.",
        )
    if initial == "loftq" and not (stage.load_in_4bit or adapter.type == "qlora"):
        detail = '"loftq" makes up for what four bits lose, and the base keeps all its bits'
        yield "init_lora_weights", detail, 'Use type = "qlora".'
    spread = stage.distributed.strategy == "deepspeed" and stage.distributed.zero_stage == 3  # noqa: PLR2004  its name
    if spread and (adapter.converted or initial == "loftq"):
        detail = f'"{initial}" looks at whole weights, and ZeRO stage 3 has none in one place'
        yield "init_lora_weights", detail, "Use another stage, or remove it."
    if adapter.converted:
        yield from _unconvertible(stage, adapter)


def _row_faults(stage: Any, adapter: Adapter) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  as above
    if not adapter.trainable_tokens:
        return
    whole = [one for one in (*adapter.modules_to_save, *adapter.target_modules) if one in (*EMBEDDINGS, *HEADS)]
    if whole:
        yield "trainable_tokens", f"all rows of `{whole[0]}` are trained", "Remove one of the two."
    table = stage.distributed
    if table.strategy == "fsdp" or (table.strategy == "deepspeed" and table.zero_stage == 3):  # noqa: PLR2004  its name
        detail = "single rows can be trained only where every process holds all of them"
        yield "trainable_tokens", detail, "Use ddp, or ZeRO stage 1 or 2."


def _unconvertible(stage: Any, adapter: Adapter) -> Iterator[tuple[str, str, str]]:  # noqa: ANN401  as above
    initial = adapter.init_lora_weights
    if stage.load_in_4bit or stage.load_in_8bit or adapter.type == "qlora":
        detail = f'"{initial}" takes the adapter out of the base, which would then be rounded again'
        yield "init_lora_weights", detail, 'For a quantised base, use "loftq".'
    if hasattr(stage, "precompute_ref_log_probs"):
        detail = f'with "{initial}" the base lacks what the adapter starts as, and is no reference to compare with'
        yield "init_lora_weights", detail, "Remove it."
    for name, on in (
        ('type = "dora"', adapter.type == "dora"),
        ("lora_bias", adapter.lora_bias),
        ("target_parameters", bool(adapter.target_parameters)),
    ):
        if on:
            yield "init_lora_weights", f'"{initial}" does not go with `{name}`', "Remove one of them."
