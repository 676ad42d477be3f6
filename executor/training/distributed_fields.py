"""The recipe's table `[train.NAME.distributed]`: on how many processes a run is trained, and what they share out."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from pathlib import PurePath
from typing import Any, Literal, TypeAlias

from attrs import evolve

from executor.training.dropout import neutral_without_dropout
from planner.effects import Effect, setting
from planner.limits import positive
from state.canonical import Plain
from state.values import frozen

Device: TypeAlias = Literal["none", "cpu", "nvme"]
"""Where states are kept while no GPU needs them: on a GPU all the same, in the host's memory, on its disk."""
SHARDING = "the same sums in another order"
DRAWS = "it decides more than rounding only where something is drawn by chance, or a loss compares rows"
APART = "average_tokens_across_devices"
"""The argument of trainers without which each process weighs its own tokens alone."""
ONLY_FOR = {
    "zero_stage": ("deepspeed",),
    "offload_optimizer": ("deepspeed",),
    "offload_parameters": ("deepspeed", "fsdp"),
    "nvme_path": ("deepspeed",),
    "reshard_after_forward": ("fsdp",),
    "transformer_layer_cls_to_wrap": ("fsdp",),
    "state_dict_type": ("fsdp",),
    "config": ("deepspeed",),
}
"""Fields that mean something to some strategies alone."""
NEUTRAL = frozenset(
    {
        *("zero_optimization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "aio"),
        *("steps_per_print", "wall_clock_breakdown", "comms_logger", "flops_profiler", "activation_checkpointing"),
    }
)
"""Blocks of a DeepSpeed configuration that leave the training what it is."""
_OFFLOADED = {"none": "", "cpu": "-offload", "nvme": "-nvme"}
"""How checkpoints are called by where optimizer states were."""
PARAMETERS_SHARED_OUT = 3
"""The ZeRO stage from which on parameters are shared out, and can be offloaded."""


def neutral_among_processes(settings: Mapping[str, Plain], facts: Mapping[str, Plain]) -> Effect:
    """The same rows on other processes only round differently, unless a loss depends on what goes through together.

    KTO's measures the answers that all processes have at once (measured: 0.453 and 0.459).
    """
    told = settings.get("trainer")
    apart = isinstance(told, Mapping) and told.get(APART) is False
    decisive = settings.get("loss_type") == "kto" or apart
    return Effect.REBUILD if decisive else neutral_without_dropout(settings, facts)


def precise_or_neutral(settings: Mapping[str, Plain], facts: Mapping[str, Plain]) -> Effect:
    """Without dropout strategies only round differently; but with bf16, DeepSpeed alone keeps weights in bfloat16."""
    table = settings.get("distributed")
    in_bfloat16 = isinstance(table, Mapping) and table.get("strategy") == "deepspeed" and settings.get("bf16")
    return Effect.REBUILD if in_bfloat16 else neutral_among_processes(settings, facts)


def neutral_if_known(settings: Mapping[str, Plain], _: Mapping[str, Plain]) -> Effect:
    """How states are shared out changes no sums; what other blocks of a configuration do is not known."""
    table: Any = settings.get("distributed")
    config = table.get("config", "") if isinstance(table, Mapping) else ""
    known = isinstance(config, str) or config.keys() <= NEUTRAL
    return Effect.NUMERICS if known else Effect.REBUILD


@frozen
class Distributed:
    """`[train.NAME.distributed]`: the strategy, its options, and the processes."""

    strategy: Literal["auto", "single", "ddp", "fsdp", "deepspeed"] = setting(
        "auto",
        effect=precise_or_neutral,
        why="it decides more than rounding only with DeepSpeed, or where something is drawn by chance",
    )
    """"auto": one process, or DDP where there are several."""
    processes: int | Literal["auto"] = setting("auto", effect=neutral_among_processes, why=DRAWS, validator=positive)
    """On each node; "auto": as many as the host has GPUs, or the most that a batch can be divided among."""
    nodes: int = setting(1, effect=neutral_among_processes, why=DRAWS, validator=positive)
    zero_stage: Literal[1, 2, 3] = setting(2, effect=Effect.NUMERICS, why=SHARDING)
    """1: optimizer states are shared out, 2: gradients too, 3: parameters too."""
    offload_optimizer: Device = setting("none", effect=Effect.NUMERICS, why="the CPU rounds differently")
    offload_parameters: Device = setting("none", effect=Effect.NUMERICS, why="the CPU rounds differently")
    nvme_path: str = setting("", effect=Effect.RUNTIME, why="bytes are the same wherever they lie")
    """The folder on a disk of each node that "nvme" means, from the root."""
    reshard_after_forward: bool = setting(
        default=True, effect=Effect.RUNTIME, why="parameters are gathered again, bit by bit the same"
    )
    transformer_layer_cls_to_wrap: tuple[str, ...] = setting((), effect=Effect.NUMERICS, why=SHARDING)
    """Empty: what the model itself names."""
    state_dict_type: Literal["sharded", "full"] = setting(
        "sharded", effect=Effect.RUNTIME, why="it is how checkpoints are written"
    )
    config: str | dict[str, Plain] = setting("", effect=neutral_if_known, why="DeepSpeed is configured by it")
    """A DeepSpeed configuration, as a file or here; "": none is needed. State keeps what it says, not where it lies."""
    accelerate_config: str = setting("", effect=Effect.METADATA, why="it is read into the other fields")
    """The file of an accelerate configuration; "": none is needed. What it says becomes the fields of this table."""


def faults(
    table: Distributed, batch_size: int, micro_batch_size: int | str, written: Container[str]
) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the fields together: path, detail, hint. `written` holds the paths that the recipe has."""
    if table.accelerate_config:
        return  # asked again when the file is read
    strategy = table.strategy
    for name, strategies in ONLY_FOR.items():
        if f"distributed.{name}" in written and strategy not in strategies:
            hint = f"It is for strategy = {' or '.join(strategies)}."
            yield f"distributed.{name}", f'it means nothing to the strategy "{strategy}"', hint
    yield from _offload_faults(table)
    yield from _process_faults(table, batch_size, micro_batch_size)


def _offload_faults(table: Distributed) -> Iterator[tuple[str, str, str]]:
    devices = {"offload_optimizer": table.offload_optimizer, "offload_parameters": table.offload_parameters}
    if table.strategy == "deepspeed" and table.zero_stage < PARAMETERS_SHARED_OUT:
        if table.offload_parameters != "none":
            detail = f"ZeRO stage {table.zero_stage} keeps all parameters on every GPU"
            yield "distributed.offload_parameters", detail, f"Set `zero_stage` = {PARAMETERS_SHARED_OUT}."
        if table.offload_optimizer == "nvme":
            detail = f"ZeRO stage {table.zero_stage} can keep states in the host's memory, not on its disk"
            yield "distributed.offload_optimizer", detail, f'Set `zero_stage` = {PARAMETERS_SHARED_OUT}, or use "cpu".'
    if table.strategy == "fsdp" and table.offload_parameters == "nvme":
        yield "distributed.offload_parameters", "FSDP keeps nothing on disks", 'Use "cpu", or strategy = "deepspeed".'
    on_disk = [name for name, device in devices.items() if device == "nvme"]
    if on_disk and not PurePath(table.nvme_path).is_absolute():
        detail = f"`nvme_path` = {table.nvme_path!r} is no folder to put it in"
        yield f"distributed.{on_disk[0]}", detail, 'Set `nvme_path` to one from the root, such as "/local_nvme".'
    if table.nvme_path and not on_disk:
        yield "distributed.nvme_path", "nothing is offloaded there", 'Set `offload_optimizer` = "nvme", or remove it.'


def checkpoint_format(settings: Mapping[str, Plain]) -> str:
    """How the training state is laid out in checkpoints of a run: DDP and a single process write the same."""
    table: Any = settings.get("distributed")
    match table and table["strategy"]:
        case "fsdp":
            return f"fsdp-{table['state_dict_type']}"
        case "deepspeed":
            return f"zero-{table['zero_stage']}{_OFFLOADED[table['offload_optimizer']]}"
    return "torch"


def is_bound(layout: str) -> bool:
    """Whether checkpoints of a format can only be read by as many processes as wrote them."""
    return layout.startswith("zero-")


def resolved(table: Distributed) -> Distributed:
    """What "auto" comes to, where no host has to be asked: there, the record says what it was."""
    if table.strategy == "single":
        return evolve(table, processes=1)
    if table.strategy != "auto" or (table.nodes == 1 and isinstance(table.processes, str)):
        return table
    return evolve(table, strategy="single" if known_processes(table) == 1 and table.nodes == 1 else "ddp")


def known_processes(table: Distributed) -> int:
    """All processes of all nodes, as far as the recipe alone says."""
    return table.nodes * (1 if isinstance(table.processes, str) else table.processes)


def known_micro_batch(batch_size: int, micro_batch_size: int | str, table: Distributed) -> int:
    """Rows of a micro-batch, as far as the recipe alone says: "auto" is all that a process has of a batch."""
    return batch_size // known_processes(table) if isinstance(micro_batch_size, str) else micro_batch_size


def _process_faults(table: Distributed, batch: int, micro: int | str) -> Iterator[tuple[str, str, str]]:
    several = table.nodes > 1 or (isinstance(table.processes, int) and table.processes > 1)
    if table.strategy == "single" and several:
        name = "nodes" if table.nodes > 1 else "processes"
        yield f"distributed.{name}", 'the strategy "single" is one process', 'Use strategy = "ddp".'
        return
    if table.strategy == "fsdp" and table.processes == 1 and table.nodes == 1:
        yield "distributed.processes", "FSDP shares a model out among several processes", "Set at least 2."
        return
    if isinstance(table.processes, str):
        return
    world = table.processes * table.nodes
    if batch % world:
        yield "distributed.processes", f"{world} processes cannot share `batch_size` = {batch} evenly", _divide(batch)
    elif isinstance(micro, int) and batch % (micro * world):
        detail = f"{micro} rows on each of {world} processes do not divide `batch_size` = {batch}"
        yield "micro_batch_size", detail, f"Use a divisor of {batch // world}, the share of one process."


def _divide(batch: int) -> str:
    return f"One optimizer step sees `batch_size` rows over all processes: use a divisor of {batch}."
