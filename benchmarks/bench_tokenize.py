"""`make bench-tokenize`: from chats in a file to token rows with labels, by tune and by TRL's own preparation.

The same 20,000 chats, the same byte-level BPE of 32,000 tokens with Qwen's expression, the same template. Fresh
processes in turns; the clock runs from behind the imports to the rows on disk: for TRL over `load_dataset` and what
SFTTrainer does with it, for tune over one build of `tokens`. Ids and labels are compared on every row. Then 1 % more
rows for tune, which knows the others, also with 100,000 chats; and the packing of 200,000 documents by either, from
32-bit ids and labels in a file that is mapped into memory to packed rows in an Arrow file on disk, the best of three.
"""

from __future__ import annotations

import ast
import json
import math
import mmap
import os
import random
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

from attrs import field, frozen

from executor.data.dataset_fields import Dataset
from executor.kinds.dataset import identity
from executor.kinds.tokens import Tokens
from executor.workers.task import Input, Task
from executor.workers.worker_reports import Reporter
from planner.structure import settings_of
from state.canonical import Plain
from state.files import FileDigests
from state.layout import Layout

HOUSE = Path(__file__).parent.parent
CHATS, MANY_CHATS = 20_000, 100_000
ROUNDS, REPEATS = 3, 3
SEQUENCE_LEN = 2048
PACKED_DOCUMENTS = 200_000
VOCABULARY = 32_000
EXPRESSION = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen cuts texts before it encodes them."""
TEMPLATE = """\
{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}{{- message['content'] + '<|im_end|>' -}}{%- endgeneration -%}{{- '\\n' -}}
{%- else -%}{{- message['content'] + '<|im_end|>\\n' -}}{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""
WITH_SYSTEM_PROMPT, WITH_OTHER_SCRIPTS = 0.3, 0.05
SENTENCE = range(20, 400)
"""Characters of a sentence."""
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
FOREIGN = (" naïve café", " 日本語のテキスト", " Привет, мир!", " 🙂👩‍👩‍👧", " ½ x² ≥ 3")


def main() -> None:
    """Make the data, measure, compare, print a table, and as the last line one JSON object."""
    if len(sys.argv) > 1:
        side, data = sys.argv[1:]
        print(json.dumps({"trl": by_trl, "tune": by_tune}[side](Path(data))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_data(folder)
        rounds = [{side: run(side, folder) for side in ("trl", "tune")} for _ in range(ROUNDS)]
        compared = compare(folder)
    print_figures(rounds, compared)


def run(side: str, folder: Path) -> dict[str, float]:
    """The seconds that one side took, in a fresh process."""
    command = [sys.executable, __file__, side, str(folder)]
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": cache, "PYTHONPATH": str(HOUSE)}
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    seconds: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return seconds


def print_figures(rounds: list[dict[str, dict[str, float]]], compared: int) -> None:
    """Medians and ratios; a ratio is that of the two sides of one round."""
    print(f"{'':<26}{'TRL, s':>10}{'tune, s':>10}{'ratio':>8}{'TRL, CPU s':>14}{'tune, CPU s':>14}{'ratio':>8}")
    for name in ("rows", "packed_rows", "packing"):
        print(f"{name.replace('_', ' '):<26}", end="")
        for measure, width in ((name, 10), (f"{name}_processor", 14)):
            trl, tune = (statistics.median(one[side][measure] for one in rounds) for side in ("trl", "tune"))
            print(f"{trl:>{width}.2f}{tune:>{width}.2f}{ratio(rounds, measure):>8.1f}", end="")
        print()
    for name in ("append", "many_packed_rows", "many_append"):
        wall, used = (statistics.median(one["tune"][name + kind] for one in rounds) for kind in ("", "_processor"))
        print(f"{name.replace('_', ' '):<26}{'':>10}{wall:>10.2f}{'':>22}{used:>14.2f}")
    print(f"rows compared: {compared}, all ids and labels equal")
    figures = {
        "ratio_to_trl": round(ratio(rounds, "rows"), 2),
        "ratio_to_trl_processor": round(ratio(rounds, "rows_processor"), 2),
        "packed_ratio_to_trl": round(ratio(rounds, "packed_rows"), 2),
        "packing_ratio_to_trl": round(ratio(rounds, "packing"), 2),
        "fill": round(rounds[0]["tune"]["fill"], 5),
        "fill_trl": round(rounds[0]["trl"]["fill"], 5),
        "packing_ratio_to_trl_processor": round(ratio(rounds, "packing_processor"), 2),
        "append_cost": round(share_of_append(rounds, "many_", ""), 4),
        "append_cost_processor": round(share_of_append(rounds, "many_", "_processor"), 4),
        "append_cost_few": round(share_of_append(rounds, "", ""), 4),
        "append_cost_few_processor": round(share_of_append(rounds, "", "_processor"), 4),
        "tokens_per_second": round(rounds[0]["tune"]["tokens"] / min(one["tune"]["rows"] for one in rounds)),
    }
    print(json.dumps(figures))


def ratio(rounds: list[dict[str, dict[str, float]]], name: str) -> float:
    """How many times faster tune is, the median of the rounds."""
    return statistics.median(one["trl"][name] / one["tune"][name] for one in rounds)


def share_of_append(rounds: list[dict[str, dict[str, float]]], rows: str, kind: str) -> float:
    """What 1 % more rows cost, beside all of them."""
    costs = ((one["tune"][f"{rows}append{kind}"], one["tune"][f"{rows}packed_rows{kind}"]) for one in rounds)
    return statistics.median(more / whole for more, whole in costs)


@frozen
class Clock:
    """Time that passes from now on, and processor time of this process and of those that it waited for."""

    began: float = field(factory=time.perf_counter)
    used: float = field(factory=lambda: sum(os.times()[:4]))

    def read(self, name: str) -> dict[str, float]:
        """Both, by name."""
        return {name: time.perf_counter() - self.began, f"{name}_processor": processor() - self.used}


def processor() -> float:
    """Processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def make_data(folder: Path) -> None:
    """Some chats and many, and 1 % more of either; and a tokenizer that is trained on some."""
    chats = list(islice(make_chats(), MANY_CHATS + MANY_CHATS // 100))
    lines = [json.dumps({"messages": one}, ensure_ascii=False) + "\n" for one in chats]
    for name, count in (("chats", CHATS), ("many_chats", MANY_CHATS)):
        (folder / f"{name}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
        (folder / f"more_{name}.jsonl").write_text("".join(lines[: count + count // 100]), encoding="utf-8")
    make_tokenizer(folder, (message["content"] for chat in chats[:5000] for message in chat))


def make_tokenizer(folder: Path, texts: Iterable[str]) -> None:
    """A byte-level BPE that is trained on some texts."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    cut, to_bytes = (
        pre_tokenizers.Split(Regex(EXPRESSION), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    made = folder / "tokenizer"
    made.mkdir()
    tokenizer.save(str(made / "tokenizer.json"))
    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (made / "tokenizer_config.json").write_text(json.dumps(special))
    (made / "chat_template.jinja").write_text(TEMPLATE)


def make_chats() -> Iterator[list[dict[str, str]]]:
    """Chats of one to three questions and answers, of sentences of the standard library's documentation."""
    generator, known = random.Random(1), sentences()  # noqa: S311  no secret
    while True:
        chat = []
        if generator.random() < WITH_SYSTEM_PROMPT:
            chat.append({"role": "system", "content": " ".join(generator.choices(known, k=2))})
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            joint = generator.choice((" ", "\n", "\n\n", "\n- "))
            answer = joint.join(generator.choices(known, k=generator.randint(3, 10)))
            if generator.random() < WITH_OTHER_SCRIPTS:
                answer += generator.choice(FOREIGN)
            chat.append({"role": "user", "content": " ".join(generator.choices(known, k=generator.randint(1, 4)))})
            chat.append({"role": "assistant", "content": answer})
        yield chat


def sentences() -> list[str]:
    """Sentences from the docstrings of Python's standard library, and from its reference manual."""
    from pydoc_data.topics import topics

    library = Path(sysconfig.get_paths()["stdlib"])
    texts = list(topics.values())
    for path in sorted((*library.glob("*.py"), *library.glob("[a-s]*/*.py"))):
        if "site-packages" not in path.parts:
            nodes = ast.walk(ast.parse(path.read_bytes()))
            found = (ast.get_docstring(one) for one in nodes if isinstance(one, ast.FunctionDef | ast.ClassDef))
            texts += [one for one in found if one]
    cut = (" ".join(part.split()) for text in texts for part in re.split(r"(?<=[.!?])\s|\n\n", text))
    return sorted({one for one in cut if len(one) in SENTENCE})


def by_trl(folder: Path) -> dict[str, float]:
    """TRL's preparation, with and without packing."""
    import numpy as np
    import pyarrow as pa
    import torch
    from datasets import Dataset as Rows
    from datasets import disable_caching, disable_progress_bars, load_dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl.data_utils import pack_dataset
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
    sizes = lengths()
    documents = pa.ListArray.from_arrays(np.cumsum([0, *sizes], dtype=np.int32), np.ones(sum(sizes), np.int32))
    Rows(pa.table({"input_ids": documents, "labels": documents})).save_to_disk(str(folder / "documents"))
    taken = []
    for _ in range(REPEATS):
        unpacked = Rows.load_from_disk(str(folder / "documents"))
        clock = Clock()
        packed = pack_dataset(unpacked, SEQUENCE_LEN, "bfd")
        taken.append(clock.read("packing"))
    return {**seconds, **best(taken), "fill": sum(sizes) / (len(packed) * SEQUENCE_LEN)}


def by_tune(folder: Path) -> dict[str, float]:
    """tune's, with and without packing; after the latter once more with more rows, and both for many rows."""
    import jinja2
    import numpy as np
    import pyarrow as pa
    import tokenizers

    del jinja2, np, pa, tokenizers  # imported before the clock runs, as the other side's are
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        first, second = Path(scratch, "first"), Path(scratch, "second")
        rows, _ = build("rows", folder, first, "chats.jsonl", sample_packing=False)
        (first / "output" / "train.arrow").rename(folder / "tune.arrow")
        packed, facts = build("packed_rows", folder, second, "chats.jsonl", sample_packing=True)
        append, _ = build("append", folder, second, "more_chats.jsonl", sample_packing=True)
        third = Path(scratch, "third")
        many, _ = build("many_packed_rows", folder, third, "many_chats.jsonl", sample_packing=True)
        many_more, _ = build("many_append", folder, third, "more_many_chats.jsonl", sample_packing=True)
        packing, fill = pack_alone(Path(scratch))
    tokens = float(str(facts["tokens"]))
    return {**rows, **packed, **append, **many, **many_more, **packing, "fill": fill, "tokens": tokens}


def build(
    name: str, folder: Path, tune_folder: Path, source: str, *, sample_packing: bool
) -> tuple[dict[str, float], Mapping[str, Plain]]:
    """The seconds that a build of tokens takes, by name, and the facts that it records."""
    from executor.tokens.tokenizing import tokenize

    dataset = Dataset(source=source, type="chat_template")
    (folder / ".tune").mkdir(exist_ok=True)
    digests = FileDigests(Layout(folder).file_digests)
    content = digests.digest(folder / source)  # as a plan does, which remembers it
    digests.save()
    with (folder / source).open("rb") as file:
        rows = sum(1 for _ in file)
    model: dict[str, Plain] = {
        "source": "tokenizer",
        "chat_template": "tokenizer",
        "config": {},
        "tokenizer": "tokenizer",
    }
    wanted = Tokens(
        datasets=("dataset.chats",),
        model="model.tiny",
        sequence_len=SEQUENCE_LEN,
        excess_length_strategy="truncate",
        roles_to_train=("assistant",),
        sample_packing=sample_packing,
    )
    output = tune_folder / "output"
    output.mkdir(parents=True, exist_ok=True)
    known = identity(settings_of(dataset), [content])
    read = Input("dataset.chats", known, str(folder), settings_of(dataset), {"rows": rows})
    tokenizer = Input("model.tiny", "", str(folder / "tokenizer"), model, {})
    task = Task(
        address="tokens.sft",
        kind="tokens",
        settings=settings_of(wanted),
        content={},
        inputs={"datasets": (read,), "tokenizer": (tokenizer,), "chat_template": (tokenizer,)},
        recipe_folder=str(folder),
        output=str(output),
        checkpoints="",
        tune_folder=str(tune_folder),
    )
    clock = Clock()
    outcome = tokenize(task, Reporter(task.address, lambda _: None))
    return clock.read(name), outcome.facts


def pack_alone(scratch: Path) -> tuple[dict[str, float], float]:
    """Seconds to put documents into rows and write them, and how full the rows are."""
    from array import array

    from executor.tokens.packing import pack
    from executor.tokens.token_files import Documents, TokenWriter

    sizes = array("i", lengths())
    starts = array("q", accumulate((8 * size for size in sizes[:-1]), initial=0))
    (scratch / "documents").write_bytes(array("i", [1]).tobytes() * (2 * sum(sizes)))
    with (scratch / "documents").open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    documents = Documents(content, starts, array("q", [4 * size for size in sizes]), sizes, sizes)
    taken = []
    for repeat in range(REPEATS):
        clock = Clock()
        rows = pack(sizes, SEQUENCE_LEN)
        TokenWriter().rows(scratch / f"packed-{repeat}.arrow", documents, rows)
        taken.append(clock.read("packing"))
    return best(taken), sum(sizes) / (len(rows) * SEQUENCE_LEN)


def best(taken: list[dict[str, float]]) -> dict[str, float]:
    """The least of each of some measurements."""
    return {name: min(one[name] for one in taken) for name in taken[0]}


def lengths() -> list[int]:
    """Lengths of documents as data sets have them: log-normal, 300 tokens on average."""
    generator = random.Random(7)  # noqa: S311  no secret
    drawn = (int(generator.lognormvariate(math.log(300) - 0.5, 1)) for _ in range(PACKED_DOCUMENTS))
    return [min(SEQUENCE_LEN, max(1, one)) for one in drawn]


def compare(folder: Path) -> int:
    """How many rows are compared; raises AssertionError if ids or labels of any differ."""
    from datasets import Dataset as Rows

    theirs, ours = Rows.load_from_disk(str(folder / "trl")), Rows.from_file(str(folder / "tune.arrow"))
    for name in ("input_ids", "labels"):
        if theirs[name][:] != ours[name][:]:
            message = f"{name} differ"
            raise AssertionError(message)
    return len(ours)


if __name__ == "__main__":
    main()
