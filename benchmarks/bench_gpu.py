"""`make bench-gpu`: tokens per second, use of the arithmetic and memory on one GPU, by tune's worker and by plain TRL.

Random weights in the shapes of Llama 3.2 1B and Llama 3.1 8B in bfloat16, packed rows of 4,096 random tokens. Fresh
processes one after the other, a row a step; time from the end of the second step to that of the last one. Cases that
memory does not hold are told and left out. `python -m benchmarks.bench_gpu tiny` does the same with a model of no use,
on a CPU where there is no GPU; names of cases behind it, or instead of it, pick these.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from attrs import evolve, frozen

from benchmarks.packed_trl import SCRIPT
from executor.kinds.model import Model
from executor.kinds.tokens import Tokens
from executor.methods.sft import Sft
from executor.models.adapter_fields import Adapter
from executor.tokens.document_files import DocumentRows
from executor.tokens.earlier_files import EarlierFiles
from executor.tokens.token_documents import Documents
from executor.tokens.token_files import TRAIN, TokenWriter
from executor.training.distributed_fields import Distributed
from executor.workers import events
from executor.workers.launch import Stop, run_in_worker
from executor.workers.task import Input, Task
from executor.workers.world import World, free_port
from planner.structure import settings_of
from state.canonical import Plain
from state.diagnostic import ProblemError

TOKENIZER = Path(__file__).parent.parent / "examples" / "quickstart" / "tokenizer"
STEPS, TIMED_FROM = 12, 2
ROW_TOKENS, DOCUMENT_TOKENS = 4096, 512
FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}
"""Dense bfloat16 operations a second, by words of the GPU's name, as NVIDIA's data sheets have them."""
SIZES: dict[str, dict[str, Plain]] = {
    "1B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "tie_word_embeddings": True},
    "8B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "tie_word_embeddings": False},
    "tiny": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "tie_word_embeddings": True},
}
LORA = Adapter(r=16, lora_alpha=32.0)
OFFLOADED = Distributed("deepspeed", 1, zero_stage=3, offload_optimizer="cpu", offload_parameters="cpu")
ON_ONE = Distributed("single")
ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
"""What DeepSpeed reads of the only process."""


@frozen
class Case:
    """A training: a size of model, and what is trained of it."""

    size: str
    adapter: Adapter | None = None
    offloaded: bool = False
    """Whether weights and states lie in the host's memory, by ZeRO stage 3."""


CASES = {
    "1B, LoRA": Case("1B", LORA),
    "1B, all weights": Case("1B"),
    "8B, LoRA": Case("8B", LORA),
    "8B, QLoRA": Case("8B", evolve(LORA, type="qlora")),
    "8B, all weights, offloaded": Case("8B", offloaded=True),
}


def main() -> None:
    """Measure, print a table, and as the last line one JSON object."""
    import torch

    tiny, names = "tiny" in sys.argv[1:], [one for one in sys.argv[1:] if one != "tiny"] or list(CASES)
    figures: dict[str, dict[str, float]] = {}
    print(f"{'':<28}{'tokens/s':>10}{'TRL':>10}{'ratio':>8}{'MFU':>7}{'GiB':>7}{'TRL':>7}{'loss':>9}{'TRL':>9}")
    for name in names:
        case = evolve(CASES[name], size="tiny") if tiny else CASES[name]
        with tempfile.TemporaryDirectory() as scratch:
            figures[name] = measured(Path(scratch), case)
        print(_line(name, figures[name]), flush=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    print(json.dumps(figures))


def _line(name: str, found: Mapping[str, float]) -> str:
    if "tokens_per_second" not in found:
        return f"{name:<28}does not fit, or failed: see the log"
    columns = (
        ("tokens_per_second", 10, 0), ("trl_tokens_per_second", 10, 0), ("ratio_to_trl", 8, 3), ("mfu", 7, 3),
        ("gib", 7, 1), ("trl_gib", 7, 1), ("loss", 9, 4), ("trl_loss", 9, 4),
    )  # fmt: skip
    return f"{name:<28}" + "".join(f"{found[key]:>{width}.{digits}f}" for key, width, digits in columns)


def measured(folder: Path, case: Case) -> dict[str, float]:
    """Both sides of a case."""
    model, tokens = prepare(folder, case)
    count = float(str(model.facts["parameters"]))
    try:
        tune, trl = by_tune(folder, case, model, tokens), by_trl(folder, case, model, tokens)
    except (ProblemError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return {}
    rates = {name: ROW_TOKENS * (STEPS - TIMED_FROM) / one["seconds"] for name, one in (("", tune), ("trl_", trl))}
    # Forward 2, backward 4 for all weights; 2 where only an adapter's gradients are wanted of them.
    operations = (6 if case.adapter is None else 4) * count * rates[""]
    return {
        "tokens_per_second": round(rates[""], 1),
        "trl_tokens_per_second": round(rates["trl_"], 1),
        "ratio_to_trl": round(rates[""] / rates["trl_"], 4),
        "mfu": round(operations / most_operations(), 4),
        "gib": tune["gib"],
        "trl_gib": trl["gib"],
        "loss": tune["loss"],
        "trl_loss": trl["loss"],
    }


def most_operations() -> float:
    """Of the GPU, a second; infinite where that is not known, and on a CPU."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((most for word, most in FLOPS.items() if word in name), float("inf"))


def prepare(folder: Path, case: Case) -> tuple[Input, Input]:
    """A folder with random weights, and one with packed rows of random tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    length = len(AutoTokenizer.from_pretrained(TOKENIZER))
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "max_position_embeddings": 2 * ROW_TOKENS}
    vocabulary = 128_256
    if case.size == "tiny":
        heads, vocabulary = {**heads, "num_attention_heads": 4, "num_key_value_heads": 2}, length
    sizes: dict[str, Any] = {**SIZES[case.size], **heads, "vocab_size": vocabulary, "pad_token_id": 0}
    torch.manual_seed(1)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        random: Any = AutoModelForCausalLM.from_config
        model = random(AutoConfig.for_model("llama", **sizes), dtype=torch.bfloat16)
    model.save_pretrained(folder / "model")
    count = sum(one.numel() for one in model.parameters())
    for file in TOKENIZER.iterdir():
        shutil.copy(file, folder / "model" / file.name)
    settings = settings_of(Model(source=str(folder / "model")))
    made = Input("model.it", "weights", str(folder / "model"), settings, {"parameters": count})
    return made, _rows(folder, length)


def _rows(folder: Path, vocabulary: int) -> Input:
    """More rows than are trained, each full of documents."""
    random = Random(1)  # noqa: S311  no secret
    count = (ROW_TOKENS // DOCUMENT_TOKENS) * (STEPS + 1)
    ids = array("i", [random.randrange(8, vocabulary) for _ in range(DOCUMENT_TOKENS * count)]).tobytes()
    size = 4 * DOCUMENT_TOKENS
    content = memoryview(b"".join(ids[at : at + size] * 2 for at in range(0, len(ids), size)))
    lengths = array("i", [DOCUMENT_TOKENS] * count)
    starts = array("q", range(0, 2 * size * count, 2 * size))
    documents = Documents(content, starts, array("q", [size] * count), lengths, lengths)
    output = folder / "tokens"
    output.mkdir()
    with TokenWriter(output, EarlierFiles({})) as writer:
        writer.rows(TRAIN, documents, range(count), DocumentRows(ROW_TOKENS))
    tokens = Tokens(("dataset.it",), "model.it", ROW_TOKENS, "error", ("assistant",), sample_packing=True)
    facts: dict[str, Plain] = {"rows": STEPS + 1, "longest": ROW_TOKENS, "tokens": DOCUMENT_TOKENS * count}
    return Input("tokens.it", "rows", str(output), settings_of(tokens), facts)


def by_tune(folder: Path, case: Case, model: Input, tokens: Input) -> dict[str, float]:
    """Through a worker, as `tune apply` does it."""
    stage = Sft(
        model="model.it", datasets=("dataset.it",), learning_rate=1e-5, sequence_len=ROW_TOKENS, sample_packing=True,
        batch_size=1, micro_batch_size=1, max_steps=STEPS, gradient_checkpointing=True,
        adapter=case.adapter, load_in_4bit=_few_bits(case), bnb_4bit_compute_dtype="bfloat16",
        distributed=OFFLOADED if case.offloaded else ON_ONE,
    )  # fmt: skip
    ended: dict[int, float] = {}
    most: dict[str, float] = {}

    def emit(event: events.Event) -> None:
        if isinstance(event, events.Progress) and event.unit == "steps":
            ended.setdefault(event.done, time.perf_counter())
            most.update(event.values)

    task = Task(
        address="train.it", kind="train", settings=settings_of(stage), content={}, recipe_folder=str(folder),
        inputs={"model": (model,), "tokens": (tokens,)}, output=str(folder / "output"),
        checkpoints=str(folder / "checkpoints"), tune_folder=str(folder),
        world=World("deepspeed" if case.offloaded else "single", 1, main_port=free_port()),
    )  # fmt: skip
    (folder / "output").mkdir()
    outcome = run_in_worker(task, emit, Stop(), folder / "tune.log")
    return {
        "seconds": ended[STEPS] - ended[TIMED_FROM],
        "gib": most["memory_gib"],
        "loss": float(str(outcome.metrics["train_loss"])),
    }


def _few_bits(case: Case) -> bool:
    return case.adapter is not None and case.adapter.type == "qlora"


def by_trl(folder: Path, case: Case, model: Input, tokens: Input) -> dict[str, float]:
    """By the plain script."""
    wanted = {
        "model": model.folder, "rows": str(next(Path(tokens.folder).glob("train-*.arrow"))), "steps": STEPS,
        "output": str(folder / "trl"), "lora": case.adapter is not None, "four": _few_bits(case),
        "offloaded": case.offloaded, "from": TIMED_FROM,
    }  # fmt: skip
    alone = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
    }
    environment = {**os.environ, **(alone if wanted["offloaded"] else {}), "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, "-c", SCRIPT, json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
