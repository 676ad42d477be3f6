"""The base of an adapter that was trained beside weights in few bits, as it was then: rounded, and widened again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.merging.lora_merge import DTYPES, FLOATS, MODEL_FILES, TOKENIZER_FILES, copy_files
from executor.models.quantization import quantization
from executor.models.tensor_files import (
    INDEX_FILE,
    TensorFile,
    TensorLayout,
    opened,
    read_headers,
    weight_files,
    write_tensors,
)
from executor.models.tensor_kernels import NAMES
from executor.models.trust import load
from state.canonical import Plain
from state.diagnostic import problem

if TYPE_CHECKING:
    from torch import Tensor


def dequantized(base: Path, trained: Mapping[str, Plain], output: Path, *, trusted: bool = False) -> Path:
    """Write a base's weights as bitsandbytes rounded them for the settings of a training; returns their folder.

    transformers decides which matrices are rounded, as it did for the training, of a model without memory. Memory: a
    few times the largest tensor.
    """
    import torch

    dtype = "float16" if trained["fp16"] else "bfloat16" if trained["bf16"] else "float32"
    rounded = _rounded_matrices(base, quantization(trained), getattr(torch, dtype), trusted=trusted)
    layouts = {
        name: TensorLayout(DTYPES[dtype] if entry.dtype in FLOATS else entry.dtype, entry.shape)
        for name, (_, entry) in read_headers(base).items()
    }
    output.mkdir()
    with ExitStack() as stack:
        for path in weight_files(base):
            file = stack.enter_context(opened(path))

            def content(name: str, file: TensorFile = file) -> Iterator[memoryview]:
                tensor = _read(file, name)
                if layouts[name].dtype == DTYPES[dtype]:
                    tensor = tensor.to(getattr(torch, dtype))
                if name in rounded:
                    tensor = _rounded(tensor, rounded[name]).to(tensor.dtype)
                yield tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data

            write_tensors(output / path.name, {name: layouts[name] for name in file.tensors}, content)
    if (base / INDEX_FILE).is_file():
        shutil.copyfile(base / INDEX_FILE, output / INDEX_FILE)
    config = {**json.loads((base / "config.json").read_bytes()), "dtype": dtype}
    config.pop("torch_dtype", None)
    (output / "config.json").write_text(json.dumps(config), encoding="utf-8")
    copy_files(base, (*MODEL_FILES, *TOKENIZER_FILES), output)
    return output


def _rounded_matrices(base: Path, configuration: Any, dtype: Any, *, trusted: bool) -> dict[str, Any]:  # noqa: ANN401  transformers and torch
    """The empty layers that hold the matrices in few bits, by the names that files have for these."""
    import bitsandbytes
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.quantizers.auto import AutoHfQuantizer

    model: Any = load("AutoModelForCausalLM", base, trusted=trusted, dtype=dtype, device_map="meta")
    quantizer: Any = AutoHfQuantizer.from_config(configuration, pre_quantized=False)
    quantizer.preprocess_model(model=model, dtype=dtype, device_map=None)
    kinds: Any = bitsandbytes.nn
    layers = (kinds.Linear4bit, kinds.Linear8bitLt)
    found = {
        stored: module
        for name, module in model.named_modules()
        if isinstance(module, layers)
        for stored in revert_weight_conversion(model, {f"{name}.weight": module.weight.detach()})
    }
    if missing := sorted(found.keys() - read_headers(base).keys()):
        detail = f"How {base} holds {missing[0]}, which training rounded, is not known."
        raise problem("Adapter cannot be merged", detail, 'Use quantized_base = "original".')
    return found


def _rounded(matrix: Tensor, layer: Any) -> Tensor:  # noqa: ANN401  bitsandbytes has no types
    """A matrix in the layer's few bits, and back."""
    import bitsandbytes
    import torch

    library: Any = bitsandbytes
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if isinstance(layer, library.nn.Linear4bit):
        bits = {name: getattr(layer.weight, name) for name in ("compress_statistics", "quant_type", "quant_storage")}
        four = library.nn.Params4bit(matrix, requires_grad=False, **bits).to(device)
        found: Tensor = library.functional.dequantize_4bit(four.data, four.quant_state)
    else:
        eight = library.nn.Int8Params(matrix, requires_grad=False, has_fp16_weights=False).to(device)
        found = library.functional.int8_vectorwise_dequant(eight.data, eight.SCB)
    return found.cpu()


def _read(file: TensorFile, name: str) -> Tensor:
    import torch

    entry = file.tensors[name]
    if entry.dtype not in NAMES:
        return torch.frombuffer(bytearray(b"".join(file.pieces(name))), dtype=torch.uint8)
    tensor = torch.empty(entry.shape, dtype=getattr(torch, NAMES[entry.dtype]))
    file.read(name, 0, tensor.view(-1).view(torch.uint8).numpy().data)
    return tensor
