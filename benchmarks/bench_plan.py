"""`make bench-plan`: a cold `tune plan` without changes, beside bare Python and the imports that it needs.

A fresh process each time, interleaved, so that a noisy machine disturbs all of them alike; the median counts.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from executor import kinds
from executor.probe import desire
from planner.kind import Source
from planner.recipe import parse
from state import artifacts
from state.change import put
from state.files import FileDigests
from state.folder_backend import FolderBackend
from state.history import Author
from state.layout import Layout
from state.record import InputRecord, Provenance, Record, State, Status
from state.store import Store

ROUNDS = 15
QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart"
TUNE = Path(sys.executable).parent / "tune"
IMPORTS = "import click, rich.console, rich.table, cattrs, attrs, tomlkit, xxhash, json"


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
        }
        seconds = measure(commands)
        loaded = modules(recipe)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{'command':<24}{'median ms':>10}{'min ms':>10}{'max ms':>10}")
    for name, values in seconds.items():
        print(f"{name:<24}{medians[name] * 1000:>10.0f}{min(values) * 1000:>10.0f}{max(values) * 1000:>10.0f}")
    print(f"modules loaded by plan that must not be: {loaded or 'none'}")
    figures = {
        "plan_ms": round(medians["tune plan, no changes"] * 1000, 1),
        "python_ms": round(medians["python -c pass"] * 1000, 1),
        "imports_ms": round(medians["its imports"] * 1000, 1),
        "ratio_to_imports": round(medians["tune plan, no changes"] / medians["its imports"], 3),
        "heavy_modules": loaded,
    }
    print(json.dumps(figures))


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
    layout = Layout(recipe)
    layout.create()
    text = (recipe / "recipe.toml").read_text()
    state = State(lineage="benchmark", serial=0)
    desired, _ = desire(parse(text, "recipe.toml", kinds.load()), recipe, FileDigests(), state)
    for one in desired:
        output = layout.artifact(one.kind, one.address.partition(".")[2], "made")
        if one.builds:
            output.mkdir(parents=True)
            artifacts.publish(output, {})
        parts = {part: digest for part, digest in one.known.items() if part}
        record = Record(
            kind=one.kind,
            settings=one.settings,
            content=one.content,
            inputs={name: tuple(_input(state, source) for source in group) for name, group in one.inputs.items()},
            code=one.code,
            action_key=one.address,
            status=Status.READY,
            output_digest=one.known.get("", one.address),
            parts=parts,
            artifact=layout.relative(output) if one.builds else "",
            facts={"rows": 100},
            metrics={"exact_match": 1.0, "perplexity": 1.0},
            provenance=Provenance(host=os.uname().nodename, finished="2026-01-01T00:00:00+00:00"),
        )
        state = put(state, one.address, record)
    layout.create()
    Store(FolderBackend(layout.root, ".tune"), "benchmark").save(state, Author("benchmark", "benchmark"))
    return recipe


def _input(state: State, source: Source) -> InputRecord:
    record = state.records[source.address]
    return InputRecord(source.address, source.part, record.parts[source.part] if source.part else record.output_digest)


if __name__ == "__main__":
    main()
