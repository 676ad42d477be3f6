"""`make bench-train`: steps per second through tune's worker, beside a plain TRL script on the same rows and settings.

A fresh process each time, in turns, and medians count. All tell their parent on a pipe when a step has ended, and the
parent looks at its own clock: from the end of the first step to the end of the last one, checkpoint included.

On a busy machine, rates say little. So what each takes of a processor between the same two moments is compared too,
round by round, with what the parent takes to listen counted in. Each has one thread: others would spin while they wait,
which counts as work.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types
from attrs import define, field, frozen

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

ROUNDS = 5
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

BARE = """
import sys

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

print("step", 0, flush=True)
model, rows, output, steps, logging_steps = sys.argv[1:]


class Stamp(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step in (1, state.max_steps):
            print("step", state.global_step, flush=True)


trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
    args=SFTConfig(
        output_dir=output,
        per_device_train_batch_size=32,
        max_steps=int(steps),
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        optim="adamw_torch",
        bf16=False,
        activation_checkpointing=False,
        logging_steps=int(logging_steps),
        save_steps=100,
        save_total_limit=2,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
    ),
    train_dataset=Dataset.from_file(rows).select_columns(["input_ids", "labels"]),
    processing_class=AutoTokenizer.from_pretrained(model),
)
trainer.add_callback(Stamp())
print("loss", trainer.train().training_loss, flush=True)
"""
"""What a user of TRL writes for the same training: its own collator, no callback but the one that tells the time.

Step 0 is over when the libraries are imported.
"""


@define
class Clock:
    """When steps ended, as the parent hears of it, and what they had taken of a processor by then."""

    started: float = field(factory=time.perf_counter)
    ended: dict[int, float] = field(factory=dict)
    worked: dict[int, float] = field(factory=dict)
    loss: float = 0.0

    def heard(self, step: int) -> None:
        """A step has just ended."""
        if step in (0, 1, STEPS):
            self.ended[step] = time.perf_counter()
            self.worked[step] = processor_seconds()

    def until(self, step: int) -> float:
        """Seconds from the start of the process to the end of a step."""
        return self.ended[step] - self.started

    @property
    def rate(self) -> float:
        """Steps per second after the first."""
        return (STEPS - 1) / (self.ended[STEPS] - self.ended[1])

    @property
    def work(self) -> float:
        """Processor seconds of all steps after the first."""
        return self.worked[STEPS] - self.worked[1]


def processor_seconds() -> float:
    """What this process and those that it has running have taken of a processor."""
    running = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return float(sum(one.cpu_times().user + one.cpu_times().system for one in running))


@frozen
class Workplace:
    """A folder with a model and token rows, made once."""

    folder: Path
    model: Input
    tokens: Input


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    os.environ["OMP_NUM_THREADS"] = "1"
    contestants: dict[str, Callable[[Workplace, int], Clock]] = {
        "tune": tune,
        "trl": trl,
        "seldom": partial(trl, logging_steps=10),
    }
    rounds: list[dict[str, Clock]] = []
    with tempfile.TemporaryDirectory() as scratch:
        workplace = prepare(Path(scratch))
        for number in range(ROUNDS):
            first = number % len(contestants)
            order = [*contestants][first:] + [*contestants][:first]
            rounds.append({name: contestants[name](workplace, number) for name in order})
            said = ", ".join(
                f"{name} {one.rate:.2f} steps/s and {one.work:.2f} processor s, loss {one.loss}"
                for name, one in rounds[-1].items()
            )
            print(f"round {number + 1}: {said}", flush=True)
    report(rounds)


def report(rounds: list[dict[str, Clock]]) -> None:
    """The table and the figures; `seldom` is the plain script that logs every 10th step, as TRL's defaults are."""
    figures: dict[str, float] = {}
    print(f"{'':<8}{'steps/s median':>16}{'min':>8}{'max':>8}{'first step after s':>20}{'processor s':>13}")
    for name in rounds[0]:
        rates = [one[name].rate for one in rounds]
        figures[f"{name}_steps_per_second"] = round(statistics.median(rates), 3)
        figures[f"processor_{name}_s"] = round(statistics.median(one[name].work for one in rounds), 2)
        figures[f"startup_{name}_s"] = round(statistics.median(one[name].until(1) for one in rounds), 2)
        middle, startup = figures[f"{name}_steps_per_second"], figures[f"startup_{name}_s"]
        columns = f"{middle:>16.2f}{min(rates):>8.2f}{max(rates):>8.2f}{startup:>20.1f}"
        print(f"{name:<8}{columns}{figures[f'processor_{name}_s']:>13.2f}")
    figures["ratio_to_trl"] = round(figures["tune_steps_per_second"] / figures["trl_steps_per_second"], 4)
    best = {name: max(one[name].rate for one in rounds) for name in rounds[0]}
    figures["ratio_of_best"] = round(best["tune"] / best["trl"], 4)
    for name in ("trl", "seldom"):
        more = statistics.median(one["tune"].work / one[name].work for one in rounds)
        least = min(one["tune"].work for one in rounds) / min(one[name].work for one in rounds)
        figures |= {f"processor_to_{name}": round(more, 4), f"least_processor_to_{name}": round(least, 4)}
    imported = min(one["trl"].until(0) for one in rounds)
    figures["startup_beyond_imports_s"] = round(min(one["tune"].until(1) for one in rounds) - imported, 2)
    figures["loss_difference"] = max(abs(one["tune"].loss - one["trl"].loss) for one in rounds)
    print(json.dumps(figures))


def tune(workplace: Workplace, number: int) -> Clock:
    """One training in tune's own worker process."""
    inputs = {"model": (workplace.model,), "tokens": (workplace.tokens,)}
    clock = Clock()

    def emit(event: events.Event) -> None:
        if isinstance(event, events.Progress):
            clock.heard(event.done)

    outcome = work(workplace.folder, f"train.{number}", settings_of(STAGE), inputs, emit)
    clock.loss = float(str(outcome.metrics["train_loss"]))
    return clock


def trl(workplace: Workplace, number: int, logging_steps: int = 1) -> Clock:
    """One training by the plain script."""
    (rows,), output = (
        split_files(Path(workplace.tokens.folder), TRAIN),
        workplace.folder / f"trl.{number}.{logging_steps}",
    )
    command = [sys.executable, "-c", BARE, workplace.model.folder, str(rows), str(output)]
    command += [str(STEPS), str(logging_steps)]
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    clock = Clock()
    with (workplace.folder / f"trl.{number}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment, text=True)
        with process:
            for line in process.stdout or ():
                match line.split():
                    case ["step", step]:
                        clock.heard(int(step))
                    case ["loss", loss]:
                        clock.loss = round(float(loss), 6)
    if process.returncode:
        raise SystemExit((workplace.folder / f"trl.{number}.log").read_text())
    return clock


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
