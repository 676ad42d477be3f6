"""The command lines for servers, as they would be typed."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from attrs import evolve

from executor.audit.subject import Material
from executor.publishing.serving import command, served
from executor.workers.task import Input
from state.canonical import Plain
from state.diagnostic import ProblemError
from state.record import Record, Status

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EMPTY = Record(kind="", settings={}, content={}, inputs={}, code=1, action_key="", status=Status.READY)
HUB = Material("model.base", "1", evolve(EMPTY, settings={"source": "acme/tiny"}, content={"commit": COMMIT}))
FOLDER = Material("train.base", "2", evolve(EMPTY, settings={"adapter": None}))
MERGE = Material("merge.final", "3", EMPTY)


def adapter(kind: str = "lora", rank: int = 24, **more: Plain) -> Material:
    return Material("train.sft", "4", evolve(EMPTY, settings={"adapter": {"type": kind, "r": rank, **more}}))


def line(server: str, *materials: Material) -> str:
    folders = [Input(one.address, one.digest, f"/my models/{one.address}", {}, {}) for one in materials]
    return shlex.join(command(server, served(materials, folders)))


@pytest.mark.parametrize(
    ("server", "materials", "expected"),
    [
        ("vllm", (MERGE,), "vllm serve '/my models/merge.final' --served-model-name merge.final"),
        (
            "vllm",
            (HUB,),
            f"vllm serve acme/tiny --revision {COMMIT} --tokenizer-revision {COMMIT} --served-model-name model.base",
        ),
        (
            "vllm",
            (HUB, adapter()),
            (
                f"vllm serve acme/tiny --revision {COMMIT} --tokenizer '/my models/train.sft' --enable-lora "
                "--max-lora-rank 32 --lora-modules 'train.sft=/my models/train.sft'"
            ),
        ),
        (
            "tgi",
            (FOLDER, adapter()),
            (
                "text-generation-launcher --model-id '/my models/train.base' "
                "--lora-adapters 'train.sft=/my models/train.sft'"
            ),
        ),
        ("tgi", (HUB,), f"text-generation-launcher --model-id acme/tiny --revision {COMMIT}"),
        ("transformers", (HUB,), f"transformers serve acme/tiny@{COMMIT}"),
        ("transformers", (MERGE,), "transformers serve '/my models/merge.final'"),
    ],
)
def test_a_command_names_exactly_the_model(server: str, materials: tuple[Material, ...], expected: str) -> None:
    assert line(server, *materials) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [({"rank_pattern": {"v_proj": 100}}, "128"), ({"init_lora_weights": "pissa_niter_16"}, "64"), ({}, "32")],
)
def test_the_largest_rank_that_files_hold_is_asked_for(more: dict[str, Any], expected: str) -> None:
    assert f"--max-lora-rank {expected} " in line("vllm", HUB, adapter(**more))


@pytest.mark.parametrize(
    ("server", "materials", "said"),
    [
        ("vllm", (HUB, adapter(), adapter()), "an adapter on top of another adapter"),
        ("tgi", (HUB, adapter("dora")), "a DoRA adapter"),
        ("vllm", (HUB, adapter(rank=513)), "has rank 513, and vLLM takes up to 512"),
        ("transformers", (HUB, adapter()), "an adapter, which `transformers serve` loads onto no given base"),
    ],
)
def test_what_only_a_merge_can_serve_is_said(server: str, materials: tuple[Material, ...], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        line(server, *materials)
