"""What is proved of a merged model before it counts as made: it is whole, it changed, it computes what it should."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from executor.merging.lora_merge import Output
from executor.models.peft_adapter import Change
from executor.models.tensor_files import INDEX_FILE, TensorFile, opened, parameter_count, read_headers
from executor.models.tensor_kernels import Memory
from executor.models.trust import load
from state.canonical import Plain
from state.diagnostic import ProblemError, problem
from state.values import frozen

if TYPE_CHECKING:
    from torch import Tensor

PROMPT_TOKENS = 32
TOLERANCES = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.1}
"""How far logits may be from those of base and adapter, relative to the spread of those: merged weights are rounded."""
ROOM = 1.5
"""Memory that has to be free, in sizes of the model in float32."""
PIECE = 262_144
"""Numbers that are compared at once."""


@frozen
class Stack:
    """What was merged: the folder of whole weights, those of the adapters folded in before, and the last one's."""

    base: Path
    earlier: Sequence[Path]
    last: Path
    trusted: bool = False
    """Whether code that the weights bring along is run."""


def prove_whole(base: Path, folder: Path, outputs: Mapping[str, Output], known: Collection[str] = frozenset()) -> int:
    """Read back every header and what was to change; returns how many tensors did, with those `known` to have.

    A problem if a tensor, a shape or a line of the index is not what was to be written, or if nothing changed.
    """
    found = {name: (path.name, entry.dtype, entry.shape) for name, (path, entry) in read_headers(folder).items()}
    wanted = {name: (one.file, one.layout.dtype, one.layout.shape) for name, one in outputs.items()}
    if (folder / INDEX_FILE).is_file():
        named = json.loads((folder / INDEX_FILE).read_bytes())["weight_map"]
        found = {name: (str(named.get(name)), *rest) for name, (_, *rest) in found.items()}  # type: ignore[misc]
    wrong = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    if wrong:
        raise _disproved(f"{wrong[0]} is {found.get(wrong[0])} and should be {wanted.get(wrong[0])}")
    changed = len(known)
    changed += sum(_is_changed(base, folder, name, one) for name, one in outputs.items() if one.change != Change())
    if not changed:
        raise _disproved("every tensor is what it was in the base, as if there were no adapter")
    return changed


def _is_changed(base: Path, folder: Path, name: str, output: Output) -> bool:
    """Whether a tensor differs from the one it was made of, cast alike; read up to the first difference."""
    with opened(base / output.base_file) as before, opened(folder / output.file) as after:
        old, new = before.tensors[output.base_name], after.tensors[name]
        if old.shape != new.shape:
            return True
        count, memory = math.prod(new.shape), Memory()
        for start in range(0, count, PIECE):
            memory.reuse()
            length = min(PIECE, count - start)
            one = memory.cast(_numbers(before, output.base_name, start, length, memory), new.dtype)
            if one.values.tobytes() != _numbers(after, name, start, length, memory).values.tobytes():
                return True
    return False


def _numbers(file: TensorFile, name: str, start: int, length: int, memory: Memory) -> Any:  # noqa: ANN401  Numbers
    found = memory.take((length,), file.tensors[name].dtype)
    file.read(name, start * found.values.itemsize, found.values.view("u1").data)
    return found


def compare_logits(stack: Stack, merged: Path, dtype: str) -> dict[str, Plain]:
    """What base and adapters compute for some tokens, and what the merged model does, as facts.

    Both compute in float32, one after the other in memory. `logits_difference` and `logits_change` (what the last
    adapter does) are root mean squares, relative to the spread of the logits. A problem if the difference is too large.
    Where memory is too short for the model, that is what the facts say.
    """
    needed = int(parameter_count(merged) * 4 * ROOM)
    free = _free_memory()
    if needed > free:
        return {"logits": f"not compared: {needed / 1e9:.1f} GB of memory are needed, and {free / 1e9:.1f} are free"}
    vocabulary = _configuration(merged)["vocab_size"]
    before, expected = _adapted_logits(stack, vocabulary)
    found = _logits(_load(merged, trusted=stack.trusted))
    spread = float(expected.std())
    difference = float((found - expected).square().mean().sqrt()) / spread
    change = float((before - expected).square().mean().sqrt()) / spread
    if not difference <= TOLERANCES[dtype]:
        detail = (
            f"its logits are {difference:.2g} away from those of base and adapter, and {TOLERANCES[dtype]:g} may be"
        )
        raise _disproved(detail)
    return {"logits_difference": round(difference, 8), "logits_change": round(change, 8)}


def _adapted_logits(stack: Stack, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Logits without the last adapter, and with it, of a vocabulary of the size that the merged model has."""
    from peft import PeftModel

    model = _load(stack.base, trusted=stack.trusted)
    if vocabulary > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(vocabulary, mean_resizing=False)
    for folder in stack.earlier:
        model = PeftModel.from_pretrained(model, folder).merge_and_unload(safe_merge=True)
    before = _logits(model)
    return before, _logits(PeftModel.from_pretrained(model, stack.last))


def _load(folder: Path, *, trusted: bool) -> Any:  # noqa: ANN401  transformers has no types
    import torch
    import transformers

    if trusted:
        return load("AutoModelForCausalLM", folder, trusted=True, dtype=torch.float32)
    architecture = getattr(transformers, _configuration(folder)["architectures"][0])
    return architecture.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def _logits(model: Any) -> Tensor:  # noqa: ANN401  transformers has no types
    import torch

    count = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(PROMPT_TOKENS)[None] * 7919 % min(count, 1 << 15)
    with torch.inference_mode():
        logits: Tensor = model.eval()(input_ids=ids, use_cache=False).logits.float()
    return logits


def _configuration(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return {**found.get("text_config", {}), **found}


def _free_memory() -> int:
    """Bytes that can be had without swapping, as the system says; within a container, no more than is left to it."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    information = Path("/proc/meminfo")
    if information.is_file():
        lines = dict(line.split(":") for line in information.read_text(encoding="utf-8").splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").is_file() and (limit := (group / "memory.max").read_text().strip()) != "max":
        counted = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        # What is cached of files counts as used, and is given up when somebody asks for memory.
        used = int((group / "memory.current").read_text()) - int(counted["inactive_file"])
        free = min(free, int(limit) - used)
    return free


def _disproved(detail: str) -> ProblemError:
    hint = (
        "Nothing of it was kept. This is a fault of tune, or of the files: please report it with both configurations."
    )
    return problem("Merge is wrong", f"The merged model is not what was trained: {detail}.", hint)
