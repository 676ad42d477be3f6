"""What is said of machines: of made-up ones here, of this one in tests/tune/test_doctor.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from executor.doctor.finding import Finding, Verdict
from executor.doctor.libraries import combinations, devices, libraries
from executor.doctor.machine import Devices, Gpu, Machine
from executor.doctor.places import lock, state
from executor.doctor.tested_versions import NEEDED, TESTED
from executor.kinds.train import lacks
from executor.methods.sft import Sft
from planner.structure import settings_of
from state.lock import Lock
from state.owner import this_process

ROOT = Path(__file__).parent.parent.parent
H100 = Gpu("NVIDIA H100 80GB HBM3", 80 * 2**30, (9, 0))
SERVER = Machine(
    versions={**TESTED, "flash-attn": "2.8.3", "ninja": "1.13.2"},
    devices=Devices("2.13.0+cu130", "13.0", (H100, H100)),
    drivers=("NVIDIA H100 80GB HBM3, 580.65.06", "NVIDIA H100 80GB HBM3, 580.65.06"),
    commands={"ninja": "/usr/bin/ninja", "g++": "/usr/bin/g++"},
    modules=frozenset({"bitsandbytes", "deepspeed", "flash_attn"}),
)
LAPTOP = Machine(versions={}, devices=None, drivers=(), commands={})
STAGE = settings_of(Sft(model="model.tiny", datasets=("dataset.chats",), learning_rate=1e-4))


def said(machine: Machine, **settings: Any) -> list[tuple[str, str, Verdict]]:
    found = combinations(machine, {"train.sft": {**STAGE, **settings}})
    return [(one.name, one.found, one.verdict) for one in found]


def test_the_tested_set_is_the_one_that_the_tests_run_with() -> None:
    lines = re.findall(r"^([^#\s=]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    pinned = {name.lower(): version for name, version in lines}
    assert {name: pinned[name] for name in TESTED} == TESTED
    assert set(NEEDED) <= TESTED.keys()


def test_nothing_is_wrong_with_a_server_as_tested() -> None:
    found = [*libraries(SERVER), *devices(SERVER), *combinations(SERVER, {"train.sft": STAGE})]
    assert {one.verdict for one in found} == {Verdict.OK}
    assert [(one.name, one.found) for one in found if one.area == "devices"] == [
        ("driver", "NVIDIA H100 80GB HBM3, 580.65.06"),
        ("driver", "NVIDIA H100 80GB HBM3, 580.65.06"),
        ("GPU", "NVIDIA H100 80GB HBM3, 80 GiB, CUDA 13.0"),
        ("GPU", "NVIDIA H100 80GB HBM3, 80 GiB, CUDA 13.0"),
    ]


def test_a_machine_that_only_plans_is_fine() -> None:
    (only,) = libraries(LAPTOP)
    assert (only.found, only.verdict) == ("not installed: this machine plans, and trains nothing", Verdict.OK)
    assert list(devices(LAPTOP)) == []
    assert said(LAPTOP, attn_implementation="flash_attention_2") == []


def test_other_versions_warn_and_those_that_cannot_work_are_problems() -> None:
    versions = {**SERVER.versions, "transformers": "4.57.1", "peft": "0.22.0"}
    del versions["trl"]
    found = {one.name: one for one in libraries(evolve(SERVER, versions=versions))}
    assert found["peft"] == Finding(
        "libraries",
        "peft",
        "0.22.0, tested with 0.21.2",
        Verdict.WARNING,
        "Other versions may give other results; constraints.txt names the tested set.",
    )
    assert found["transformers"].verdict is Verdict.PROBLEM
    assert found["transformers"].hint == (
        "Install 5.23.0: the trainer's arguments that tune sets are those of transformers 5."
    )
    assert (found["trl"].found, found["trl"].verdict) == ("not installed", Verdict.PROBLEM)
    assert found["torch"].verdict is Verdict.OK


@pytest.mark.parametrize(
    ("build", "cuda", "why"),
    [
        ("2.13.0+cpu", "", "torch 2.13.0+cpu sees none: its build has no CUDA"),
        ("2.13.0+cu130", "13.0", "torch 2.13.0+cu130 sees none: it was built for CUDA 13.0"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_a_problem(build: str, cuda: str, why: str) -> None:
    *_, last = devices(evolve(SERVER, devices=Devices(build, cuda, ())))
    assert (last.name, last.found, last.verdict) == ("GPU", why, Verdict.PROBLEM)


def test_a_torch_that_cannot_be_loaded_is_a_problem() -> None:
    *_, last = devices(evolve(SERVER, devices=Devices("", "", (), "ImportError: libcudart.so.13")))
    assert (last.found, last.verdict) == ("cannot be loaded: ImportError: libcudart.so.13", Verdict.PROBLEM)


def test_what_a_recipe_asks_for_and_the_machine_lacks_is_a_problem() -> None:
    versions = {name: TESTED[name] for name in NEEDED}
    bare = evolve(SERVER, versions=versions, devices=Devices("2.13.0+cpu", "", ()), modules=frozenset())
    assert said(bare) == []
    (attention,) = said(bare, attn_implementation="flash_attention_2")
    assert attention == (
        "train.sft",
        'attn_implementation = "flash_attention_2" needs flash-attn, which is not installed',
        Verdict.PROBLEM,
    )
    assert said(bare, attn_implementation="flex_attention") == [
        ("train.sft", "flex_attention cannot train on a CPU", Verdict.PROBLEM)
    ]
    assert said(bare, optimizer="paged_adamw_8bit") == [
        ("train.sft", 'optimizer = "paged_adamw_8bit" needs bitsandbytes, which is not installed', Verdict.PROBLEM)
    ]
    assert said(bare, adapter={"type": "qlora"}) == [
        ("train.sft", 'adapter.type = "qlora" needs bitsandbytes, which is not installed', Verdict.PROBLEM)
    ]


def test_what_works_badly_together_is_a_warning() -> None:
    slow = evolve(SERVER, devices=Devices("2.13.0+cpu", "", ()))
    assert said(slow, adapter={"type": "qlora"}) == [
        ("train.sft", 'adapter.type = "qlora" computes on the CPU, many times slower', Verdict.WARNING)
    ]
    old = evolve(SERVER, devices=Devices("2.13.0+cu130", "13.0", (Gpu("Tesla T4", 15 * 2**30, (7, 5)),)))
    assert said(old) == [("train.sft", "bf16 = true, which this GPU only imitates", Verdict.WARNING)]
    hub = evolve(SERVER, versions={**SERVER.versions, "kernels": "0.11.1"})
    assert [(name, verdict) for name, _, verdict in said(hub)] == [("kernels", Verdict.WARNING)]


@pytest.mark.parametrize(("strategy", "verdict"), [("ddp", Verdict.WARNING), ("deepspeed", Verdict.PROBLEM)])
def test_deepspeed_without_a_compiler_is_told_as_loudly_as_the_recipe_needs_it(strategy: str, verdict: Verdict) -> None:
    bare = evolve(SERVER, commands={"g++": "/usr/bin/g++"})
    assert said(bare, distributed={"strategy": strategy}) == [
        ("deepspeed", "DeepSpeed compiles when it is first used, and there is no ninja on PATH", verdict)
    ]


def test_another_tune_is_told(tmp_path: Path) -> None:
    command = tmp_path / "tune"
    command.write_text("#!/usr/bin/python\nfrom torchtune._cli.tune import main\nmain()\n")
    assert said(evolve(SERVER, commands={**SERVER.commands, "tune": str(command)})) == [
        ("tune", f"{command} is torchtune's command", Verdict.WARNING)
    ]
    beside = evolve(SERVER, versions={**SERVER.versions, "torchtune": "0.6.1"})
    assert [name for name, _, _ in said(beside)] == ["tune"]


def test_state_and_lock_are_looked_at(finished: Any) -> None:
    assert [(one.name, one.verdict) for one in state(finished.store)] == [("state", Verdict.OK)]
    assert [one.found for one in lock(finished.backend)] == ["free"]
    with Lock(finished.backend, this_process("tune apply", "")):
        (held,) = lock(finished.backend)
        assert held.verdict is Verdict.WARNING
        assert ", `tune apply`, since " in held.found
    (finished.folder / ".tune" / "state.json").write_text("{}")
    (damaged,) = state(finished.store)
    assert damaged.verdict is Verdict.PROBLEM


def test_a_training_is_refused_by_a_machine_whose_library_is_of_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lacks("train.sft", STAGE) == ()
    (tmp_path / "trl-2.0.0.dist-info").mkdir()
    (tmp_path / "trl-2.0.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: trl\nVersion: 2.0.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    (told,) = lacks("train.sft", STAGE)
    assert (told.code, told.detail, told.hint) == (
        "TUNE406",
        "trl 2.0.0 is installed here, and trainers and their arguments are those of TRL 1; version 2 removes some.",
        "Install 1.16.0, with which tune was tested.",
    )
