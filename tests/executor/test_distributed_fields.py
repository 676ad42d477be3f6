"""What is wrong with a `distributed` table, and what a change to it costs."""

from __future__ import annotations

from typing import Any

import pytest

from executor.kinds.train import layout
from executor.methods.kto import Kto
from executor.methods.sft import Sft
from executor.training.distributed_fields import Distributed, checkpoint_format, faults
from planner.desired import effect_of
from planner.effects import Effect
from planner.resume import Layout
from planner.structure import settings_of
from state.canonical import Plain


@pytest.mark.parametrize(
    ("table", "batch", "micro", "said"),
    [
        ({}, 8, 2, []),
        ({"processes": 4}, 8, 2, []),
        ({"processes": 4}, 8, "auto", []),
        ({"processes": 3}, 8, "auto", ["distributed.processes: 3 processes cannot share `batch_size` = 8 evenly"]),
        ({"processes": 4}, 8, 4, ["micro_batch_size: 4 rows on each of 4 processes do not divide `batch_size` = 8"]),
        ({"processes": 2, "strategy": "single"}, 8, 2, ['distributed.processes: the strategy "single" is one process']),
        (
            {"processes": 1, "strategy": "fsdp"},
            8,
            2,
            ["distributed.processes: FSDP shares a model out among several processes"],
        ),
        ({"zero_stage": 3}, 8, 2, ['distributed.zero_stage: it means nothing to the strategy "auto"']),
        (
            {"strategy": "ddp", "offload_parameters": "cpu"},
            8,
            2,
            ['distributed.offload_parameters: it means nothing to the strategy "ddp"'],
        ),
        (
            {"strategy": "deepspeed", "offload_parameters": "cpu"},
            8,
            2,
            ["distributed.offload_parameters: ZeRO stage 2 keeps all parameters on every GPU"],
        ),
        (
            {"strategy": "deepspeed", "zero_stage": 1, "offload_optimizer": "nvme", "nvme_path": "/disk"},
            8,
            2,
            ["distributed.offload_optimizer: ZeRO stage 1 can keep states in the host's memory, not on its disk"],
        ),
        (
            {"strategy": "deepspeed", "zero_stage": 3, "offload_parameters": "nvme", "nvme_path": "disk"},
            8,
            2,
            ["distributed.offload_parameters: `nvme_path` = 'disk' is no folder to put it in"],
        ),
        (
            {"strategy": "deepspeed", "offload_optimizer": "cpu", "nvme_path": "/disk"},
            8,
            2,
            ["distributed.nvme_path: nothing is offloaded there"],
        ),
        (
            {"strategy": "fsdp", "offload_parameters": "nvme"},
            8,
            2,
            [
                "distributed.offload_parameters: FSDP keeps nothing on disks",
                "distributed.offload_parameters: `nvme_path` = '' is no folder to put it in",
            ],
        ),
    ],
)
def test_what_does_not_go_together(table: dict[str, Any], batch: int, micro: int | str, said: list[str]) -> None:
    written = {f"distributed.{name}" for name in table}
    found = list(faults(Distributed(**table), batch, micro, written))
    assert [f"{path}: {detail}" for path, detail, _ in found] == said
    assert all(hint for *_, hint in found)


@pytest.mark.parametrize(
    ("path", "strategy", "bf16", "dropout", "effect"),
    [
        ("processes", "ddp", True, 0.0, Effect.NUMERICS),
        ("processes", "ddp", True, 0.1, Effect.REBUILD),
        ("strategy", "ddp", True, 0.0, Effect.NUMERICS),
        ("strategy", "fsdp", False, 0.1, Effect.REBUILD),
        ("strategy", "deepspeed", False, 0.0, Effect.NUMERICS),
        ("strategy", "deepspeed", True, 0.0, Effect.REBUILD),
        ("zero_stage", "deepspeed", True, 0.1, Effect.NUMERICS),
        ("state_dict_type", "fsdp", True, 0.1, Effect.RUNTIME),
    ],
)
def test_what_a_change_costs(path: str, strategy: str, bf16: bool, dropout: float, effect: Effect) -> None:  # noqa: FBT001
    settings: dict[str, Plain] = {
        "bf16": bf16,
        "adapter": {"lora_dropout": dropout},
        "distributed": {"strategy": strategy},
    }
    assert effect_of(Sft, f"distributed.{path}", settings, {}) is effect


@pytest.mark.parametrize(
    ("said", "effect"),
    [
        ({"loss_type": "kto"}, Effect.REBUILD),
        ({"loss_type": "apo_zero_unpaired"}, Effect.NUMERICS),
        ({"trainer": {"average_tokens_across_devices": False}}, Effect.REBUILD),
        ({"trainer": {"average_tokens_across_devices": True}}, Effect.NUMERICS),
    ],
)
def test_losses_of_what_processes_have_at_once_are_others_on_other_processes(
    said: dict[str, Plain], effect: Effect
) -> None:
    for path in ("distributed.processes", "distributed.nodes", "distributed.strategy", "distributed"):
        assert effect_of(Kto, path, {"bf16": False, "distributed": {}, "trainer": {}, **said}, {}) is effect


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, Layout("torch")),
        ({"strategy": "ddp", "processes": 4}, Layout("torch")),
        ({"strategy": "fsdp", "processes": 4}, Layout("fsdp-sharded")),
        ({"strategy": "fsdp", "state_dict_type": "full"}, Layout("fsdp-full")),
        ({"strategy": "deepspeed", "processes": 4, "zero_stage": 3}, Layout("zero-3", 4)),
        ({"strategy": "deepspeed", "offload_optimizer": "cpu"}, Layout("zero-2-offload")),
        ({"strategy": "deepspeed", "zero_stage": 3, "offload_optimizer": "nvme"}, Layout("zero-3-nvme")),
    ],
)
def test_how_checkpoints_are_laid_out(table: dict[str, Any], expected: Layout) -> None:
    settings: dict[str, Plain] = {"distributed": settings_of(Distributed(**table))}
    assert layout(settings) == expected
    assert checkpoint_format(settings) == expected.format


def test_runs_of_states_that_knew_no_strategies_are_those_of_one_process() -> None:
    assert checkpoint_format({}) == "torch"
    assert layout({}) == Layout("torch")
