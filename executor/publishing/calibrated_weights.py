"""A model's weights by AWQ or GPTQ, which look at rows to see what matters: llm-compressor's work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from executor.models.shards import AS_IT_IS
from executor.publishing import compression
from executor.publishing.quantized_weights import DEFAULT_SHARD_SIZE
from state.diagnostic import problem
from state.values import frozen

PYTHON = "TUNE_LLMCOMPRESSOR_PYTHON"
"""The environment variable that names the Python which has llm-compressor, if not the one that tune runs in."""
_LOOK = "import importlib.util, sys; sys.exit(importlib.util.find_spec('llmcompressor') is None)"


def check_compressor() -> None:
    """Raise a problem if there is no Python with llm-compressor; nothing of it is imported."""
    try:
        found = subprocess.run([_python(), "-c", _LOOK], check=False, capture_output=True)  # noqa: S603  the user's own
        if found.returncode == 0:
            return
        detail = f"AWQ and GPTQ are done by llm-compressor, which `{_python()}` does not have."
    except OSError as error:
        detail = f"{PYTHON} names `{_python()}`, which does not start: {error.strerror}."
    hint = (
        f"`pip install llmcompressor`; in an environment of its own if versions conflict, its Python named in {PYTHON}."
    )
    raise problem("Missing library", detail, hint)


@frozen
class Calibration:
    """What a model is shown, so that it is seen which of its weights matter."""

    rows: Sequence[Sequence[int]]
    """Token ids."""
    tokenizer: Path
    """The folder of their tokenizer, which llm-compressor insists on."""


def write_calibrated(
    source: Path, folder: Path, quantization: str, max_shard_size: str, shown: Calibration, *, trusted: bool
) -> None:
    """Write a whole model's weights in fewer bits, with the configuration that says so, into a folder.

    Code that comes with the model is run where it is `trusted`. Memory is llm-compressor's; it uses a GPU if there is
    one, and AWQ needs one. Raises a problem where it fails.
    """
    size = DEFAULT_SHARD_SIZE if max_shard_size == AS_IT_IS else max_shard_size
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="calibration-") as scratch:
        file = Path(scratch) / "rows.json"
        file.write_text(json.dumps(shown.rows), encoding="utf-8")
        command = [_python(), str(compression.__file__)]
        command += [str(source), str(folder), quantization, str(file), str(shown.tokenizer), size]
        command += ["trusted"] if trusted else []
        ended = subprocess.run(command, check=False, cwd=scratch)  # noqa: S603  our own program, the user's Python
    if ended.returncode:
        detail = f"llm-compressor ended with {ended.returncode}; what it said is in the step's log."
        hint = "It may not know this architecture, or need a GPU."
        raise problem("Step failed", detail, hint)


def _python() -> str:
    return os.environ.get(PYTHON, sys.executable)
