"""What tests of the state share: one small state by hand, and strategies for everything that a state can hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from state.record import Checkpoint, InputRecord, Provenance, Record, State, Status, Superseded

DATA = Record(
    kind="dataset",
    settings={"source": "data/support.jsonl", "type": "chat_template"},
    content={"data/support.jsonl": "6f3c"},
    inputs={},
    code=1,
    action_key="d1",
    status=Status.READY,
    output_digest="e5a1",
    facts={"rows": 1200},
)
OLD_RUN = Record(
    kind="train",
    settings={"learning_rate": 2e-5, "num_epochs": 3.0, "adapter": {"type": "lora", "r": 16}, "note": "größer"},
    content={},
    inputs={"datasets": (InputRecord("dataset.support", "", "e5a1"), InputRecord("model.given", "", "", False))},  # noqa: FBT003
    code=2,
    action_key="t1",
    status=Status.READY,
    output_digest="77aa",
    parts={"tokenizer": "9c"},
    artifact="artifacts/train/sft/t1",
    files={"adapter_model.safetensors": "c0ffee"},
    checkpoints=(Checkpoint(100, "checkpoints/train/sft/t1/checkpoint-100", "c100"),),
    metrics={"loss": 1.25, "eval": {"accuracy": None}},
    provenance=Provenance(
        "2026-03-01T10:00:00Z",
        "2026-03-01T11:30:00Z",
        seconds=5400.5,
        gpu_seconds=21602.0,
        host="gpu-host",
        user="ada",
        git_commit="0f1e2d",
        recipe="recipe.toml",
        plan="p1",
        hardware="4 x H100",
        versions={"torch": "2.13.0", "trl": "1.16.0"},
    ),
)
NEW_RUN = evolve(
    OLD_RUN,
    settings={**OLD_RUN.settings, "learning_rate": 1e-4},
    action_key="t2",
    status=Status.INTERRUPTED,
    output_digest="",
    artifact="",
    files={},
    metrics={},
    error="stopped",
)
SIMPLE = State(
    lineage="5d0c7e1a",
    serial=2,
    records={"dataset.support": DATA, "train.sft": NEW_RUN},
    superseded={"t1": Superseded("train.sft", OLD_RUN)},
    history="1f" * 32,
    parent_digest="aa11",
)

FLIPS = [0x01, 0x10, 0x20, 0x80, 0xFF]
"""Which bits of a byte are turned to damage it."""

TEXTS = st.text(st.characters(exclude_characters="".join(map(chr, range(0xD800, 0xDC80)))), max_size=6)
"""Whatever a file system can call a file: Python hands undecodable bytes on as U+DC80 to U+DCFF."""
PLAIN: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def tables(values: Any) -> Any:
    return st.dictionaries(TEXTS, values, max_size=2)


def several(values: Any) -> Any:
    return st.lists(values, max_size=2).map(tuple)


RECORDS = st.builds(
    Record,
    kind=TEXTS,
    settings=tables(PLAIN),
    content=tables(TEXTS),
    inputs=tables(several(st.builds(InputRecord, TEXTS, TEXTS, TEXTS, st.booleans()))),
    code=st.integers(0),
    action_key=TEXTS,
    status=st.sampled_from(Status),
    output_digest=TEXTS,
    parts=tables(TEXTS),
    artifact=TEXTS,
    files=tables(TEXTS),
    checkpoints=several(st.builds(Checkpoint, st.integers(0), TEXTS, TEXTS)),
    metrics=tables(PLAIN),
    facts=tables(PLAIN),
    provenance=st.builds(
        Provenance,
        started=TEXTS,
        seconds=st.floats(0, 1e9),
        host=TEXTS,
        git_dirty=st.booleans(),
        versions=tables(TEXTS),
    ),
    error=TEXTS,
)
STATES = st.builds(
    State,
    lineage=TEXTS,
    serial=st.integers(0),
    records=tables(RECORDS),
    superseded=tables(st.builds(Superseded, TEXTS, RECORDS)),
    history=TEXTS,
    parent_digest=TEXTS,
)


def record(key: str, **changes: Any) -> Record:
    """A record of few fields that differs from others by its key."""
    return evolve(Record("raw", {"source": key}, {}, {}, 1, key, Status.READY, output_digest=key), **changes)


def flipped(content: bytes, mask: int) -> list[bytes]:
    """A file with one byte damaged, once for each of its bytes."""
    return [content[:at] + bytes([content[at] ^ mask]) + content[at + 1 :] for at in range(len(content))]


def damage(path: Path, mask: int) -> Iterator[int]:
    """A file on disk with one byte damaged, once for each of its bytes; whole again in the end."""
    with path.open("r+b", buffering=0) as file:
        for position, byte in enumerate(file.read()):
            os.pwrite(file.fileno(), bytes([byte ^ mask]), position)
            yield position
            os.pwrite(file.fileno(), bytes([byte]), position)


def tear(path: Path) -> Iterator[int]:
    """A file on disk cut shorter and shorter, to nothing."""
    for length in reversed(range(path.stat().st_size)):
        os.truncate(path, length)
        yield length
