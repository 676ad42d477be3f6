"""`make bench-train`: steps per second through tune's worker, beside a plain TRL script on the same rows and settings.

Two fresh processes at a time that take turns of half a second, for rates of runs that follow each other say little
where a machine's speed changes. Both tell their parent on a pipe when a step has ended, and the parent counts the
seconds in which it let them run: from the end of the first step to the end of the last one, checkpoints included. Each
has one thread: others would spin while they wait, which counts as work.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from attrs import frozen

from benchmarks.plain_trl import SCRIPT
from benchmarks.turns import Contestant, compete
from executor.data.dataset_fields import Dataset
from executor.kinds.dataset import identity
from executor.kinds.model import Model
from executor.kinds.tokens import Tokens
from executor.methods.sft import Sft
from executor.tokens.token_files import TRAIN, split_files
from executor.workers import events
from executor.workers.launch import Emit, Stop, run_in_worker
from executor.workers.task import Input, Outcome, Task
from planner.structure import settings_of
from state.canonical import Plain
from state.files import digest_file

ROUNDS = 4
STEPS = 150
QUICKSTART = Path(__file__).parent.parent / "examples" / "quickstart"
CORPUS = QUICKSTART / "data" / "corpus.jsonl"
MODEL: dict[str, Plain] = {
    "model_type": "llama",
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128,
    "tie_word_embeddings": True,
}
STAGE = Sft(
    model="model.tiny",
    datasets=("dataset.corpus",),
    learning_rate=1e-3,
    sequence_len=64,
    batch_size=32,
    micro_batch_size=32,
    max_steps=STEPS,
    bf16=False,
)
"""Cadences stay at tune's defaults: a log every step, a checkpoint every 100 and one at the end."""


@frozen
class Workplace:
    """A folder with a model and token rows, made once."""

    folder: Path
    model: Input
    tokens: Input


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    os.environ["OMP_NUM_THREADS"] = "1"
    rounds: list[dict[str, Contestant]] = []
    with tempfile.TemporaryDirectory() as scratch:
        workplace = prepare(Path(scratch))
        for number in range(ROUNDS):
            for names in PAIRS if number % 2 else [(other, one) for one, other in PAIRS]:
                run = len(rounds)
                pair = {name: Contestant(name, partial(CONTESTANTS[name], workplace, run)) for name in names}
                compete(*pair.values())
                rounds.append(pair)
                print(f"round {number + 1}: " + ", ".join(_said(one) for one in pair.values()), flush=True)
    report(rounds)


def _said(one: Contestant) -> str:
    return f"{one.name} {rate(one):.2f} steps/s, {processor_seconds(one):.2f} processor s, loss {one.loss}"


def report(rounds: list[dict[str, Contestant]]) -> None:
    """The table and the figures."""
    figures = _each(rounds)
    for one, other in PAIRS:
        pairs = [pair for pair in rounds if pair.keys() == {one, other}]
        rates, work = (
            sorted(what(pair[one]) / what(pair[other]) for pair in pairs) for what in (rate, processor_seconds)
        )
        print(f"{one} / {other}: steps/s {' '.join(f'{each:.3f}' for each in rates)}")
        figures[f"{one}_to_{other}"] = round(statistics.median(rates), 4)
        figures[f"processor_{one}_to_{other}"] = round(statistics.median(work), 4)
    figures["ratio_to_trl"] = figures["tune_to_trl"]
    beyond = [pair["tune"].ended[1] - pair["trl"].ended[0] for pair in rounds if pair.keys() == {"tune", "trl"}]
    figures["startup_beyond_imports_s"] = round(statistics.median(beyond), 2)
    own = [pair["trl"].ended[1] - pair["trl"].ended[0] for pair in rounds if "trl" in pair]
    figures["trl_startup_beyond_imports_s"] = round(statistics.median(own), 2)
    losses = {one.loss for pair in rounds for one in pair.values()}
    figures["loss_difference"] = max(losses) - min(losses)
    print(json.dumps(figures))


def _each(rounds: list[dict[str, Contestant]]) -> dict[str, float]:
    """The table of the contestants, each by itself."""
    figures: dict[str, float] = {}
    print(f"{'':<12}{'steps/s, median':>16}{'least':>8}{'most':>8}{'processor s':>13}{'first step after s':>20}")
    for name in CONTESTANTS:
        runs = [pair[name] for pair in rounds if name in pair]
        rates, processor = [*map(rate, runs)], statistics.median(map(processor_seconds, runs))
        figures[f"{name}_steps_per_second"] = round(statistics.median(rates), 3)
        figures[f"{name}_processor_s"] = round(processor, 2)
        figures[f"{name}_startup_s"] = round(statistics.median(one.ended[1] for one in runs), 2)
        columns = f"{statistics.median(rates):>16.2f}{min(rates):>8.2f}{max(rates):>8.2f}{processor:>13.2f}"
        print(f"{name:<12}{columns}{figures[f'{name}_startup_s']:>20.1f}")
    return figures


def rate(one: Contestant) -> float:
    """Steps per second after the first."""
    return (STEPS - 1) / (one.ended[STEPS] - one.ended[1])


def processor_seconds(one: Contestant) -> float:
    """What all steps after the first took of a processor."""
    return one.worked[STEPS] - one.worked[1]


def tune(workplace: Workplace, run: int, contestant: Contestant) -> None:
    """One training in tune's own worker process."""
    inputs = {"model": (workplace.model,), "tokens": (workplace.tokens,)}

    def emit(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.done in (1, STEPS):
            contestant.heard(event.done)

    outcome = work(workplace.folder, f"train.{run}", settings_of(STAGE), inputs, emit)
    contestant.loss = float(str(outcome.metrics["train_loss"]))


def trl(workplace: Workplace, run: int, contestant: Contestant, logging_steps: int = 1) -> None:
    """One training by the plain script."""
    (rows,) = split_files(Path(workplace.tokens.folder), TRAIN)
    output = workplace.folder / f"{contestant.name}.{run}"
    command = [sys.executable, "-c", SCRIPT, workplace.model.folder, str(rows), str(output)]
    command += [str(STEPS), str(logging_steps)]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    log = Path(f"{output}.log")
    with log.open("wb") as told:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, env=environment, text=True)
        with process:
            for line in process.stdout or ():
                match line.split():
                    case ["step", step]:
                        contestant.heard(int(step))
                    case ["loss", loss]:
                        contestant.loss = round(float(loss), 6)
    if process.returncode:
        raise RuntimeError(log.read_text())


CONTESTANTS: dict[str, Callable[[Workplace, int, Contestant], None]] = {
    "tune": tune,
    "trl": trl,
    "trl_again": trl,
    "trl_seldom": partial(trl, logging_steps=10),
}
"""`trl_again` is the very same script, which shows how much is noise; `trl_seldom` logs every 10th step."""
PAIRS = (("tune", "trl"), ("trl_again", "trl"), ("tune", "trl_seldom"))


def prepare(folder: Path) -> Workplace:
    """Random weights, and the quickstart's plain texts as token rows."""
    model = Model(config=MODEL, tokenizer=str(QUICKSTART / "tokenizer"), seed=1)
    made = work(folder, "model.tiny", settings_of(model), {}, _ignore)
    model_input = Input("model.tiny", made.output_digest, str(folder / "model.tiny"), settings_of(model), made.facts)
    settings = settings_of(Dataset(source=str(CORPUS), type="completion"))
    digest = identity(settings, [digest_file(CORPUS)])
    lines = len(CORPUS.read_text().splitlines())
    dataset = Input("dataset.corpus", digest, str(QUICKSTART), settings, {"rows": lines})
    tokens = settings_of(
        Tokens(("dataset.corpus",), "model.tiny", STAGE.sequence_len, "error", roles_to_train=("assistant",))
    )
    made = work(folder, "tokens.corpus", tokens, {"datasets": (dataset,), "tokenizer": (model_input,)}, _ignore)
    rows = Input("tokens.corpus", made.output_digest, str(folder / "tokens.corpus"), tokens, made.facts)
    print(f"{model_input.facts['parameters']} parameters, {STEPS} steps of {STAGE.batch_size} rows, {made.facts}")
    return Workplace(folder, model_input, rows)


def work(
    folder: Path,
    address: str,
    settings: Mapping[str, Plain],
    inputs: Mapping[str, tuple[Input, ...]],
    emit: Emit,
) -> Outcome:
    """One task in a worker process, as `tune apply` runs it."""
    output = folder / address
    output.mkdir()
    task = Task(
        address=address,
        kind=address.partition(".")[0],
        settings=settings,
        content={},
        inputs=inputs,
        recipe_folder=str(folder),
        output=str(output),
        checkpoints=str(folder / f"{address}.checkpoints"),
        tune_folder=str(folder),
    )
    return run_in_worker(task, emit, Stop(), folder / f"{address}.log")


def _ignore(_: events.Event) -> None:
    """Nobody waits for the preparations."""


if __name__ == "__main__":
    main()
