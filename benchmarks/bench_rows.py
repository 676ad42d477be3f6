"""Time and memory of reading rows from a file of any size: `python benchmarks/bench_rows.py [GIGABYTES]`.

Every way of reading runs in a process of its own, which says how much memory it held at most. The same is measured for
a file of a tenth of the size: what does not grow with the file is bounded.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from executor.data.dataset_fields import Dataset
from executor.sources import origin
from planner.structure import structure
from state.canonical import Plain

WAYS: dict[str, dict[str, Plain]] = {
    "as they lie": {},
    "filtered": {"filters": [{"field": "n", "operator": "<", "value": 1000}]},
    "shared": {"sample": 0.01},
    "weighted": {"weight": 1.5},
    "deduplicated": {"deduplicate": True},
    "shuffled": {"shuffle": True},
}
WORDS = "a model learns what its rows say and nothing else whatever anybody may hope for it " * 12


def main() -> None:
    """Measure all ways, or one of them in this process."""
    if len(sys.argv) > 2:  # noqa: PLR2004  a child: the file, and the fields of the dataset
        print(json.dumps(measure(Path(sys.argv[1]), json.loads(sys.argv[2]))))
        return
    gigabytes = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with tempfile.TemporaryDirectory() as name:
        files = [write(Path(name, f"{part}.jsonl"), int(gigabytes * part * 1e8)) for part in (1, 10)]
        print("| rows are | size | seconds | MB/s | most memory, MB |\n|---|---|---|---|---|")
        measured = []
        for way, fields in WAYS.items():
            for file in files:
                size, row = file.stat().st_size / 1e6, apart(file, fields)
                measured.append({"way": way, "megabytes": round(size), **row})
                speed = size / row["seconds"]
                print(f"| {way} | {size / 1e3:.1f} GB | {row['seconds']:.1f} | {speed:.0f} | {row['memory']:.0f} |")
    print(json.dumps(measured))


def write(path: Path, size: int) -> Path:
    """A JSONL file of about this many bytes; no two rows are the same."""
    with path.open("w", buffering=1 << 20) as file:
        number = 0
        while number % 1000 or file.tell() < size:
            messages = [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": WORDS}]
            file.write(json.dumps({"n": number, "messages": messages}) + "\n")
            number += 1
    return path


def apart(file: Path, fields: Mapping[str, Plain]) -> dict[str, float]:
    """What a process measures that does nothing else."""
    command = [sys.executable, __file__, str(file), json.dumps(fields)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def measure(file: Path, fields: Mapping[str, Plain]) -> dict[str, float]:
    """Read all rows once."""
    dataset: Dataset = structure({"source": str(file), "type": "chat_template", **fields}, Dataset)
    started = time.perf_counter()
    rows = sum(1 for _ in origin.rows(dataset, file.parent))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"seconds": time.perf_counter() - started, "memory": memory, "rows": rows}


if __name__ == "__main__":
    main()
