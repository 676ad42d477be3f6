"""A LoRA adapter and its base become one plain model, one tensor at a time.

The arithmetic repeats PEFT 0.21's `merge_and_unload(safe_merge=True)` bit for bit, in the base's dtype and before any
cast. It departs from PEFT in one case: where the base ties its embedding to its output and an adapter changes only one
of the two, or both differently, the merged model has both tensors and computes what was trained; PEFT adds to the one
shared tensor and computes something else (huggingface/peft issue 2777).
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from executor.peft_adapter import Adapter, Change, read_adapter
from executor.tensor_files import (
    INDEX_FILE,
    TensorEntry,
    TensorLayout,
    read_headers,
    tensor_digest,
    weight_files,
    write_tensors,
)
from state.diagnostic import ProblemError, problem

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""What a recipe calls a dtype -> what a file calls it."""
FLOATS = ("F64", "F32", "BF16", "F16")
EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in")
HEADS = ("lm_head", "embed_out")
HEAD_TENSOR = "lm_head.weight"
GENERATING = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
"""Ends of the names of architectures that have an output matrix over the vocabulary."""
CONV1D_MODELS = ("gpt2", "openai-gpt", "decision_transformer", "imagegpt")
"""Model types whose matrices are stored as (input, output)."""

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
    base_name: str
    change: Change
    layout: TensorLayout


def merge(base: Path, adapter: Path, output: Path, dtype: str | None) -> None:
    """Write the plain Hugging Face folder of a base with a LoRA adapter merged into it.

    Sums are made in the dtype of the base's tensors; `dtype` (float32, bfloat16 or float16; None for the base's) is
    what they are cast to. Memory: a few times the largest tensor. Raises a problem for what cannot be merged exactly.
    """
    if dtype is not None and dtype not in DTYPES:
        raise problem("Unknown dtype", f"a model cannot be merged as {dtype}", f"one of {', '.join(DTYPES)}")
    config = _read_config(base)
    tensors = read_headers(base)
    entries = {name: entry for name, (_, entry) in tensors.items()}
    changes = read_adapter(adapter, entries, conv1d=config.get("model_type") in CONV1D_MODELS)
    outputs = _outputs(tensors, changes, config, DTYPES[dtype] if dtype else None)
    output.mkdir(parents=True, exist_ok=True)
    for path in weight_files(base):
        _write_file(path, changes, output, {name: one for name, one in outputs.items() if one.file == path.name})
    _write_index(output, outputs)
    merged_config = _merged_config(config, outputs, dtype)
    (output / "config.json").write_text(json.dumps(merged_config, indent=2) + "\n", encoding="utf-8")
    _copy_files(base, MODEL_FILES, output)
    own_tokenizer = (adapter / "tokenizer_config.json").is_file()
    _copy_files(adapter if own_tokenizer else base, TOKENIZER_FILES, output)


def _read_config(base: Path) -> dict[str, Any]:
    path = base / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise problem("Damaged model", f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise problem("Damaged model", f"{path} is not a JSON object")
    if config.get("quantization_config"):
        hint = "merge into the unquantized weights of the same model"
        raise problem("Adapter cannot be merged", f"the weights in {base} are quantized", hint)
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
        raise _misfit(f"the base has no {', '.join(unused[:5])}")
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
        detail = f"config.json ties {head} to {embedding}, and the weights hold different values for them"
        raise problem("Model contradicts itself", detail, "set tie_word_embeddings to false in the base's config.json")
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
    return Output(path.name, base_name, change, TensorLayout(cast, shape))


def _check_vocabulary(outputs: Mapping[str, Output]) -> None:
    """An adapter on an embedding that grew comes without the grown output matrix: PEFT does not save that one."""
    found = [name for name in (_first(outputs, EMBEDDINGS), _first(outputs, HEADS)) if name]
    rows = {name: outputs[name].layout.shape[0] for name in found}
    if len(set(rows.values())) > 1:
        raise _misfit("the vocabulary has different sizes: " + ", ".join(f"{name} {rows[name]}" for name in found))


def _misfit(detail: str) -> ProblemError:
    return problem("Adapter does not fit", detail, "is this the base that the adapter was trained on?")


def _write_file(path: Path, adapter: Adapter, output: Path, outputs: Mapping[str, Output]) -> None:
    import torch
    from safetensors import safe_open

    targets = {DTYPES[name]: getattr(torch, name) for name in DTYPES}
    with safe_open(path, framework="pt") as base, safe_open(adapter.path, framework="pt") as changes:

        def content(name: str) -> memoryview:
            one = outputs[name]
            merged = _apply(base.get_tensor(one.base_name), one.change, changes.get_tensor)
            cast = merged.to(targets.get(one.layout.dtype, merged.dtype))
            if (one.change != Change() or cast.dtype != merged.dtype) and not _is_finite(cast):
                raise problem("Merged weights overflow", f"{name} is infinite or not a number in {cast.dtype}")
            return cast.contiguous().reshape(-1).view(torch.uint8).numpy().data

        write_tensors(output / path.name, {name: one.layout for name, one in outputs.items()}, content)


def _is_finite(tensor: Tensor) -> bool:
    # The extremes inherit every NaN and infinity, and unlike torch.isfinite make no tensor of the same size.
    return not tensor.numel() or all(bool(extreme.isfinite()) for extreme in tensor.aminmax())


def _apply(tensor: Tensor, change: Change, stored: Callable[[str], Tensor]) -> Tensor:
    """One tensor after training, in the dtype it has now; `stored` gets a tensor of the adapter."""
    import torch

    def exact(key: str) -> Tensor:
        # PEFT keeps what it trains in float32, and widens what was stored in less when it loads it.
        value = stored(key)
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value

    dtype = tensor.dtype
    if change.whole:
        tensor = stored(change.whole).to(dtype)
    if change.shift:
        tensor = (tensor + exact(change.shift) * change.scaling).to(dtype)
    if change.down:
        product = exact(change.up) @ exact(change.down)
        delta = (product.T if change.transposed else product) * change.scaling
        if change.magnitude:
            return _with_magnitude(tensor, delta, exact(change.magnitude), transposed=change.transposed)
        # Rounding the delta before the sum is what makes this PEFT's safe merge.
        tensor = tensor + delta.to(dtype)
    if change.rows:
        tensor = tensor.index_copy(0, torch.tensor(change.indices), stored(change.rows).to(dtype))
    return tensor


def _with_magnitude(tensor: Tensor, delta: Tensor, magnitude: Tensor, *, transposed: bool) -> Tensor:
    """DoRA (https://arxiv.org/abs/2402.09353, equation 5): magnitude * (W + BA) / norm(W + BA), per output."""
    import torch

    changed = tensor + delta
    norm = torch.linalg.norm(changed.T if transposed else changed, dim=1).to(changed.dtype)
    factor: Tensor = magnitude / norm
    return ((factor.view(1, -1) if transposed else factor.view(-1, 1)) * changed).to(tensor.dtype)


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


def _copy_files(source: Path, patterns: tuple[str, ...], output: Path) -> None:
    for pattern in patterns:
        for path in sorted(source.glob(pattern)):
            shutil.copyfile(path, output / path.name)
