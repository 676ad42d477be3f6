"""A small state, as an apply leaves it: an adapter to a model from the hub, its merge, and what the merge scored."""

from __future__ import annotations

from typing import Any

import pytest

from executor.audit.subject import AuditedFile
from state.record import InputRecord, Provenance, Record, State, Status

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKENIZER, TEMPLATE = "model.base#tokenizer@11", "model.base#chat_template@12"
VERSIONS = {"python": "3.11.7", "tokenizers": "0.23.3"}
TRAINING = {**VERSIONS, "peft": "0.21.2", "torch": "2.13.0+cpu", "transformers": "5.23.0", "trl": "1.16.0"}


def digest(number: int) -> str:
    return f"{number:032x}"


def made(minute: int, versions: dict[str, str], hardware: str = "") -> Provenance:
    return Provenance(
        started=f"2026-11-22T05:{minute:02}:00+00:00",
        finished=f"2026-11-22T05:{minute:02}:30+00:00",
        seconds=30.0,
        host="gpu-host",
        user="lovelace",
        git_commit="4d3fa4d4b0604a8b59ca93e316d01fce955be72e",
        recipe="recipe.toml",
        plan=digest(0x91A4),
        hardware=hardware,
        versions=versions,
    )


def record(kind: str, output: int, settings: dict[str, Any], inputs: dict[str, list[str]], **more: Any) -> Record:
    """A finished record; inputs are written as `address@number` or `address#part@number`."""
    return Record(
        kind=kind,
        settings=settings,
        content=more.pop("content", {}),
        inputs={name: tuple(_input(one) for one in group) for name, group in inputs.items()},
        code=1,
        action_key=digest(output + 0xA000),
        status=Status.READY,
        output_digest=digest(output),
        **more,
    )


def _input(text: str) -> InputRecord:
    name, _, number = text.partition("@")
    address, _, part = name.partition("#")
    return InputRecord(address, part, digest(int(number)))


def dataset(output: int, name: str, rows: int) -> Record:
    chosen = {"source": f"data/{name}.jsonl", "type": "chat_template", "field_messages": "messages", "description": ""}
    content = {f"data/{name}.jsonl": digest(output + 0xC000)}
    return record("dataset", output, chosen, {}, content=content, facts={"rows": rows}, provenance=made(1, {}))


def tokens(output: int, data: str, documents: int) -> Record:
    inputs = {"datasets": [data], "tokenizer": [TOKENIZER], "chat_template": [TEMPLATE]}
    facts = {"documents": documents, "rows": documents, "tokens": documents * 30, "trained_tokens": documents * 7}
    chosen = {"sequence_len": 64, "roles_to_train": ["assistant"]}
    return record("tokens", output, chosen, inputs, facts={**facts, "validation_rows": 0}, provenance=made(2, VERSIONS))


@pytest.fixture(scope="session")
def state() -> State:
    return State(lineage="lineage", serial=7, records=dict(_records()))


def _records() -> dict[str, Record]:
    hub = {"source": "acme/Tiny-1B", "revision": "main", "config": {}, "chat_template": "tokenizer", "description": ""}
    lora = {"type": "lora", "r": 16, "lora_alpha": 32.0, "target_modules": "all-linear"}
    sft = {"method": "sft", "learning_rate": 1e-05, "num_epochs": 4.0, "seed": 42, "adapter": lora, "description": ""}
    gate = {"metrics": ["exact_match"], "gate": {"exact_match": ">= 0.9"}, "max_new_tokens": 24, "description": ""}
    return {
        "model.base": record(
            "model", 10, hub, {}, content={"commit": COMMIT, "chat_template": digest(12)},
            parts={"tokenizer": digest(11), "chat_template": digest(12)}, provenance=made(0, VERSIONS),
        ),
        "dataset.chats": dataset(20, "chats", 1600),
        "dataset.heldout": dataset(21, "heldout", 100),
        "tokens.sft": tokens(30, "dataset.chats@20", 1600),
        "train.sft": record(
            "train", 40, {**sft, "description": "Writes dates | as ISO dates.", "tags": ["dates", "sft"]},
            {"model": ["model.base@10"], "tokens": ["tokens.sft@30"]},
            files={"adapter_config.json": digest(41), "adapter_model.safetensors": digest(42)},
            metrics={"loss": 0.011368, "steps": 200},
            facts={"parameters": 982784, "trainable_parameters": 141312, "steps": 200},
            provenance=made(3, TRAINING, "1 x NVIDIA H100"),
        ),
        "merge.final": record(
            "merge", 50, {"dtype": "bfloat16", "description": ""},
            {"adapter": ["model.base@10", "train.sft@40"], "tokenizer": [TOKENIZER, TEMPLATE]},
            files={"config.json": digest(51), "model.safetensors": digest(52)},
            facts={"parameters": 841472}, provenance=made(4, {"python": "3.11.7"}),
        ),
        "tokens.eval.final": tokens(31, "dataset.heldout@21", 100),
        "eval.final": record(
            "eval", 60, gate, {"model": ["merge.final@50"], "tokens": ["tokens.eval.final@31"]},
            metrics={"answers": 100, "exact_match": 0.97}, provenance=made(5, TRAINING),
        ),
    }  # fmt: skip


@pytest.fixture(scope="session")
def adapter_files() -> tuple[AuditedFile, ...]:
    return (
        AuditedFile("adapter_config.json", 1247, "a" * 64, digest(41)),
        AuditedFile("adapter_model.safetensors", 570632, "b" * 64, digest(42)),
    )
