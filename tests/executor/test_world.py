"""How many processes train: from the recipe, the host, and the run that is continued."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from executor.training.distributed_fields import Distributed
from executor.workers.rank_process import environment
from executor.workers.world import Host, World, accumulation, micro_batch, visible_gpus, world_of
from planner.structure import settings_of
from state.canonical import Plain
from state.diagnostic import ProblemError
from state.record import Checkpoint


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets the machine have so many GPUs, as far as it is asked before torch is."""

    def have(count: int) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(str(number) for number in range(count)))

    return have


def settings(batch: int = 8, micro: int = 2, **table: Any) -> dict[str, Plain]:
    return {"batch_size": batch, "micro_batch_size": micro, "distributed": settings_of(Distributed(**table))}


@pytest.mark.parametrize(
    ("chosen", "count"), [("", 0), ("-1", 0), ("3", 1), ("0,1,2,3", 4), ("GPU-8932f937,1", 2), ("0,-1,2", 1)]
)
def test_the_gpus_that_a_process_would_see(monkeypatch: pytest.MonkeyPatch, chosen: str, count: int) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    assert visible_gpus() == count


@pytest.mark.parametrize(
    ("given", "found", "world", "share"),
    [
        (settings(), 0, World("single"), (2, 4)),
        (settings(), 1, World("single"), (2, 4)),
        (settings(), 4, World("ddp", 4), (2, 1)),
        (settings(), 8, World("ddp", 8), (1, 1)),
        (settings(), 3, World("ddp", 2), (2, 2)),
        (settings(batch=12, micro=12), 5, World("ddp", 4), (3, 1)),
        (settings(strategy="single"), 4, World("single"), (2, 4)),
        (settings(processes=2), 0, World("ddp", 2), (2, 2)),
        (settings(strategy="deepspeed", processes=1), 4, World("deepspeed", 1), (2, 4)),
        (settings(strategy="fsdp"), 2, World("fsdp", 2), (2, 2)),
    ],
)
def test_the_processes_of_a_run_and_the_share_of_each(
    gpus: Callable[[int], None], given: dict[str, Plain], found: int, world: World, share: tuple[int, int]
) -> None:
    gpus(found)
    found_world = world_of(given, None, Host())
    assert evolve(found_world, main_port=0) == world
    assert (found_world.main_port > 0) is (world.strategy != "single")
    assert (micro_batch(given, world), accumulation(given, world)) == share
    assert micro_batch(given, world) * accumulation(given, world) * world.size == given["batch_size"]


def test_a_run_that_is_continued_keeps_its_processes(gpus: Callable[[int], None]) -> None:
    gpus(4)
    assert world_of(settings(), Checkpoint(2, "", "", "torch", 2), Host()).processes == 2
    assert world_of(settings(processes=4), Checkpoint(2, "", "", "torch", 2), Host()).processes == 4


def test_several_nodes_meet_where_the_command_line_says(gpus: Callable[[int], None]) -> None:
    gpus(2)
    assert world_of(settings(nodes=2), None, Host(1, "10.0.0.1", 29500)) == World("ddp", 2, 2, 1, "10.0.0.1", 29500)
    assert world_of(settings(nodes=2), None, Host()).main_address == socket.gethostname()
    with pytest.raises(ProblemError) as refused:
        world_of(settings(batch=8, nodes=3), None, Host())
    assert refused.value.diagnostics[0].detail == "3 nodes cannot share `batch_size` = 8 evenly."


@pytest.mark.parametrize(
    ("given", "written_by", "detail"),
    [
        (settings(processes=4), 1, "The recipe asks for 4 processes a node, and this host has 2 GPUs."),
        (
            settings(strategy="deepspeed"),
            4,
            "The checkpoint was written by 4 processes a node, and this host has 2 GPUs.",
        ),
    ],
)
def test_a_host_with_too_few_gpus_is_told_so(
    gpus: Callable[[int], None], given: dict[str, Plain], written_by: int, detail: str
) -> None:
    gpus(2)
    with pytest.raises(ProblemError) as refused:
        world_of(given, Checkpoint(2, "", "", "zero-2", written_by), Host())
    assert refused.value.diagnostics[0].detail == detail


def test_what_a_launcher_around_us_left_does_not_reach_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    left = (
        "WORLD_SIZE",
        "RANK",
        "LOCAL_RANK",
        "ACCELERATE_USE_FSDP",
        "FSDP_VERSION",
        "PYTHONPATH",
        "TORCHELASTIC_RUN_ID",
    )
    for name in left:
        monkeypatch.setenv(name, "7")
    alone = environment(World(), 0)
    assert alone.keys().isdisjoint(left)
    assert alone["CUDA_VISIBLE_DEVICES"] == "4"
    second = environment(World("fsdp", 2, main_port=29500), 1)
    assert (second["RANK"], second["LOCAL_RANK"], second["WORLD_SIZE"]) == ("1", "1", "2")
    assert second["CUDA_VISIBLE_DEVICES"] == "4,5"
    assert "ACCELERATE_USE_FSDP" not in second
