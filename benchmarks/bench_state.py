"""`make bench-state`: a state of 10,000 records loaded, changed in one place and saved, beside plain JSON of that size.

Everything is timed in this process, the disk's fsync included; the median of the rounds counts.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attrs import evolve

from state.change import put
from state.folder_backend import FolderBackend
from state.history import Author
from state.record import Checkpoint, InputRecord, Provenance, Record, State, Status
from state.store import Store

RECORDS = 10_000
ROUNDS = 7
AUTHOR = Author("benchmark", "benchmark")


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    with tempfile.TemporaryDirectory() as scratch:
        backend = FolderBackend(Path(scratch), "benchmark")
        Store(backend, "0").save(_state(), AUTHOR)
        size = (Path(scratch) / "state.json").stat().st_size
        content = (Path(scratch) / "state.json").read_bytes()
        parsed = json.loads(content)
        seconds = {
            "load": _median(lambda: Store(backend, "0").load()),
            "load, read every record": _median(lambda: dict(Store(backend, "0").load().records)),
            "load, change one record, save": _median(lambda: _change(backend)),
            "json.loads of the file": _median(lambda: json.loads(content)),
            "json.dumps, indented": _median(lambda: json.dumps(parsed, indent=1, sort_keys=True)),
        }
    print(f"{RECORDS:,} records, {size / 1e6:.1f} MB")
    print(f"{'what':<32}{'median ms':>10}")
    for name, value in seconds.items():
        print(f"{name:<32}{value * 1000:>10.0f}")
    figures = {
        "records": RECORDS,
        "megabytes": round(size / 1e6, 1),
        "load_ms": round(seconds["load"] * 1000, 1),
        "load_and_save_ms": round(seconds["load, change one record, save"] * 1000, 1),
        "read_everything_ms": round(seconds["load, read every record"] * 1000, 1),
    }
    print(json.dumps(figures))


def _state() -> State:
    record = Record(
        kind="train",
        settings={"method": "sft", "learning_rate": 1e-4, **{f"setting_{number}": number for number in range(30)}},
        content={"data.jsonl": "c" * 32},
        inputs={"model": (InputRecord("model.base", "", "d" * 32),)},
        code=1,
        action_key="",
        status=Status.READY,
        output_digest="o" * 32,
        artifact="artifacts/train/x/key",
        files={"adapter_model.safetensors": "f" * 32, "adapter_config.json": "e" * 32},
        checkpoints=(Checkpoint(100, "checkpoints/train/x/key/checkpoint-100", "a" * 32),),
        metrics={"loss": 1.25},
        provenance=Provenance("2026-01-01T00:00:00+00:00", host="host", user="ada", git_commit="b" * 40),
    )
    names = (f"train.run{number:05d}" for number in range(RECORDS))
    return State("lineage", 0, {name: evolve(record, action_key=f"{name:>32}") for name in names})


def _change(backend: FolderBackend) -> None:
    store = Store(backend, "0")
    state = store.load()
    record = state.records["train.run05000"]
    store.save(put(state, "train.run05000", evolve(record, metrics={"loss": float(state.serial)})), AUTHOR)


def _median(action: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
