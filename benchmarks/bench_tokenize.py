"""`make bench-tokenize`: from chats in a file to token rows with labels, by tune and by TRL's own preparation.

The same 20,000 chats, the same byte-level BPE of 32,000 tokens with Qwen's expression, the same template. Fresh
processes in turns; the clock runs from behind the imports to the rows on disk: for TRL over `load_dataset` and what
SFTTrainer does with it, for tune over one build of `tokens`. Ids and labels are compared on every row. Then tune makes
tokens again after 1 % of rows were appended, deleted or changed, also with 100,000 chats. Last, either packs 200,000
documents, from 32-bit ids and labels in a file that is mapped into memory to packed rows in Arrow files on disk, the
best of three in each process. `python -m benchmarks.bench_tokenize packing` does no more than that, and with a number
instead it makes tokens of so many chats, and of edits.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.clock import Clock, best
from benchmarks.tokenize_builds import TOKENS, by_tune, pack_alone, with_edits
from benchmarks.tokenize_data import EDITS, SEQUENCE_LEN, lengths, make_data
from executor.tokens.token_files import TRAIN, opened

HOUSE = Path(__file__).parent.parent
MANY_CHATS = 100_000
ROUNDS, PACKING_ROUNDS, REPEATS = 3, 7, 3


def main() -> None:
    """Make the data, measure, compare, print a table, and as the last line one JSON object."""
    sides = {
        "trl": by_trl,
        "tune": by_tune,
        "many": by_tune_of_many,
        "trl_packing": packing_by_trl,
        "tune_packing": packing_by_tune,
    }
    match sys.argv[1:]:
        case ["packing"]:
            with tempfile.TemporaryDirectory() as scratch:
                packing = packing_rounds(Path(scratch))
            print_ratios(packing, "packing")
            print(json.dumps(packing_figures(packing)))
        case [side, data]:
            print(json.dumps(sides[side](Path(data))))
        case [count]:
            with tempfile.TemporaryDirectory() as scratch:
                make_data(Path(scratch), int(count))
                rounds = [{"tune": run("many", Path(scratch))}]
            print_edits(rounds, "many_")
            print(json.dumps(costs(rounds, "many_", "")))
        case _:
            with tempfile.TemporaryDirectory() as scratch:
                make_data(Path(scratch), MANY_CHATS)
                rounds = [{side: run(side, Path(scratch)) for side in ("trl", "tune")} for _ in range(ROUNDS)]
                compared = compare(Path(scratch))
                packing = packing_rounds(Path(scratch))
            print_figures(rounds, compared, packing)


def packing_rounds(folder: Path) -> list[dict[str, dict[str, float]]]:
    """What packing takes on both sides, in turns that follow each other so closely that the machine is the same."""
    return [{side: run(f"{side}_packing", folder) for side in ("trl", "tune")} for _ in range(PACKING_ROUNDS)]


def run(side: str, folder: Path) -> dict[str, float]:
    """The seconds that one side took, in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.bench_tokenize", side, str(folder)]
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": cache}
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=HOUSE)
    seconds: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return seconds


def print_ratios(rounds: list[dict[str, dict[str, float]]], *names: str) -> None:
    """Medians and ratios; a ratio is that of the two sides of one round."""
    print(f"{'':<26}{'TRL, s':>10}{'tune, s':>10}{'ratio':>8}{'TRL, CPU s':>14}{'tune, CPU s':>14}{'ratio':>8}")
    for name in names:
        print(f"{name.replace('_', ' '):<26}", end="")
        for measure, width in ((name, 10), (f"{name}_processor", 14)):
            trl, tune = (statistics.median(one[side][measure] for one in rounds) for side in ("trl", "tune"))
            print(f"{trl:>{width}.2f}{tune:>{width}.2f}{ratio(rounds, measure):>8.1f}", end="")
        print()


def print_figures(
    rounds: list[dict[str, dict[str, float]]], compared: int, packing: list[dict[str, dict[str, float]]]
) -> None:
    """All of it, and as the last line one JSON object."""
    print_ratios(rounds, "rows", "packed_rows")
    print_ratios(packing, "packing")
    for prefix in ("", "many_"):
        print_edits(rounds, prefix)
    print(f"rows compared: {compared}, all ids and labels equal")
    figures = {
        "ratio_to_trl": round(ratio(rounds, "rows"), 2),
        "ratio_to_trl_processor": round(ratio(rounds, "rows_processor"), 2),
        "packed_ratio_to_trl": round(ratio(rounds, "packed_rows"), 2),
        **packing_figures(packing),
        **costs(rounds, "many_", ""),
        **costs(rounds, "", "_few"),
        "tokens_per_second": round(rounds[0]["tune"][TOKENS] / min(one["tune"]["rows"] for one in rounds)),
    }
    print(json.dumps(figures))


def packing_figures(rounds: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """How much faster documents are put into rows, and how full these are."""
    return {
        "packing_ratio_to_trl": round(ratio(rounds, "packing"), 2),
        "packing_ratio_to_trl_processor": round(ratio(rounds, "packing_processor"), 2),
        "fill": round(rounds[0]["tune"]["fill"], 5),
        "fill_trl": round(rounds[0]["trl"]["fill"], 5),
    }


def print_edits(rounds: list[dict[str, dict[str, float]]], prefix: str) -> None:
    """What packed rows take, and what they take after each edit."""
    for name in (f"{prefix}packed_rows", *(f"{prefix}{one}" for one in EDITS)):
        for kind in ("", "_published"):
            measures = (name + kind, f"{name}{kind}_processor")
            wall, used = (statistics.median(one["tune"][measure] for one in rounds) for measure in measures)
            print(f"{(name + kind).replace('_', ' '):<32}{'':>4}{wall:>10.2f}{'':>22}{used:>14.2f}")


def ratio(rounds: list[dict[str, dict[str, float]]], name: str) -> float:
    """How many times faster tune is, the median of the rounds."""
    return statistics.median(one["trl"][name] / one["tune"][name] for one in rounds)


def costs(rounds: list[dict[str, dict[str, float]]], prefix: str, suffix: str) -> dict[str, float]:
    """What each edit costs beside all rows, the median of the rounds."""
    found = {}
    for edit in EDITS:
        for kind in ("", "_processor", "_published"):
            shares = (
                one["tune"][f"{prefix}{edit}{kind}"] / one["tune"][f"{prefix}packed_rows{kind}"] for one in rounds
            )
            found[f"{edit}_cost{suffix}{kind}"] = round(statistics.median(shares), 4)
    return found


def by_tune_of_many(folder: Path) -> dict[str, float]:
    """Packed rows of many chats alone, and of edits."""
    return with_edits("many_", folder, folder / "made")[0]


def by_trl(folder: Path) -> dict[str, float]:
    """TRL's preparation, with and without packing."""
    import torch
    from datasets import disable_caching, disable_progress_bars, load_dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    disable_progress_bars()
    disable_caching()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    size: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **size))
    seconds: dict[str, float] = {}

    class Timed(SFTTrainer):
        def _prepare_dataset(self, *args: Any) -> Any:  # noqa: ANN401  TRL's own
            clock = Clock()
            prepared = super()._prepare_dataset(*args)
            taken = clock.read("packed_rows" if settings.packing else "rows")
            seconds.update({name: value + loading for name, value in taken.items()})
            return prepared

    began = time.perf_counter()
    rows = load_dataset("json", data_files=str(folder / "chats.jsonl"), split="train")
    loading = time.perf_counter() - began
    for packing in (False, True):
        settings = SFTConfig(
            output_dir=str(folder / "output"),
            assistant_only_loss=True,
            max_length=SEQUENCE_LEN,
            packing=packing,
            use_cpu=True,
            bf16=False,
            report_to="none",
        )
        trainer: Any = Timed(model, args=settings, train_dataset=rows, processing_class=tokenizer)
        if not packing:
            trainer.train_dataset.save_to_disk(str(folder / "trl"))
    return seconds


def packing_by_tune(folder: Path) -> dict[str, float]:
    """Documents into rows, by tune."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        packing, fill = pack_alone(Path(scratch))
    return {**packing, "fill": fill}


def packing_by_trl(folder: Path) -> dict[str, float]:
    """Documents into rows, by TRL."""
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset as Rows
    from datasets import disable_caching, disable_progress_bars
    from trl.data_utils import pack_dataset

    disable_progress_bars()
    disable_caching()
    sizes = lengths()
    documents = pa.ListArray.from_arrays(np.cumsum([0, *sizes], dtype=np.int32), np.ones(sum(sizes), np.int32))
    Rows(pa.table({"input_ids": documents, "labels": documents})).save_to_disk(str(folder / "documents"))
    taken = []
    for _ in range(REPEATS):
        unpacked = Rows.load_from_disk(str(folder / "documents"))
        clock = Clock()
        packed = pack_dataset(unpacked, SEQUENCE_LEN, "bfd")
        taken.append(clock.read("packing"))
    return {**best(taken), "fill": sum(sizes) / (len(packed) * SEQUENCE_LEN)}


def compare(folder: Path) -> int:
    """How many rows are compared; raises AssertionError if ids or labels of any differ."""
    from datasets import Dataset as Rows

    theirs, ours = Rows.load_from_disk(str(folder / "trl")), opened(folder / "tune", TRAIN)
    for name in ("input_ids", "labels"):
        if theirs[name][:] != ours[name][:]:
            message = f"{name} differ"
            raise AssertionError(message)
    return len(ours)


if __name__ == "__main__":
    main()
