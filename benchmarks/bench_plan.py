"""`make bench-plan`: a cold `tune plan` without changes, beside bare Python and the imports that it needs.

A fresh process each time, interleaved, so that a noisy machine disturbs all of them alike; the median counts. The
quickstart has every kind of resource; the other recipes have 1 to 10,000 datasets, each with its file and its record.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import xxhash

from executor import kinds
from executor.applying.probe import desire
from planner.desired import Desired
from planner.kind import Source
from planner.recipe import parse
from state import artifacts
from state.entries import Entries
from state.files import FileDigests, digest_file
from state.folder_backend import FolderBackend
from state.history import Author
from state.layout import Layout
from state.record import InputRecord, Provenance, Record, State, Status
from state.store import Store

ROUNDS = 15
QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart"
TUNE = Path(sys.executable).parent / "tune"
IMPORTS = "import click, attrs, cattrs, tomli, xxhash, json, pathlib"
SIZES = {1: 110, 100: None, 1_000: 250, 10_000: 1_200}
"""Datasets of a recipe, and in how many milliseconds its plan is to be there."""
HASHED_BYTES = 1 << 29
RACY_SECONDS = 2.5
"""Files younger than this are read again by every plan, for they might change within the clock's tick."""


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    with tempfile.TemporaryDirectory() as scratch:
        recipe = finished_copy(Path(scratch))
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "its imports": [sys.executable, "-c", IMPORTS],
            "tune plan, no changes": [str(TUNE), "plan", str(recipe)],
            "tune validate": [str(TUNE), "validate", str(recipe)],
            "tune --help": [str(TUNE), "--help"],
            **{_plan_of(size): [str(TUNE), "plan", str(finished_datasets(Path(scratch), size))] for size in SIZES},
        }
        time.sleep(RACY_SECONDS)
        seconds = measure(commands)
        loaded = modules(recipe)
        hashed = hashing(Path(scratch))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{'command':<24}{'median ms':>10}{'min ms':>10}{'max ms':>10}")
    for name, values in seconds.items():
        print(f"{name:<24}{medians[name] * 1000:>10.0f}{min(values) * 1000:>10.0f}{max(values) * 1000:>10.0f}")
    for size, limit in SIZES.items():
        if limit:
            print(f"{_plan_of(size)}: {medians[_plan_of(size)] * 1000:.0f} ms, to reach {limit}")
    print(f"hashing a file: {hashed['ours']:.1f} GB/s; xxh3 over mmap: {hashed['mmap']:.1f} GB/s")
    print(f"modules loaded by plan that must not be: {loaded or 'none'}")
    figures = {
        "plan_ms": round(medians["tune plan, no changes"] * 1000, 1),
        "python_ms": round(medians["python -c pass"] * 1000, 1),
        "imports_ms": round(medians["its imports"] * 1000, 1),
        "ratio_to_imports": round(medians["tune plan, no changes"] / medians["its imports"], 3),
        **{f"plan_{size}_ms": round(medians[_plan_of(size)] * 1000, 1) for size in SIZES},
        "hash_gb_per_second": round(hashed["ours"], 2),
        "hash_ratio": round(hashed["ours"] / hashed["mmap"], 3),
        "heavy_modules": loaded,
    }
    print(json.dumps(figures))


def _plan_of(size: int) -> str:
    return f"tune plan, {size:,} datasets"


def measure(commands: dict[str, list[str]]) -> dict[str, list[float]]:
    """Wall seconds of each command, `ROUNDS` times, in turns."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for command in commands.values():  # compiled once, as installing a package does
        subprocess.run(command, check=True, capture_output=True, env=environment)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, env=environment)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def hashing(folder: Path) -> dict[str, float]:
    """GB in a second of a file in the page cache: as changed inputs are hashed, and by xxh3 over the mapped file."""
    path = folder / "input.bin"
    with path.open("wb") as file:
        for _ in range(HASHED_BYTES >> 20):
            file.write(os.urandom(1 << 20))
    ways = {"ours": digest_file, "mmap": _mapped_digest}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = set()
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            found.add(way(path))
            seconds[name].append(time.perf_counter() - began)
    path.unlink()
    if len(found) > 1:
        message = "both ways must give the same digest"
        raise ValueError(message)
    return {name: HASHED_BYTES / statistics.median(values) / 1e9 for name, values in seconds.items()}


def _mapped_digest(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        return xxhash.xxh3_128_hexdigest(pages)


def modules(recipe: Path) -> list[str]:
    """Which of the libraries that training takes a plan has loaded."""
    code = (
        "import sys; from tune.project import open_project; "
        f"open_project({str(recipe)!r}).plan(); "
        "print([m for m in ('torch', 'transformers', 'trl', 'peft', 'datasets', 'numpy', 'tokenizers') "
        "if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    found: list[str] = json.loads(printed.replace("'", '"'))
    return found


def finished_copy(folder: Path) -> Path:
    """The quickstart with a state in which everything is made, without having made it."""
    recipe = folder / "quickstart"
    shutil.copytree(QUICKSTART, recipe, ignore=shutil.ignore_patterns(".tune"))
    finish(recipe)
    return recipe


def finished_datasets(folder: Path, count: int) -> Path:
    """A recipe of many datasets of one row each, and a state that knows them all."""
    recipe = folder / f"{count}"
    (recipe / "data").mkdir(parents=True)
    tables = []
    for number in range(count):
        row = {"messages": [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": "Yes."}]}
        (recipe / "data" / f"{number}.jsonl").write_text(json.dumps(row) + "\n")
        tables.append(f'[dataset.of{number}]\nsource = "data/{number}.jsonl"\ntype = "chat_template"\n')
    (recipe / "recipe.toml").write_text("\n".join(tables))
    finish(recipe)
    return recipe


def finish(recipe: Path) -> None:
    """Write the state in which all of a recipe is made."""
    layout = Layout(recipe)
    layout.create()
    text = (recipe / "recipe.toml").read_text()
    state = State(lineage="benchmark", serial=0)
    desired, _ = desire(parse(text, "recipe.toml", kinds.load()), recipe, FileDigests(), state)
    records: dict[str, Record] = {}
    for one in desired:
        records[one.address] = made(one, layout, records)
    state = State(lineage="benchmark", serial=0, records=Entries.of(records, Record))
    Store(FolderBackend(layout.root, ".tune"), "benchmark").save(state, Author("benchmark", "benchmark"))


def made(one: Desired, layout: Layout, records: Mapping[str, Record]) -> Record:
    """The record of a resource as if it had been built, with an artifact where it would have one."""
    output = layout.artifact(one.kind, one.address.partition(".")[2], "made")
    if one.builds:
        output.mkdir(parents=True)
        artifacts.publish(output, {})
    return Record(
        kind=one.kind,
        settings=one.settings,
        content=one.content,
        inputs={name: tuple(_input(records, source) for source in group) for name, group in one.inputs.items()},
        code=one.code,
        action_key=one.address,
        status=Status.READY,
        output_digest=one.known.get("", one.address),
        parts={part: digest for part, digest in one.known.items() if part},
        artifact=layout.relative(output) if one.builds else "",
        facts={"rows": 100},
        metrics={"exact_match": 1.0, "perplexity": 1.0},
        provenance=Provenance(host=os.uname().nodename, finished="2026-01-01T00:00:00+00:00"),
    )


def _input(records: Mapping[str, Record], source: Source) -> InputRecord:
    record = records[source.address]
    return InputRecord(source.address, source.part, record.parts[source.part] if source.part else record.output_digest)


if __name__ == "__main__":
    main()
