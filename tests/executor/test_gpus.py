"""What CPUs cannot do: strategies over NCCL, offloading from a GPU, bfloat16 in hardware. `make test-gpu` runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.models.adapter_fields import Adapter
from executor.training.distributed_fields import Distributed
from executor.workers.launch import Stop, run_in_worker
from executor.workers.world import World, free_port, visible_gpus
from planner.structure import settings_of
from tests.executor.test_distributed import act  # noqa: F401  a fixture
from tests.executor.test_training import BASIC, Laboratory, laboratory, run  # noqa: F401  a fixture

pytestmark = [pytest.mark.gpu, pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("adapter", [None, Adapter(r=4)], ids=["full", "lora"])
@pytest.mark.parametrize(
    "table",
    [
        Distributed("ddp", 2),
        Distributed("fsdp", 2),
        Distributed("fsdp", 2, offload_parameters="cpu", state_dict_type="full"),
        Distributed("deepspeed", 1, zero_stage=2, offload_optimizer="cpu"),
        Distributed("deepspeed", 2, zero_stage=1),
        Distributed("deepspeed", 2, zero_stage=2),
        Distributed("deepspeed", 2, zero_stage=3),
        Distributed("deepspeed", 2, zero_stage=3, offload_optimizer="cpu", offload_parameters="cpu"),
        Distributed("deepspeed", 1, zero_stage=3, offload_optimizer="nvme", nvme_path="/"),
    ],
    ids=["ddp", "fsdp", "fsdp-offload", "one-gpu-offload", "zero-1", "zero-2", "zero-3", "zero-3-offload", "nvme"],
)
def test_the_losses_on_several_gpus_are_those_on_one(
    laboratory: Laboratory,  # noqa: F811
    act: Callable[[str], None],  # noqa: F811
    tmp_path: Path,
    table: Distributed,
    adapter: Adapter | None,
    bf16: bool,  # noqa: FBT001
) -> None:
    table = evolve(table, nvme_path=str(tmp_path)) if table.nvme_path else table
    assert isinstance(table.processes, int)
    assert table.strategy in ("ddp", "fsdp", "deepspeed")
    if visible_gpus() < table.processes:
        pytest.skip(f"{table.processes} GPUs are needed")
    stage = evolve(BASIC, adapter=adapter, bf16=bf16)
    alone = run(laboratory.task(stage))
    act("train")
    task = laboratory.task(evolve(stage, micro_batch_size=4 // table.processes, distributed=table))
    world = World(table.strategy, table.processes, main_port=free_port())
    run_in_worker(
        evolve(task, settings={**task.settings, "distributed": settings_of(table)}, world=world),
        lambda _: None,
        Stop(),
        tmp_path / "it.log",
    )
    results: dict[str, Any] = json.loads(Path(task.recipe_folder, "results.json").read_text())
    tolerance = 0.1 if bf16 else 1e-3
    straight, *broken = results["metrics"]
    assert straight["loss"] == pytest.approx(alone.outcome.metrics["loss"], abs=tolerance)
    assert [one["loss"] for one in broken] == pytest.approx([straight["loss"]] * len(broken), abs=tolerance)
    assert results["facts"]["resumed_from"] == 3
