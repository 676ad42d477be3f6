"""Adapters to parameters that files hold in parts: the experts of a mixture, folded in one expert at a time.

To PEFT all experts of a layer are one parameter (`target_parameters`), and to files many tensors. transformers knows
which belong together, and tells it of a model without memory. The arithmetic is that of PEFT 0.21's `ParamWrapper`, bit
for bit.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.merging.lora_merge import Output, merge
from executor.models.peft_adapter import CONFIG_FILE, PREFIX
from executor.models.shards import AS_IT_IS
from executor.models.tensor_files import opened, read_header, read_headers, weight_files, write_tensor
from executor.models.tensor_kernels import NAMES
from executor.models.trust import load
from state.diagnostic import problem
from state.values import frozen

if TYPE_CHECKING:
    from torch import Tensor

MATRIX = 2
"""Dimensions of a parameter that holds one matrix; one more where it holds a stack of them."""


@frozen
class Parameter:
    """A parameter that an adapter adds to: its name in the model, and how its factors lie in the adapter's file."""

    name: str
    key: str
    """The beginning of the names of both factors, before `lora_A.weight`."""
    shape: tuple[int, ...]
    swapped: bool
    """Whether each matrix lies as (output, input)."""
    scaling: float
    files: Mapping[str, tuple[int, ...]]
    """The tensors that files hold of it, with their shapes."""
    model: Any
    """The model that it is of, without memory: transformers wants it to say what files hold."""


@frozen
class Merged:
    """What was written, and which tensors were changed by what an adapter does to parameters."""

    outputs: Mapping[str, Output]
    changed: frozenset[str] = frozenset()


def without_parameters(adapter: Path, parameters: Sequence[Parameter], output: Path) -> Path:
    """Write the rest of an adapter into a folder: what it does to modules."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    shutil.copytree(adapter, output)
    (path,) = weight_files(output)
    keys = {f"{one.key}.lora_{factor}.weight" for one in parameters for factor in "AB"}
    with safe_open(path, framework="pt") as file:
        rest = {key: file.get_tensor(key) for key in file.keys() if key not in keys}  # noqa: SIM118  no dictionary
    save_file(rest, path, metadata={"format": "pt"})
    config = {**json.loads((output / CONFIG_FILE).read_bytes()), "target_parameters": None}
    (output / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    return output


def adapted_parameters(base: Path, adapter: Path, *, trusted: bool) -> list[Parameter]:
    """The parameters that an adapter adds to, as PEFT finds them in the base; nothing of either is loaded."""
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora.layer import ParamWrapper

    model = load("AutoModelForCausalLM", base, trusted=trusted, dtype="auto", device_map="meta")
    adapted: Any = get_peft_model(model, LoraConfig.from_pretrained(str(adapter)))
    stored = read_headers(base)
    found = []
    for path, module in adapted.named_modules():
        if not isinstance(module, ParamWrapper):
            continue
        name = f"{path.removeprefix(PREFIX).replace('.base_layer', '')}.{module.parameter_name}"
        parameter = module.get_param()  # type: ignore[no-untyped-call]  # PEFT
        stack = {one: tuple(part.shape) for one, part in _reverted(model, name, parameter.detach()).items()}
        if missing := sorted(stack.keys() - stored.keys()):
            detail = f"{adapter} changes {name}, and the base holds no {missing[0]}."
            raise problem("Adapter does not fit", detail, "Is this the base that the adapter was trained on?")
        swapped, scaling = module._did_swap_in_out_features, module.scaling["default"]  # noqa: SLF001  PEFT tells it nowhere else
        found.append(Parameter(name, path, tuple(parameter.shape), swapped, scaling, stack, model))
    return found


def merge_with_parameters(
    base: Path, adapter: Path, output: Path, dtype: str | None, max_shard_size: str = AS_IT_IS, *, trusted: bool
) -> Merged:
    """Write the plain folder of a base with an adapter merged into it, to modules and to parameters.

    As `lora_merge.merge` otherwise; code that comes with the base is run where it is `trusted`. Memory: in addition, a
    few times one expert.
    """
    if not json.loads((adapter / CONFIG_FILE).read_bytes()).get("target_parameters"):
        return Merged(merge(base, adapter, output, dtype, max_shard_size))
    parameters = adapted_parameters(base, adapter, trusted=trusted)
    changed: set[str] = set()

    def fold(outputs: Mapping[str, Output]) -> None:
        changed.update(_fold(_sums(base, adapter, parameters), output, outputs, dtype))

    with tempfile.TemporaryDirectory(dir=output.parent, prefix="modules-") as scratch:
        rest = without_parameters(adapter, parameters, Path(scratch) / "adapter")
        outputs = merge(base, rest, output, dtype, max_shard_size, then=fold)
    return Merged(outputs, frozenset(changed))


def _fold(
    sums: Iterable[tuple[str, Tensor, Tensor, int]], output: Path, outputs: Mapping[str, Output], dtype: str | None
) -> Iterator[str]:
    """Write sums over what was copied from the base; yields the names of tensors that changed, some several times."""
    import torch

    places = {file: read_header(output / file) for file in {one.file for one in outputs.values()}}
    for name, old, new, start in sums:
        cast = new.to(getattr(torch, dtype)) if dtype else new
        if not bool(torch.isfinite(cast).all()):
            raise problem("Merged weights overflow", f"{name} is infinite or not a number in {cast.dtype}.")
        file = outputs[name].file
        content = cast.contiguous().reshape(-1).view(torch.uint8).numpy().data
        write_tensor(output / file, places[file][name].start + start * cast.itemsize, len(content), [content])
        if not torch.equal(cast, old.to(cast.dtype)):
            yield name


def _sums(base: Path, adapter: Path, parameters: Sequence[Parameter]) -> Iterator[tuple[str, Tensor, Tensor, int]]:
    """Piece by piece: a tensor's name, the piece before and after in the base's dtype, and the element it begins at."""
    import torch
    from safetensors import safe_open

    stored = read_headers(base)
    with safe_open(weight_files(adapter)[0], framework="pt") as file, ExitStack() as stack:
        sources = {path: stack.enter_context(opened(path)) for path in weight_files(base)}
        for parameter in parameters:
            down, up = (file.get_tensor(f"{parameter.key}.lora_{one}.weight").float() for one in "AB")
            for number, delta in _deltas(parameter, down, up):
                for name, piece in _as_stored(parameter, number, delta):
                    path, entry = stored[name]
                    dtype = getattr(torch, NAMES[entry.dtype])
                    start = number * piece.numel() if piece.numel() < math.prod(entry.shape) else 0
                    buffer = torch.empty(piece.shape, dtype=dtype)
                    sources[path].read(name, start * dtype.itemsize, buffer.view(-1).view(torch.uint8).numpy().data)
                    # Rounding the delta before the sum is what makes this PEFT's safe merge.
                    yield name, buffer, buffer + piece.to(dtype), start


def _deltas(parameter: Parameter, down: Tensor, up: Tensor) -> Iterator[tuple[int, Tensor]]:
    """What is added to each matrix of a parameter, with its number: `down` and `up` as PEFT's ParamWrapper has them."""
    import torch

    if len(parameter.shape) == MATRIX or parameter.shape[0] == 1:
        yield 0, ((up @ down) * parameter.scaling).reshape(parameter.shape)
        return
    count = parameter.shape[0]
    downs, ups = down.reshape(count, -1, down.shape[-1]), up.reshape(up.shape[0], -1, count)
    product = "o r e, e r i -> e o i" if parameter.swapped else "o r e, e r i -> e i o"
    for number in range(count):
        part = slice(number, number + 1)
        yield number, torch.einsum(product, ups[..., part], downs[part]) * parameter.scaling


def _as_stored(parameter: Parameter, number: int, delta: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A delta in the pieces that files hold, each with the name of its tensor."""
    for name, piece in _reverted(parameter.model, parameter.name, delta).items():
        parts = name.split(".")
        # transformers counts from 0 whatever it is given: the one place where another number fits is the expert's.
        others = (
            ".".join([*parts[:at], str(number), *parts[at + 1 :]]) for at, part in enumerate(parts) if part == "0"
        )
        found = next((one for one in others if one in parameter.files), name)
        whole = parameter.files.get(found, ())
        if tuple(piece.shape) not in (whole, (1, *whole[1:])):
            detail = (
                f"How files hold {parameter.name} is not known: {found} is {whole}, a part of it {tuple(piece.shape)}."
            )
            raise problem("Adapter cannot be merged", detail, "Use this adapter with PEFT, next to its base.")
        yield found, piece


def _reverted(model: Any, name: str, tensor: Tensor) -> dict[str, Tensor]:  # noqa: ANN401  transformers has no types
    from transformers.core_model_loading import revert_weight_conversion

    found: dict[str, Tensor] = revert_weight_conversion(model, {name: tensor})
    return found
