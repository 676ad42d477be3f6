"""A LoRA adapter and its base become one plain model, one tensor at a time.

The arithmetic repeats PEFT 0.21's `merge_and_unload(safe_merge=True)` bit for bit, in the base's dtype and before any
cast. It departs from PEFT in one case: where the base ties its embedding to its output and an adapter changes only one
of the two, or both differently, the merged model has both tensors and computes what was trained; PEFT adds to the one
shared tensor and computes something else (huggingface/peft issue 2777).
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import local
from typing import Any

from attrs import evolve

from executor.merging.merged_tensor import MergedTensor
from executor.models.adapter_fields import EMBEDDINGS, HEADS
from executor.models.peft_adapter import Adapter, Change, read_adapter
from executor.models.shards import AS_IT_IS, shared_out
from executor.models.tensor_files import (
    INDEX_FILE,
    TensorEntry,
    TensorLayout,
    lay_out,
    opened,
    read_headers,
    tensor_digest,
    weight_files,
    write_tensor,
)
from executor.models.tensor_kernels import Memory, use_one_thread
from state.diagnostic import ProblemError, problem
from state.values import frozen
from state.wording import stopped

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""What a recipe calls a dtype -> what a file calls it."""
FLOATS = ("F64", "F32", "BF16", "F16")
HEAD_TENSOR = "lm_head.weight"
GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""Ends of the names of architectures that have an output matrix over the vocabulary."""
CONV1D_MODELS = ("gpt2", "openai-gpt", "decision_transformer", "imagegpt")
"""Model types whose matrices are stored as (input, output)."""

MOST_THREADS = 8
"""More would wait for the disk."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
)
MODEL_FILES = ("generation_config.json", "preprocessor_config.json", "processor_config.json", "*.py")
"""What a base folder has beside weights, configuration and tokenizer that the merged model needs too."""


@frozen
class Output:
    """One tensor of the merged model: the base tensor it starts from, what happens to it, and how it is written."""

    file: str
    base_file: str
    base_name: str
    change: Change
    layout: TensorLayout


def _nothing_more(_: Mapping[str, Output]) -> None:
    pass


def merge(
    base: Path,
    adapter: Path,
    output: Path,
    dtype: str | None,
    max_shard_size: str = AS_IT_IS,
    *,
    then: Callable[[Mapping[str, Output]], None] = _nothing_more,
) -> dict[str, Output]:
    """Write the plain Hugging Face folder of a base with a LoRA adapter merged into it; returns what was written.

    Sums are made in the dtype of the base's tensors; `dtype` (float32, bfloat16 or float16; None for the base's) is
    what they are cast to. Memory: a few megabytes for each core; with DoRA on an embedding, or sizes that are no
    multiples of 64, a few times the largest tensor. `then` may go on with the weights, before there is a configuration
    that a loader would follow. Raises a problem for what cannot be merged exactly.
    """
    if dtype is not None and dtype not in DTYPES:
        raise problem("Unknown dtype", f"A model cannot be merged as {dtype}.", f"Known: {', '.join(DTYPES)}.")
    config = _read_config(base)
    tensors = read_headers(base)
    entries = {name: entry for name, (_, entry) in tensors.items()}
    changes = read_adapter(adapter, entries, conv1d=config.get("model_type") in CONV1D_MODELS)
    outputs = _outputs(tensors, changes, config, DTYPES[dtype] if dtype else None)
    if max_shard_size != AS_IT_IS:
        files = shared_out({name: one.layout.size for name, one in outputs.items()}, max_shard_size)
        outputs = {name: evolve(one, file=files[name]) for name, one in outputs.items()}
    output.mkdir(parents=True, exist_ok=True)
    _write_weights(base, changes, output, outputs)
    then(outputs)
    _write_index(output, outputs)
    merged_config = _merged_config(config, outputs, dtype)
    (output / "config.json").write_text(json.dumps(merged_config, indent=2) + "\n", encoding="utf-8")
    copy_files(base, MODEL_FILES, output)
    own_tokenizer = (adapter / "tokenizer_config.json").is_file()
    copy_files(adapter if own_tokenizer else base, TOKENIZER_FILES, output)
    return outputs


def _read_config(base: Path) -> dict[str, Any]:
    path = base / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise problem("Damaged model", f"{path} cannot be read: {stopped(str(error))}") from error
    if not isinstance(config, dict):
        raise problem("Damaged model", f"{path} is not a JSON object.")
    if config.get("quantization_config"):
        hint = "Merge into the unquantized weights of the same model."
        raise problem("Adapter cannot be merged", f"The weights in {base} are quantized.", hint)
    return config


def _outputs(
    tensors: Mapping[str, tuple[Path, TensorEntry]], adapter: Adapter, config: Mapping[str, Any], dtype: str | None
) -> dict[str, Output]:
    """Every tensor of the merged model by name; a problem if the adapter changes a tensor that is not there."""
    changes = dict(adapter.changes)
    sources = {name: name for name in tensors}
    embedding = _first(tensors, EMBEDDINGS)
    if embedding and _is_tied(config, tensors, embedding):
        head = _first([*tensors, *changes], HEADS) or HEAD_TENSOR
        sources.pop(head, None)
        untied = _untied(adapter, changes.get(embedding, Change()), changes.pop(head, None))
        if untied is not None:
            sources[head] = embedding
            changes[embedding], changes[head] = untied
    unused = sorted(set(changes) - set(sources))
    if unused:
        raise _misfit(f"The base has no {', '.join(unused[:5])}")
    outputs = {
        name: _output(source, tensors[source], changes.get(name, Change()), adapter, dtype)
        for name, source in sources.items()
    }
    _check_vocabulary(outputs)
    return outputs


def _first(names: Iterable[str], modules: tuple[str, ...]) -> str | None:
    """The first name of the form `….<module>.weight` for one of the modules."""
    ends = {(module, "weight") for module in modules}
    return next((name for name in names if tuple(name.split(".")[-2:]) in ends), None)


def _is_tied(config: Mapping[str, Any], tensors: Mapping[str, tuple[Path, TensorEntry]], embedding: str) -> bool:
    """Whether transformers 5 would use one tensor for the embedding and for the output matrix.

    It does if only one is stored, or if equal ones are and the configuration does not say otherwise. A problem if the
    configuration asks for a tie between different tensors: transformers then ties nothing, but PEFT believes it.
    """
    head = _first(tensors, HEADS)
    if head is None:
        return any(str(name).endswith(GENERATING) for name in config.get("architectures") or GENERATING)
    text = config.get("text_config") or config
    said = config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    if said is False:
        return False
    equal = tensor_digest(*tensors[head]) == tensor_digest(*tensors[embedding])
    if said and not equal:
        detail = f"config.json ties {head} to {embedding}, and the weights hold different values for them."
        raise problem("Model contradicts itself", detail, "Set tie_word_embeddings to false in the base's config.json.")
    return equal


def _untied(adapter: Adapter, embedding: Change, head: Change | None) -> tuple[Change, Change] | None:
    """What becomes of an embedding and of the output matrix that was tied to it; None if they stay one tensor.

    PEFT trains single rows of a tied matrix in both places at once; whatever else it changes in one place stays there.
    """
    if head is None:
        stays = not embedding.trained and not embedding.down
        head = Change()
    else:
        stays = adapter.same_result(embedding, head)
    # Before training they were one tensor, which PEFT may save under either name.
    original = embedding.original or head.original
    return None if stays else (evolve(embedding, original=original), evolve(head, original=original))


def _output(
    base_name: str, stored: tuple[Path, TensorEntry], change: Change, adapter: Adapter, dtype: str | None
) -> Output:
    path, entry = stored
    shape = adapter.tensors[change.whole].shape if change.whole else entry.shape
    if change.down:
        factors = (adapter.tensors[change.up].shape[0], adapter.tensors[change.down].shape[1])
        if shape != (factors[::-1] if change.transposed else factors):
            raise _misfit(f"{base_name} has the shape {shape} and the adapter's factors make {factors}")
    if change.rows and max(change.indices) >= shape[0]:
        # PEFT leaves grown embeddings out of an adapter when it cannot read the base's configuration.
        raise _misfit(f"{base_name} has {shape[0]} rows and the adapter trained row {max(change.indices)}")
    cast = dtype if dtype and entry.dtype in FLOATS else entry.dtype
    return Output(path.name, path.name, base_name, change, TensorLayout(cast, shape))


def _check_vocabulary(outputs: Mapping[str, Output]) -> None:
    """An adapter on an embedding that grew comes without the grown output matrix: PEFT does not save that one."""
    found = [name for name in (_first(outputs, EMBEDDINGS), _first(outputs, HEADS)) if name]
    rows = {name: outputs[name].layout.shape[0] for name in found}
    if len(set(rows.values())) > 1:
        raise _misfit("The vocabulary has different sizes: " + ", ".join(f"{name} {rows[name]}" for name in found))


def _misfit(detail: str) -> ProblemError:
    return problem("Adapter does not fit", f"{detail}.", "Is this the base that the adapter was trained on?")


def _write_weights(base: Path, adapter: Adapter, output: Path, outputs: Mapping[str, Output]) -> None:
    """Write all tensors, the largest first, on all cores; each thread holds a few blocks of one tensor."""
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    with ExitStack() as files, ThreadPoolExecutor(threads, initializer=use_one_thread) as pool:
        changes = files.enter_context(opened(adapter.path))
        shards = {path.name: files.enter_context(opened(path)) for path in weight_files(base)}
        memories = local()
        offsets: dict[str, int] = {}
        for file in {one.file for one in outputs.values()}:
            layouts = {name: one.layout for name, one in outputs.items() if one.file == file}
            offsets |= lay_out(output / file, layouts)

        def write(name: str) -> None:
            one = outputs[name]
            if not hasattr(memories, "own"):
                memories.own = Memory()
            made = MergedTensor(name, one.change, one.layout, one.base_name, shards[one.base_file], changes)
            write_tensor(output / one.file, offsets[name], one.layout.size, made.pieces(memories.own))

        by_size = sorted(outputs, key=lambda name: -outputs[name].layout.size)
        try:
            for _ in pool.map(write, by_size):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_index(output: Path, outputs: Mapping[str, Output]) -> None:
    files = {name: outputs[name].file for name in sorted(outputs)}
    if len(set(files.values())) == 1:
        return
    metadata = {
        "total_parameters": sum(math.prod(one.layout.shape) for one in outputs.values()),
        "total_size": sum(one.layout.size for one in outputs.values()),
    }
    content = json.dumps({"metadata": metadata, "weight_map": files}, indent=2)
    (output / INDEX_FILE).write_text(content + "\n", encoding="utf-8")


def _merged_config(config: Mapping[str, Any], outputs: Mapping[str, Output], dtype: str | None) -> dict[str, Any]:
    """The base's configuration with the dtype, the tie and the size of the vocabulary that the merged tensors have."""
    edits: dict[str, Any] = {}
    if dtype:
        edits["dtype"] = dtype
    embedding, head = _first(outputs, EMBEDDINGS), _first(outputs, HEADS)
    if embedding and head:
        edits["tie_word_embeddings"] = False
    kept = {name: value for name, value in config.items() if name != "torch_dtype" or not dtype}
    # Models with several parts describe the language model in a part of its own; the whole repeats what concerns both.
    text = dict(config.get("text_config", kept)) | edits
    if embedding and outputs[embedding].change.whole:
        text["vocab_size"] = outputs[embedding].layout.shape[0]
    return kept | edits | {"text_config": text} if "text_config" in config else text


def copy_files(source: Path, patterns: tuple[str, ...], output: Path) -> None:
    """Copy the files of a folder whose names fit one of the patterns."""
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, output / path.name)
