"""A model's weights in fewer bits: by bitsandbytes, or by programs of llama.cpp that the user has installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from executor.models.shards import AS_IT_IS
from executor.models.trust import load
from state.diagnostic import ProblemError, problem

CONVERTED = ("F16", "BF16", "Q8_0")
"""What llama.cpp's converter writes by itself; its other program makes the rest from the first of these."""
CONVERTER, QUANTIZER = "convert_hf_to_gguf.py", "llama-quantize"
DEFAULT_SHARD_SIZE = "5GB"
"""What the hub's libraries write if nobody says anything."""


def check_tools(quantization: str) -> None:
    """Raise a problem if what quantises so is not installed."""
    library, _, kind = quantization.partition("-")
    if library == "gguf":
        _program(CONVERTER)
        if kind not in CONVERTED:
            _program(QUANTIZER)


def write_quantized(
    source: Path, folder: Path, quantization: str, max_shard_size: str, *, trusted: bool = False
) -> None:
    """Write a whole model's weights in fewer bits, with the configuration that says so, into a folder.

    Memory: the model. Raises a problem where a program of llama.cpp is missing or fails.
    """
    library, _, kind = quantization.partition("-")
    if library == "gguf":
        _write_gguf(source, folder, kind)
        return
    from transformers import BitsAndBytesConfig

    bits: dict[str, Any] = {f"load_in_{kind}": True, "bnb_4bit_quant_type": "nf4"}
    configuration = BitsAndBytesConfig(**bits)  # type: ignore[no-untyped-call]  # transformers has no types
    model = load("AutoModelForCausalLM", source, trusted=trusted, dtype="auto", quantization_config=configuration)
    size = DEFAULT_SHARD_SIZE if max_shard_size == AS_IT_IS else max_shard_size
    model.save_pretrained(folder, max_shard_size=size)


def _write_gguf(source: Path, folder: Path, kind: str) -> None:
    first = kind if kind in CONVERTED else CONVERTED[0]
    output = folder / f"model-{first}.gguf"
    _run([sys.executable, _program(CONVERTER), str(source), "--outfile", str(output), "--outtype", first.lower()])
    if first != kind:
        _run([_program(QUANTIZER), str(output), str(folder / f"model-{kind}.gguf"), kind])
        output.unlink()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        detail = f"GGUF files are made by llama.cpp, and its `{name}` is not on the PATH."
        hint = "Get https://github.com/ggml-org/llama.cpp, build it, and put its folder and `build/bin` on the PATH."
        raise problem("Missing library", detail, hint)
    return found


def _run(command: list[str]) -> None:
    """Run a program whose output goes to the step's log."""
    ended = subprocess.run(command, check=False)  # noqa: S603  the user's own program, found by its name
    if ended.returncode:
        raise _failed(command, ended.returncode)


def _failed(command: list[str], code: int) -> ProblemError:
    name = CONVERTER if command[0] == sys.executable else QUANTIZER
    detail = f"`{name}` ended with {code}; what it said is in the step's log."
    return problem("Step failed", detail, "llama.cpp may not know this architecture, or be older than the model.")
